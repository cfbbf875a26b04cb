"""Bytes into requests, one message at a time; no I/O and no time in here.

`zttp` parses, and is given exactly the bytes of one message: where a message ends is counted
here, too (the length that the head names; an empty line, which ends heads and chunked bodies and
nothing else), and the two counts must agree.  What came after it stays here, unparsed.
"""

import string

import zttp

from postbell.serving.listening import heads
from postbell.serving.listening.heads import Head
from postbell.serving.listening.refusals import Refusal, bad
from postbell.settings.limits import PeerLimits

MAX_EMPTY_LINES = 4
"""Ignored before a request line; RFC 9112 section 2.2 wants at least one."""
FREE_HEAD_BYTES = 4096
"""Of a head; for what is longer, all have only so much room."""
MAX_CUTS = 1000
"""Empty lines in a chunked body, each of which might be its end; beyond, the connection is not
kept, and the end need not be known to the byte."""
_END = b"\r\n\r\n"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~" + string.ascii_letters.encode() + string.digits.encode())


class Framing:
    """One side of a connection: `receive` bytes, then ask for `head`, `body` and `again`."""

    __slots__ = (
        "_at",
        "_cuts",
        "_data",
        "_empty_lines",
        "_framing_bytes",
        "_half",
        "_largest_bytes",
        "_left",
        "_limits",
        "_quiet_bytes",
        "_tail",
        "_zttp",
        "head_bytes",
        "is_exact",
        "is_whole",
    )

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._zttp = _parser()
        self._data = b""
        self._at = 0
        self._half = b""
        self.is_exact = True
        self._begin()

    def _begin(self) -> None:
        self.is_whole = False
        self._largest_bytes = 0
        self._empty_lines = 0
        self.head_bytes = 0
        """What came of the request's head."""
        self._tail = b""
        self._left: int | None = 0
        self._cuts = 0
        self._framing_bytes = 0
        self._quiet_bytes = 0

    @property
    def is_ahead(self) -> bool:
        """Say whether bytes are here that were not looked at."""
        return self._at < len(self._data)

    @property
    def has_begun(self) -> bool:
        """Say whether a byte of the request's head came."""
        return self.head_bytes > 0

    @property
    def closes(self) -> bool:
        """Say whether the request wants the connection to end, or needs it."""
        return not self.is_exact or self._zttp.should_close()

    def receive(self, data: bytes) -> None:
        """Take bytes that came."""
        if self._half:
            data, self._half = self._half + data, b""
        self._data = self._data[self._at :] + data if self._at else self._data + data
        self._at = 0

    def again(self) -> None:
        """Begin the next message; the one before was whole."""
        if max(self.head_bytes, self._largest_bytes) > FREE_HEAD_BYTES:
            self._zttp = _parser()  # the old one keeps the room that its largest piece took
        else:
            self._zttp.start_next_cycle()
        self._begin()

    def forget(self) -> None:
        """Let go of all that came: nothing more is asked for."""
        self._zttp = _parser()
        self._data, self._at = b"", 0

    def head(self) -> Head | None:
        """Return the next request's head, None where more bytes are needed; raise Refusal."""
        data = self._data
        at = self._at
        if not self.head_bytes:
            at = self._skip_empty_lines()
            if at == len(data):
                return None
        stop = self._cut(at)
        is_end = stop > 0
        stop = stop or len(data)
        self.head_bytes += stop - at
        if self.head_bytes > self._limits.http_head_bytes:
            raise _head_too_long()
        event = self._parse(data, at, stop)
        self._move(stop)
        if not is_end:
            if event is not zttp.NEED_DATA:
                raise bad("the head of the request is ambiguous")
            if stop - at == self.head_bytes and data[at] not in _TOKEN:
                raise bad("a request line expected")
            return None
        if not isinstance(event, zttp.Request):
            raise bad("the head of the request is ambiguous")
        found = heads.read(event)
        if event.end_stream is not (found.length == 0):
            raise bad("the length of the body is ambiguous")
        self.is_whole = event.end_stream
        self._left = found.length
        self._tail = b""
        return found

    def body(self) -> bytes:
        """Return what is here of the body, b"" for nothing new; raise Refusal."""
        if self._at == len(self._data) or self.is_whole:
            return b""
        return self._chunked() if self._left is None else self._sized(self._left)

    def _sized(self, left: int) -> bytes:
        stop = min(self._at + left, len(self._data))
        event = self._parse(self._data, self._at, stop)
        left -= stop - self._at
        if not isinstance(event, zttp.Data) or len(event.data) != stop - self._at:
            raise bad("the length of the body is ambiguous")
        self.is_whole = isinstance(self._next(), zttp.EndOfMessage)
        if self.is_whole is not (left == 0):
            raise bad("the length of the body is ambiguous")
        self._left = left
        self._move(stop)
        return event.data

    def _chunked(self) -> bytes:
        """Parse up to each empty line in turn, since the message may end there and only there."""
        parts: list[bytes] = []
        while self._at < len(self._data) and not self.is_whole:
            stop = len(self._data)
            if self._cuts < MAX_CUTS:
                stop = self._cut(self._at) or stop
                self._cuts += 1
            else:
                self.is_exact = False
            size = stop - self._at
            found = self._events(self._parse(self._data, self._at, stop))
            self._move(stop)
            gained = sum(map(len, found))
            parts += found
            self._quiet_bytes = 0 if gained else self._quiet_bytes + size
            self._framing_bytes += size - 3 * gained
            if max(self._quiet_bytes, self._framing_bytes) > self._limits.http_framing_bytes:
                raise _framing_too_long()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _events(self, event: object) -> list[bytes]:
        """Return the data of *event* and those after it; trailers are not looked at."""
        found = []
        while event is not zttp.NEED_DATA:
            if isinstance(event, zttp.Data):
                found.append(event.data)
            elif isinstance(event, zttp.EndOfMessage):
                self.is_whole = True
                break
            else:
                raise bad("the body is ambiguous")
            event = self._next()
        return found

    def _cut(self, at: int) -> int:
        """Return where the next empty line ends, 0 where none does; it may have begun before."""
        data = self._data
        tail = self._tail
        if tail:
            split = (tail + data[at : at + 3]).find(_END)
            if split >= 0:
                self._tail = b""
                return at + split + 4 - len(tail)
        found = data.find(_END, at)
        if found >= 0:
            self._tail = b""
            return found + 4
        self._tail = (tail + data[max(at, len(data) - 3) :])[-3:]
        return 0

    def _skip_empty_lines(self) -> int:
        """Return where the request line begins; at the data's end where it did not yet."""
        data = self._data
        at = self._at
        while data.startswith(b"\r\n", at):
            at += 2
            self._empty_lines += 1
        if self._empty_lines > MAX_EMPTY_LINES:
            raise bad("a request line expected")
        if at == len(data) - 1 and data.endswith(b"\r"):
            self._half = b"\r"  # of an empty line, perhaps
            at += 1
        self._at = at
        return at

    def _move(self, stop: int) -> None:
        """Go on at *stop*, and keep nothing where nothing follows."""
        if stop == len(self._data):
            self._data, self._at = b"", 0
        else:
            self._at = stop

    def _parse(self, data: bytes, at: int, stop: int) -> object:
        self._largest_bytes = max(self._largest_bytes, stop - at)
        try:
            return self._zttp.receive_event(memoryview(data)[at:stop])
        except zttp.RemoteProtocolError as error:
            raise self._refused(error) from None

    def _next(self) -> object:
        try:
            return self._zttp.next_event()
        except zttp.RemoteProtocolError as error:
            raise self._refused(error) from None

    def _refused(self, error: zttp.RemoteProtocolError) -> Refusal:
        text = str(error)
        if "size limit" not in text:
            return bad(text)
        return _framing_too_long() if self._left is None else _head_too_long()


def _parser() -> zttp.H1Connection:
    return zttp.Connection(zttp.SERVER)


def _head_too_long() -> Refusal:
    return Refusal(431, "head_too_long", "the head of the request is too long")


def _framing_too_long() -> Refusal:
    detail = "sizes, extensions or trailers of the body's chunks are too long"
    return Refusal(400, "framing_too_long", detail)
