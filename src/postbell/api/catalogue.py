"""Native /api/v1/dialects and /api/v1/event-types: what can be chosen here."""

from itertools import starmap

from starlette.responses import Response

from postbell import policies
from postbell.api import schemas
from postbell.api.operations import PREFIX, Group
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.events import TYPES
from postbell.ports import Dialect

TAG = "catalogue"


async def _dialects(call: Call) -> Response:
    found = [_view(call, one) for _, one in sorted(call.desk.dialects.items())]
    return json_response(schemas.DialectList(found))


async def _event_types(call: Call) -> Response:
    carriers = {name: one.carries({}) for name, one in sorted(call.desk.dialects.items())}
    rows = [
        schemas.EventTypeView(
            type=row.type,
            group=row.group,
            meaning=row.meaning,
            dialects=[name for name, kinds in carriers.items() if row.type in kinds],
        )
        for row in TYPES
    ]
    return json_response(schemas.EventTypeList(rows))


def _view(call: Call, dialect: Dialect) -> schemas.DialectView:
    carried = dialect.carries({})
    installation = call.desk.installation_policies.get(dialect.name, {})
    return schemas.DialectView(
        name=dialect.name,
        title=dialect.title,
        content_type=dialect.content_type,
        types=tuple(row.type for row in TYPES if row.type in carried),
        options=tuple(starmap(schemas.OptionView, dialect.option_rows())),
        policy=policies.on_wire(policies.effective(dialect, {}, installation, {})),
        secret_kinds=tuple(kind.value for kind in dialect.secret_kinds),
    )


_OF = Group(TAG)
OPERATIONS = (
    _OF.read(
        PREFIX + "/dialects",
        _dialects,
        "list the dialects with their types, options and default policies",
        schemas.DialectList,
    ),
    _OF.read(
        PREFIX + "/event-types",
        _event_types,
        "list the event types and which dialects have a word for each",
        schemas.EventTypeList,
    ),
)
