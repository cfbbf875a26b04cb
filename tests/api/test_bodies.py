"""Request bodies of events: limits of size, memory and time, and compression."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import zstandard

from postbell.api.events import MAX_BODY_BYTES, MAX_VALUES
from postbell.api.inflate import MAX_MEMBERS, PIECE_BYTES, inflating
from tests.api.service import Service, running
from tests.api.test_events import JSON, PATH, event, post


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


async def test_a_body_over_10_mib_is_refused_before_it_is_read(service: Service) -> None:
    declared = await service.call(
        "POST", PATH, content=b"", headers=JSON | {"content-length": str(MAX_BODY_BYTES + 1)}
    )

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * (1 << 20)

    streamed = await service.call("POST", PATH, content=chunks(), headers=JSON)

    for response in (declared, streamed):
        assert response.status_code == 413
        assert str(MAX_BODY_BYTES) in response.json()["detail"]


async def test_an_array_of_very_many_values_is_refused_before_it_is_split(
    service: Service,
) -> None:
    response = await post(service, b"[" + b"1," * MAX_VALUES + b"1]")

    assert response.status_code == 413
    assert str(MAX_VALUES) in response.json()["detail"]


def zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_compressed_bodies_of_one_or_more_members_are_taken(
    service: Service, encoding: str, pack: Any
) -> None:
    body = json.dumps([event(number) for number in range(3000)]).encode()

    whole = await post(service, pack(body), content_encoding=encoding)
    parts = await post(
        service, pack(body[:1000]) + pack(body[1000:]), content_encoding=encoding.upper()
    )

    assert whole.json()["accepted"] == 3000
    assert parts.json()["duplicates"] == 3000


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_a_decompression_bomb_is_refused(service: Service, encoding: str, pack: Any) -> None:
    bomb = pack(b" " * (200 << 20))

    response = await post(service, bomb, content_encoding=encoding)

    assert len(bomb) < 300_000
    assert response.status_code == 413
    assert "decompressed" in response.json()["detail"]
    assert service.app._bodies.memory.held_bytes == 0


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-1],
        lambda packed: b"",
        lambda packed: packed + b"x",
        lambda packed: b"[]",
        lambda packed: b"\0" + packed[1:],
    ],
)
async def test_broken_compression_is_refused(
    service: Service, encoding: str, pack: Any, damage: Any
) -> None:
    response = await post(service, damage(pack(b"[" + b" " * 99 + b"]")), content_encoding=encoding)

    assert response.status_code == 400
    assert encoding in response.json()["detail"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
async def test_a_body_of_very_many_members_is_refused(
    service: Service, encoding: str, pack: Any
) -> None:
    response = await post(service, pack(b" ") * (MAX_MEMBERS + 1), content_encoding=encoding)

    assert response.status_code == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd"])
async def test_another_content_encoding_is_refused(service: Service, encoding: str) -> None:
    response = await post(service, b"[]", content_encoding=encoding)

    assert response.status_code == 415
    assert response.json()["member"] == "content-encoding"


async def test_a_full_budget_answers_503_before_memory_grows() -> None:
    async with running(app={"max_held_bytes": 1 << 20}) as service:
        response = await post(service, b" " * (2 << 20))

        assert response.status_code == 503
        assert response.json()["code"] == "overloaded"
        assert int(response.headers["retry-after"]) >= 1
        assert service.app._bodies.memory.held_bytes == 0


async def test_a_compressed_body_counts_what_it_has_become() -> None:
    async with running(app={"max_held_bytes": 16 << 20}) as service:
        bomb = gzip.compress(b" " * (9 << 20))

        response = await post(service, bomb, content_encoding="gzip")

        assert len(bomb) < 16_000
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert service.app._bodies.memory.held_bytes == 0


async def test_a_zstd_window_counts() -> None:
    async with running(app={"max_held_bytes": 32 << 20}) as service:
        wide = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters(window_log=24)
        ).compressobj()
        packed = wide.compress(b"[]") + wide.flush()

        response = await post(service, packed, content_encoding="zstd")

        assert len(packed) < 100
        assert response.status_code == 503


@pytest.mark.parametrize(
    "blocks", [[b"\x02\x00\x10\x41"] * 200_001, [b"\x00\x00\x00"] * 200_001], ids=["rle", "empty"]
)
async def test_a_zstd_body_of_very_many_blocks_is_refused(
    service: Service, blocks: list[bytes]
) -> None:
    head = b"\x28\xb5\x2f\xfd\x00\x38"

    response = await post(service, head + b"".join(blocks), content_encoding="zstd")

    assert response.status_code == 400
    assert "blocks" in response.json()["detail"]


async def test_no_piece_of_a_zstd_body_is_larger_than_a_piece_may_be() -> None:
    rle_blocks = b"".join([b"\x02\x00\x10\x41"] * 79 + [b"\x03\x00\x10\x41"])

    pieces = list(inflating("zstd", b"\x28\xb5\x2f\xfd\x00\x38" + rle_blocks, 10 << 20).pieces)

    assert b"".join(pieces) == b"A" * (80 << 17)
    assert max(map(len, pieces)) <= PIECE_BYTES


async def test_frames_that_only_skip_are_taken_beside_others(service: Service) -> None:
    skipped = b"\x53\x2a\x4d\x18\x03\x00\x00\x00abc"

    beside = await post(
        service, skipped + zstd(json.dumps([event(1)]).encode()) + skipped, content_encoding="zstd"
    )
    alone = await post(service, skipped, content_encoding="zstd")

    assert beside.json()["accepted"] == 1
    assert alone.status_code == 400
