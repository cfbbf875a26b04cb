"""Native /api/v1/sources: how the sources do that bring the account's events."""

from msgspec import Struct
from starlette.responses import Response

from postbell.api.operations import PREFIX, Group
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.api.schemas import Next
from postbell.reports.sources import SourceView


class SourcePage(Struct, frozen=True):
    sources: list[SourceView]
    next: Next


async def _list(call: Call) -> Response:
    return json_response(SourcePage(await call.reports.sources.of(call.account.name), None))


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
