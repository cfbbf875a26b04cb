"""Native /api/v1/sources: how the sources do that bring the account's events."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from starlette.responses import Response

from postbell.api.operations import PREFIX, Group
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.api.schemas import Next
from postbell.clock import rfc3339
from postbell.reports.sources import SourceView


class SourcePage(Struct):
    sources: list[SourceView]
    next: Next


async def _list(call: Call) -> Response:
    found = await call.reports.sources.of(call.account.name)
    return json_response({"sources": [_written(view) for view in found], "next": None})


def _written(view: SourceView) -> dict[str, Any]:
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in asdict(view).items()
    }


_OF = Group("sources")
OPERATIONS = (
    _OF.read(
        PREFIX + "/sources",
        _list,
        "list the sources that bring the account's events",
        SourcePage,
        about="A source is a way events come in beside this API, such as a file that the service"
        " follows. The operator of the installation names them in its settings.",
    ),
)
