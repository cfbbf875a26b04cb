"""Native /api/v1/sources: how the sources do that bring the account's events, and what they did not
understand."""

from typing import Any

from msgspec import Struct
from starlette.responses import Response

from postbell.api.asked import ChosenFacts
from postbell.api.operations import AFTER_ID, LIMIT, NUMBER, PREFIX, Group
from postbell.api.replies import json_response, page_response
from postbell.api.resources import Call
from postbell.api.schemas import Next
from postbell.api.searching import TEXT_ID
from postbell.desk.forms import check_id
from postbell.errors import BadInput
from postbell.ports import MOST_QUARANTINED
from postbell.reports.sources import FactView, QuarantinedView, SourceView
from postbell.reports.views import Id

PATH = PREFIX + "/sources"
QUARANTINE = PATH + "/{id}/quarantine"


class SourcePage(Struct, frozen=True):
    sources: list[SourceView]
    next: Next


class QuarantinePage(Struct, frozen=True):
    facts: list[QuarantinedView]
    next: Next


class FactList(Struct, frozen=True):
    """Which facts it was done with."""

    ids: list[Id]


async def _list(call: Call) -> Response:
    return json_response(SourcePage(await call.reports.sources.of(call.account.name), None))


async def _quarantine(call: Call) -> Response:
    await call.desk.find_source(call.account.name, call.name)
    before = call.query.get("after")
    page = await call.reports.sources.quarantine(
        call.name, before=before, limit=call.query["limit"]
    )
    return page_response(QuarantinePage, page)


async def _fact(call: Call) -> Response:
    view, _ = await call.reports.sources.fact(call.id, account=call.account.name)
    return json_response(view)


async def _retry(call: Call) -> Response:
    ids = _chosen(call.form.get("ids"))
    done = await call.desk.retry_quarantined(call.account.name, call.name, ids)
    return json_response(FactList(done))


async def _drop(call: Call) -> Response:
    ids = _chosen(call.form.get("ids"))
    done = await call.desk.drop_quarantined(call.account.name, call.name, ids)
    return json_response(FactList(done))


def _chosen(given: Any) -> list[int] | None:
    """Return which facts are meant, None for all."""
    if given is None:
        return None
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_QUARANTINED:
        raise BadInput(
            f"member 'ids': a list of 1 to {MOST_QUARANTINED} ids expected", member="ids"
        )
    return [check_id(each, "ids") for each in given]


_OF = Group("sources", TEXT_ID)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list the sources that bring the account's events",
        SourcePage,
        about="A source is a way events come in beside this API, such as a file that the service"
        " follows. The operator of the installation names them in its settings. Those that bring"
        " events of several accounts are not shown.",
    ),
    _OF.read(
        QUARANTINE,
        _quarantine,
        "list what a source did not understand, the newest first",
        QuarantinePage,
        about="At most a thousand facts of 16 MiB are kept of a source; newer ones make the oldest"
        " leave.",
        query={"after": AFTER_ID, "limit": LIMIT},
    ),
    _OF.read(
        PREFIX + "/quarantine/{id}",
        _fact,
        "show a fact that a source did not understand, with its bytes",
        FactView,
        id_schema=NUMBER,
    ),
    _OF.act(
        QUARANTINE + "/retry",
        _retry,
        "let facts in quarantine be read again, all of the source without ids",
        FactList,
        about="The service does it within seconds: what is understood then leaves the quarantine"
        " with its events, the rest stays with what is wrong with it now.",
        body=ChosenFacts,
    ),
    _OF.act(
        QUARANTINE + "/drop",
        _drop,
        "let go of facts in quarantine, of all of the source without ids",
        FactList,
        body=ChosenFacts,
    ),
)
