"""Streams of requests that are nearly right: a seed always makes the same one."""

import random
from collections.abc import Callable
from itertools import pairwise

Chance = random.Random

METHODS = (
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"get",
    b"M-SEARCH",
    b"G\xe9T",
    b"",
    b"CONNECT",
)
TARGETS = (
    b"/",
    b"/a?b=c",
    b"/%00",
    b"*",
    b"http://a/x",
    b"http://b/x",
    b"a:1",
    b"/a b",
    b"/#x",
    b"/\xff",
    b"//a",
    b"",
)
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
)
HOSTS = (
    b"host: a",
    b"host: a",
    b"host: a",
    b"Host:a",
    b"host: a\r\nhost: a",
    b"host: ",
    b"",
    b"host: a b",
    b"host : a",
)
LENGTHS = (
    b"%d",
    b"%d",
    b"%d",
    b"%d",
    b"+%d",
    b"0%d",
    b"%d, %d",
    b"%d\r\ncontent-length: %d",
    b" %d ",
    b"%d;",
    b"0x%x",
    b"-%d",
    b"",
)
CODINGS = (
    b"chunked",
    b"chunked",
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"chunked, chunked",
    b"identity",
    b"xchunked",
    b"chunked;q=1",
    b" chunked ",
    b"chunked\r\ntransfer-encoding: chunked",
    b"\x0bchunked",
    b"",
)
OTHERS = (
    b"connection: close", b"connection: keep-alive", b"connection: Upgrade\r\nupgrade: h2c",
    b"expect: 100-continue", b"expect: nothing", b"x: y", b"x: \xe9", b"x:", b"x: a\r\n b", b": y",
    b"x y: z", b"x: a\x00b", b"x: a\rb", b"x: a\nb: c", b"te: trailers", b"trailer: x", b"x_y: z",
    b"\xe9: y",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n")
SIZES = (
    b"%x",
    b"%x",
    b"%x",
    b"%X",
    b"0%x",
    b"%x;a=b",
    b'%x;a="b"',
    b"%x ",
    b" %x",
    b"0x%x",
    b"+%x",
    b"%x;\xff",
    b"%x;a\nb",
    b"g%x",
)
TRAILERS = (
    b"",
    b"",
    b"",
    b"x: y\r\n",
    b"content-length: 3\r\n",
    b"bad trailer\r\n",
    b"x: a\nb: c\r\n",
    b"host: b\r\n",
)
BODIES = (
    b"",
    b"hello",
    b"\r\n\r\n",
    b"GET /in HTTP/1.1\r\nhost: a\r\n\r\n",
    b"0\r\n\r\n",
    bytes(range(256)),
)


_TELLING = b"\r\n \t:;,0aF\x00\xff"


def stream(seed: int, *, is_right: bool = False) -> list[bytes]:
    """Return the pieces of a stream of one to four requests, *is_right* without a fault."""
    chance = Chance(seed)
    oddness = 0.0 if is_right else chance.choice((0.02, 0.1, 0.3))
    data = b"".join(_request(chance, oddness) for _ in range(chance.randint(1, 4)))
    if oddness and chance.random() < 0.15:
        data = _damaged(chance, data)
    return _cut(chance, data)


def _pick(chance: Chance, rows: tuple[bytes, ...], oddness: float) -> bytes:
    """Return the first row, which is right, or now and then any."""
    return chance.choice(rows) if chance.random() < oddness else rows[0]


def _request(chance: Chance, oddness: float) -> bytes:
    def end() -> bytes:
        return _pick(chance, ENDS, oddness / 5)

    method = chance.choice(METHODS[:4]) if chance.random() > oddness else chance.choice(METHODS)
    target = chance.choice(TARGETS[:2]) if chance.random() > oddness else chance.choice(TARGETS)
    lines = [method + b" " + target + b" " + _pick(chance, VERSIONS, oddness * 2)]
    lines.append(_pick(chance, HOSTS, oddness))
    lines += [
        chance.choice(OTHERS) for _ in range(chance.randint(0, 3)) if chance.random() < oddness
    ]
    body, framing = _body(chance, oddness, end)
    lines += framing
    chance.shuffle(lines[1:])
    before = b"\r\n" * chance.randint(1, 6) if chance.random() < oddness / 3 else b""
    return before + b"".join(line + end() for line in lines if line) + end() + body


def _body(chance: Chance, oddness: float, end: Callable[[], bytes]) -> tuple[bytes, list[bytes]]:
    body = chance.choice(BODIES)
    kind = chance.random()
    if kind < 0.3:
        return b"", []
    if kind < 0.6:
        said = len(body) + (chance.randint(-2, 2) if chance.random() < oddness / 3 else 0)
        text = _pick(chance, LENGTHS, oddness)
        value = text.replace(b"%d", b"%d" % said).replace(b"%x", b"%x" % max(said, 0))
        return body, [b"content-length: " + value]
    framing = [b"transfer-encoding: " + _pick(chance, CODINGS, oddness)]
    if chance.random() < oddness / 3:
        framing.append(b"content-length: %d" % len(body))
    parts = []
    while body:
        size = chance.randint(1, len(body))
        head = (
            _pick(chance, SIZES, oddness).replace(b"%x", b"%x" % size).replace(b"%X", b"%X" % size)
        )
        parts.append(head + end() + body[:size] + end())
        body = body[size:]
    parts.append(chance.choice((b"0", b"0", b"0", b"000", b"0;a=b")) + end())
    parts.append(_pick(chance, TRAILERS, oddness) + end())
    return b"".join(parts), framing


def _damaged(chance: Chance, data: bytes) -> bytes:
    """Change, drop or double a few bytes."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(made)) if made else 0
        kind = chance.random()
        if kind < 0.4 and made:
            is_telling = chance.random() < 0.7
            made[at] = chance.choice(_TELLING) if is_telling else chance.randrange(256)
        elif kind < 0.7:
            del made[at : at + chance.randint(1, 3)]
        else:
            made[at:at] = made[at : at + chance.randint(1, 3)]
    return bytes(made)


def _cut(chance: Chance, data: bytes) -> list[bytes]:
    """Cut into pieces as a network might: none, some, or each byte alone."""
    kind = chance.random()
    if kind < 0.4:
        return [data]
    if kind < 0.5:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(1, 6)))
    bounds = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(bounds) if a < b]
