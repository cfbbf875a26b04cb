"""Request framing against a strict reference parser, over many streams that are nearly right.

POSTBELL_FRAMING_SEEDS compares more of them.
"""

import os
import socket
from pathlib import Path

from tests.serving.comparing import STRICTER, compare
from tests.serving.raw import GET, served
from tests.serving.reference import a_door, by_h11, by_us
from tests.serving.streams import stream

SEEDS = int(os.environ.get("POSTBELL_FRAMING_SEEDS", "2000"))
RARE = 4675
"""The first stream with a line feed where a request begins."""
RIGHT = 500
REAL = 300


async def test_we_see_the_requests_that_the_reference_sees() -> None:
    door = a_door()

    compared = [await compare(seed, door) for seed in (*range(SEEDS), RARE)]

    assert [each.found for each in compared if each.found] == []
    assert {each.refused for each in compared} - {""} == set(STRICTER), "rows, and what needs them"


async def test_streams_without_a_fault_are_refused_by_neither() -> None:
    door = a_door()

    found = [(await compare(seed, door, is_right=True)).found for seed in range(RIGHT)]
    refused = [by_h11(b"".join(stream(seed, is_right=True))).refused for seed in range(RIGHT)]

    assert (set(found), set(refused)) == ({""}, {""})


async def test_how_a_stream_is_cut_changes_nothing() -> None:
    door = a_door()
    for seed in range(200):
        pieces = stream(seed)
        whole = b"".join(pieces)

        cut = await by_us(pieces, door)
        at_once = await by_us([whole], door)
        byte_by_byte = await by_us([whole[at : at + 1] for at in range(len(whole))], door)

        assert cut.requests == at_once.requests == byte_by_byte.requests, seed


async def test_the_real_service_gives_as_many_answers(tmp_path: Path) -> None:
    door = a_door()
    with served(tmp_path) as service:
        for seed in range(REAL):
            data = b"".join(stream(seed))
            expected = (await by_us([data], door)).answers
            with service.connect("127.0.0.9") as client:
                client.send(data)
                client.sock.shutdown(socket.SHUT_WR)
                answers = client.rest().replace(b"HTTP/1.1 100 Continue", b"")

            assert answers.count(b"HTTP/1.1 ") - answers.count(b"HTTP/1.1 or") == expected, seed
        with service.connect() as client:
            client.send(GET)
            assert client.answer().status == 200
