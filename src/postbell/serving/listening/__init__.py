"""HTTP/1.1 coming in, from accepted connections to an ASGI application.

`states` says what a connection may be in and what ends each state, `framing` and `heads` take
bytes apart (`zttp` parses), `connection` moves between the states, `exchange` is what the
application sees of one request, `door` is what all connections of a listener share, `turns` and
`connects` are how networks share what a listener can begin.
"""

from postbell.serving.listening.connection import Connection, Served
from postbell.serving.listening.door import Door
from postbell.serving.listening.securing import Securing

__all__ = ["Connection", "Door", "Securing", "Served"]
