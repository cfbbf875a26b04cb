"""What a peer may cost the HTTP listener: settings too, kept apart because they are one subject.

Each state of a connection (`serving.listening.states`) has a limit of time here, and one of bytes
where the peer sends or holds any.
"""

from typing import Annotated

import msgspec

from postbell.settings.values import About


class PeerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits in force; `Settings` has these members, too."""

    http_connections: Annotated[
        int,
        About(
            "connections of clients in all; beyond, of the most crowded state the one that has"
            " waited longest for its client ends, or the newest is refused where all are at work",
            unit="connections",
            low=1,
            high=60_000,
        ),
    ] = 10_000
    http_connections_per_network: Annotated[
        int,
        About(
            "connections from one IPv4 address or one IPv6 /64; trusted proxies are not counted",
            unit="connections",
            low=1,
            high=60_000,
        ),
    ] = 1_000
    http_connects_per_network_s: Annotated[
        int,
        About(
            "new connections from one network, after as many at once as it may have and a second's"
            " more; beyond, they are closed unheard; trusted proxies are not counted",
            unit="connections a second",
            low=1,
            high=60_000,
        ),
    ] = 50
    http_head_bytes: Annotated[
        int,
        About(
            "request line and headers of a request; whatever this is, one line of them has at most"
            " 16,383 and there are at most 100 headers",
            unit="bytes",
            low=1024,
            high=65_536,
        ),
    ] = 65_536
    http_heads_bytes: Annotated[
        int,
        About(
            "what all heads under way have together beyond 4 KiB each, a sixteenth of it those of"
            " one network; beyond, 503, to the network that holds most before others",
            unit="bytes",
            low=1 << 20,
            high=1 << 30,
        ),
    ] = 32 << 20
    http_head_s: Annotated[
        float,
        About(
            "until the head of a request is whole, and from connecting to its first byte",
            unit="seconds",
            low=0.1,
            high=3600,
        ),
    ] = 20.0
    http_idle_s: Annotated[
        float, About("between two requests of a connection", unit="seconds", low=0.1, high=86_400)
    ] = 75.0
    http_body_bytes_s: Annotated[
        int,
        About(
            "least rate at which a body must come and an answer be taken",
            unit="bytes a second",
            low=1,
            high=1_000_000_000,
        ),
    ] = 10_000
    http_body_grace_s: Annotated[
        float,
        About(
            "for how long a body may stay behind its least rate",
            unit="seconds",
            low=0.1,
            high=3600,
        ),
    ] = 10.0
    http_framing_bytes: Annotated[
        int,
        About(
            "chunk extensions or trailers in a row, and whatever frames a chunked body beyond"
            " twice its data; neither extensions nor trailers are used",
            unit="bytes",
            low=16,
            high=65_536,
        ),
    ] = 8_192
    http_write_s: Annotated[
        float,
        About(
            "for how long the taking of an answer may stay behind the least rate",
            unit="seconds",
            low=0.1,
            high=3600,
        ),
    ] = 30.0
    http_answer_s: Annotated[
        float,
        About("until an answer begins or goes on", unit="seconds", low=0.1, high=86_400),
    ] = 300.0
    http_drain_s: Annotated[
        float,
        About(
            "for a client to read a last answer and to close, before we do",
            unit="seconds",
            low=0.1,
            high=600,
        ),
    ] = 10.0
    http_drain_bytes: Annotated[
        int,
        About(
            "what is still read, and thrown away, after a last answer",
            unit="bytes",
            low=0,
            high=1_000_000_000,
        ),
    ] = 16 << 20
    http_in_row: Annotated[
        int,
        About(
            "requests in a row that were sent before the answer to the one before; the last one's"
            " answer ends the connection",
            unit="requests",
            low=1,
            high=1_000_000,
        ),
    ] = 100
    tls_handshake_s: Annotated[
        float, About("until TLS is agreed on", unit="seconds", low=0.1, high=600)
    ] = 10.0
