"""What a connection has for a transport once its own is gone."""


class GoneTransport:
    """Takes what is still said to a peer that left; there is one of it.

    A transport knows its protocol, over TLS for good: a protocol that kept it would be garbage that
    only the collector finds, with 256 KiB of buffers.
    """

    def write(self, data: bytes) -> None:
        """Say it to nobody."""

    def close(self) -> None:
        """Nothing is open."""

    abort = pause_reading = resume_reading = write_eof = close

    def is_closing(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


GONE = GoneTransport()
