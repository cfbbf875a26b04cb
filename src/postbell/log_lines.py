"""How a line of the log is written: what `signals` hands to structlog.

URLs are cut to scheme and host, times have one form, and text for people stays on one line.
"""

import traceback
from datetime import datetime
from typing import Any, TextIO
from urllib.parse import urlsplit

from postbell.clock import rfc3339
from postbell.printable import escaped, one_line


def masked(url: str) -> str:
    """Return the scheme, host and port of *url*; the rest may hold credentials."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "***"
    rest = "/***" if parts.path.strip("/") or parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{port}{rest}"


def mask_urls(_logger: Any, _method: str, fields: Any) -> Any:
    for name in fields:
        if (name == "url" or name.endswith("_url")) and isinstance(fields[name], str):
            fields[name] = masked(fields[name])
    return fields


def printable(_logger: Any, _method: str, fields: Any) -> Any:
    return {
        name: one_line(value) if isinstance(value, str) else value for name, value in fields.items()
    }


def write_trace(out: TextIO, error: Any) -> None:
    lines = "".join(traceback.format_exception(*error)).splitlines()
    out.write("\n" + "\n".join(map(one_line, lines)))


def escape(_logger: Any, _method: str, line: Any) -> str:
    return escaped(str(line))


def plain_times(_logger: Any, _method: str, fields: Any) -> Any:
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }
