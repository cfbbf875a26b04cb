"""Native /api/v1/suppressions: who is not to be mailed any more, and why."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from starlette.responses import Response, StreamingResponse

from postbell.api import asked, schemas
from postbell.api.operations import LIMIT, PREFIX, Group, mark, text, word
from postbell.api.replies import json_response, page_response
from postbell.api.resources import Call
from postbell.api.searching import TEXT_ID
from postbell.desk import forms
from postbell.desk.suppressions import ADD_MEMBERS
from postbell.errors import BadInput, TooLarge
from postbell.ports import SuppressionQuery
from postbell.records import ALL
from postbell.reports.suppressions import (
    COLUMNS,
    CheckedAddress,
    SuppressionRulesView,
    SuppressionView,
    cells_of,
)
from postbell.rights import Right
from postbell.suppressions import SuppressionReason
from postbell.text.recipients import key_of
from postbell.text.sheets import rows_of, sheet_of

PATH = PREFIX + "/suppressions"
ONE = PATH + "/{id}"
RULES = PREFIX + "/suppression-rules"
CSV = "text/csv"
MAX_ADDRESSES = 1000
MAX_LINES = 10_000
MAX_BYTES = 1 << 20
MAX_MARK_CHARS = 8000


async def _list(call: Call) -> Response:
    query = call.query
    page = await call.reports.suppressions.page(
        await _wanted(call), after=query.get("after", ""), limit=query["limit"]
    )
    return page_response(schemas.SuppressionPage, page)


async def _show(call: Call) -> Response:
    return json_response(await call.reports.suppressions.one(call.account_id, call.name))


async def _check(call: Call) -> Response:
    addresses = call.form.get("addresses")
    if (
        not isinstance(addresses, list)
        or not 1 <= len(addresses) <= MAX_ADDRESSES
        or not all(isinstance(each, str) and 1 <= len(each) <= 998 for each in addresses)
    ):
        raise BadInput(
            f"addresses: a list of 1 to {MAX_ADDRESSES} addresses expected", member="addresses"
        )
    user = await _user_id(call, call.form.get("api_user"))
    found = await call.reports.suppressions.check(call.account_id, addresses, user)
    return json_response(schemas.CheckedAddresses(found))


async def _add(call: Call) -> Response:
    entry = await call.desk.add_suppression(
        call.account_id, call.form, told_as=call.caller.api_user.id
    )
    (view,) = await call.reports.suppressions.views([entry])
    return json_response(view)


async def _remove(call: Call) -> Response:
    await call.desk.remove_suppression(
        call.account_id,
        call.name,
        call.query.get("api_user"),
        told_as=call.caller.api_user.id,
    )
    return Response(status_code=204)


async def _import(call: Call) -> Response:
    lines = await asyncio.to_thread(lambda: list(islice(_lines(call.body), MAX_LINES + 1)))
    if len(lines) > MAX_LINES:
        raise TooLarge(f"the table has over {MAX_LINES} lines, which is the limit; send several")
    found = await call.desk.import_suppressions(
        call.account_id, lines, told_as=call.caller.api_user.id
    )
    refused = [schemas.RefusedLineView(*each) for each in found.refused]
    return json_response(schemas.ImportedView(found.added, found.known, refused))


async def _export(call: Call) -> Response:
    headers = {
        "content-disposition": 'attachment; filename="suppressions.csv"',
        "cache-control": "no-store",
    }
    return StreamingResponse(_rows(call, await _wanted(call)), 200, headers, CSV)


async def _rows(call: Call, wanted: SuppressionQuery) -> AsyncIterator[bytes]:
    yield sheet_of(COLUMNS, [], headed=True)
    async for page in call.reports.suppressions.every(wanted):
        yield sheet_of(COLUMNS, map(cells_of, page), headed=False)


def _lines(body: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    return rows_of(body, ADD_MEMBERS)


async def _rules(call: Call) -> Response:
    return json_response(await call.reports.suppressions.rules(call.account_id))


async def _set_rules(call: Call) -> Response:
    await call.desk.set_suppression_rules(call.account_id, call.form)
    return json_response(await call.reports.suppressions.rules(call.account_id))


async def _wanted(call: Call) -> SuppressionQuery:
    query = call.query
    reason = query.get("reason")
    return SuppressionQuery(
        call.account_id,
        key_of(query.get("search", "")),
        None if reason is None else SuppressionReason(reason),
        await _user_id(call, query.get("api_user")),
    )


async def _user_id(call: Call, name: Any) -> int | None:
    """Return the id of an api user, 0 for all of them, None where none is named."""
    if name is None:
        return None
    users = await call.desk.engine.registry.api_users(call.account_id)
    scopes = {user.name: user.id for user in users}
    return {ALL: 0, **scopes}[forms.check_api_user(name, scopes)]


NARROWING = {
    "search": text("only addresses with this in them", 998),
    "reason": word("only for this reason", *SuppressionReason),
    "api_user": text("only those of this api user, `all`: of the whole account"),
}
_OF = Group("suppressions", TEXT_ID)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list suppressed addresses, by address",
        schemas.SuppressionPage,
        about="A search for a whole address that is on the list finds that alone. Any other looks"
        " at ten thousand entries at once: go on with `next`, also after an empty page.",
        query=NARROWING
        | {"after": mark("`next` of the page before", MAX_MARK_CHARS), "limit": LIMIT},
    ),
    _OF.act(
        PATH,
        _add,
        "put an address on the list, and show the entry that is in force",
        SuppressionView,
        about="It stays until `until`, or until somebody removes it. What is there for longer, or"
        " as long for a stronger reason, stays as it is.",
        body=asked.NewSuppression,
        refusals=(409,),
    ),
    _OF.act(
        PATH + "/check",
        _check,
        "ask whether addresses are suppressed, a thousand at once",
        schemas.CheckedAddresses,
        right=Right.READ,
        about="With `api_user`: for mail of this one, to which what is of the whole account"
        " counts, too; `all`: what is of the whole account alone. Without: for anybody's.",
        body=asked.AddressesToCheck,
        max_bytes=MAX_BYTES,
        is_safe=True,
    ),
    _OF.act(
        PATH + "/import",
        _import,
        "put the addresses of a table on the list",
        schemas.ImportedView,
        about=f"CSV in UTF-8 (RFC 4180), at most {MAX_LINES:,} lines and {MAX_BYTES:,} bytes. The"
        " first line names the columns: `address`, and any of `api_user`, `reason`, `note`,"
        " `until`; others are left out. One address on a line, without a head, will do. A line"
        " that is wrong keeps no other out.",
        body=str,
        body_types=(CSV,),
        max_bytes=MAX_BYTES,
        refusals=(409,),
    ),
    _OF.read(
        PATH + "/export",
        _export,
        "download the list as a table",
        str,
        about="CSV in UTF-8, which `import` takes.",
        query=NARROWING,
        answer_type=CSV,
    ),
    _OF.read(
        ONE,
        _show,
        "show why an address is suppressed",
        CheckedAddress,
        spans_slashes=True,
    ),
    _OF.act(
        ONE,
        _remove,
        "take an address off the list",
        None,
        about="For `api_user` alone, `all`: for the whole account; without it wherever it is. Only"
        " what happens from now on brings it back.",
        method="DELETE",
        body=None,
        status=204,
        query={"api_user": text("only for this api user, `all`: for the whole account")},
        spans_slashes=True,
    ),
    _OF.read(RULES, _rules, "show what puts addresses on the list by itself", SuppressionRulesView),
    _OF.act(
        RULES,
        _set_rules,
        "change what puts addresses on the list by itself, from now on",
        SuppressionRulesView,
        method="PATCH",
        body=asked.SuppressionRulesChange,
    ),
)
