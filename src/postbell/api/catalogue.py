"""Native /api/v1/dialects and /api/v1/event-types: what can be chosen here."""

from typing import Any

from starlette.responses import Response

from postbell import policies
from postbell.api import schemas
from postbell.api.operations import (
    PREFIX,
    Group,
)
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.events import TYPES
from postbell.ports import Dialect

TAG = "catalogue"
_OPTION = ("name", "values", "default", "meaning")


async def _dialects(call: Call) -> Response:
    return json_response(
        {"dialects": [_view(call, one) for _, one in sorted(call.desk.dialects.items())]}
    )


async def _event_types(call: Call) -> Response:
    carriers = {name: one.carries({}) for name, one in sorted(call.desk.dialects.items())}
    return json_response(
        {
            "event_types": [
                {
                    "type": row.type.value,
                    "group": row.group,
                    "meaning": row.meaning,
                    "dialects": [name for name, kinds in carriers.items() if row.type in kinds],
                }
                for row in TYPES
            ]
        }
    )


def _view(call: Call, dialect: Dialect) -> dict[str, Any]:
    carried = dialect.carries({})
    installation = call.desk.installation_policies.get(dialect.name, {})
    return {
        "name": dialect.name,
        "title": dialect.title,
        "content_type": dialect.content_type,
        "types": [row.type.value for row in TYPES if row.type in carried],
        "options": [dict(zip(_OPTION, row, strict=True)) for row in dialect.option_rows()],
        "policy": policies.on_wire(policies.effective(dialect, {}, installation, {})),
        "secret_kinds": [kind.value for kind in dialect.secret_kinds],
    }


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
