"""Native /api/v1/trail: who changed what in the account."""

from starlette.responses import Response

from postbell.api import schemas
from postbell.api.operations import (
    AFTER,
    LIMIT,
    PREFIX,
    Group,
    moment,
    text,
    word,
)
from postbell.api.replies import page_response
from postbell.api.resources import Call
from postbell.ports import TrailQuery
from postbell.trail import ACTIONS, ActorKind


async def _list(call: Call) -> Response:
    query = call.query
    after, limit = query.pop("after", ""), query.pop("limit")
    wanted = TrailQuery(call.account_id, hides_staff=True, **query)
    page = await call.reports.trail.entries(wanted, after=after, limit=limit)
    return page_response(schemas.TrailPage, page)


_OF = Group("audit trail")
OPERATIONS = (
    _OF.read(
        PREFIX + "/trail",
        _list,
        "list who changed what, the newest first",
        schemas.TrailPage,
        about="Every change of the account through any face, with what it was and what it is, and"
        " an operator's looks into it. Secrets are not in it; of URLs the host is. A search"
        " looks at ten thousand entries at once: go on with `next`, also after an empty page.",
        query={
            "since": moment("from this time on"),
            "until": moment("before this time"),
            "actor": text(
                "only by this one: an e-mail address, an api user's name, or a kind: "
                + ", ".join(ActorKind)
            ),
            "action": word("only this action", *(action.name for action in ACTIONS)),
            "subject": text("only of this kind, as `webhook`, or of this thing, as `webhook:7`"),
            "after": AFTER,
            "limit": LIMIT,
        },
    ),
)
