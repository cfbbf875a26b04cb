"""Python runs this first where PYTHONPATH names its folder: a system that knows no names.

For services under load or test: `healthy.invalid` is this machine, `hang…` gets no answer from
the name server for 10 s, any other name does not exist; and nothing is asked of a real name
server, not even for names under `.invalid` (RFC 6761 section 6.4).
"""

import socket
import time
from typing import Any

_HANGS_S = 10.0
_of_system = socket.getaddrinfo


def _look_up(host: Any, *given: Any, **named: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host or ""
    is_number = not name.rstrip(".").rpartition(".")[2].isalpha()
    if is_number or name == "localhost":
        return _of_system(host, *given, **named)
    if name == "healthy.invalid":
        return _of_system("127.0.0.1", *given, **named)
    if name.startswith("hang"):
        time.sleep(_HANGS_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


socket.getaddrinfo = _look_up
