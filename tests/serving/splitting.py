"""Answers out of the bytes that a server wrote; only answers whose length is named."""

from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


def split_answers(data: bytes) -> list[Answer]:
    """Return the answers in *data*, interim ones left out; every one of them must be whole."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        status = int(first.split(b" ")[1])
        if status == 100:
            continue
        size = int(headers.get(b"content-length", b"0"))
        assert len(data) >= size
        found.append(Answer(status, headers, data[:size]))
        data = data[size:]
    return found
