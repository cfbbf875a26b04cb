"""The suppression list: who is not to be mailed, why, and what puts addresses on it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from postbell.errors import BadInput, Conflict, NotFound
from postbell.ports import SuppressionQuery
from postbell.records import ALL
from postbell.reports.suppressions import COLUMNS, SuppressionView, cells_of
from postbell.suppressions import MAX_NOTE_CHARS, AccountRules, SuppressionReason
from postbell.text.numerals import whole
from postbell.text.recipients import key_of
from postbell.text.sheets import sheet_of
from postbell.web import merging
from postbell.web.page import page
from postbell.web.problems import explain
from postbell.web.site import Site
from postbell.web.visit import Visit, with_query

PATH = "/suppressions"
ON_A_PAGE = 40
FILTERS = ("search", "reason")
RULES = ("hard_bounce", "soft_bounce", "complaint", "unsubscribe")
RULE_MEMBERS = ("after", "within_days", "lasts_days")
ADDED = ("addresses", "api_user", "note", "until")
MAX_ADDRESSES = 1000


class Problems(NamedTuple):
    """What is wrong with one of the forms of the page: *where* names it."""

    where: str = ""
    members: Mapping[str, str] = {}
    status: int = 200


def routes(site: Site) -> list[Route]:
    """Return the routes of the list."""
    return [
        page(site, PATH, GET=_list, POST=_add, again=_list),
        page(site, PATH + "/remove", POST=_remove),
        page(site, PATH + "/rules", POST=_set_rules, again=_list),
        page(site, PATH + "/export", GET=_export),
    ]


async def _list(visit: Visit) -> Response:
    return await _show(visit)


async def _show(visit: Visit, wrong: Problems = Problems()) -> Response:  # noqa: B008  # frozen
    filters = {name: visit.query(name).strip() for name in FILTERS}
    problems: dict[str, str] = {}
    reason = None
    if filters["reason"] and filters["reason"] not in tuple(SuppressionReason):
        problems["reason"] = visit.say("form.no_such_choice", given=filters["reason"][:40])
    elif filters["reason"]:
        reason = SuppressionReason(filters["reason"])
    rows: list[SuppressionView] = []
    more = None
    if not problems:
        wanted = SuppressionQuery(visit.account_id, key_of(filters["search"]), reason)
        try:
            rows, more = await visit.site.reports.suppressions.page(
                wanted, after=visit.query("after"), limit=ON_A_PAGE
            )
        except BadInput as error:
            problems[error.member] = explain(visit.say, error)
    account = await visit.site.desk.suppression_rules(visit.account_id)
    is_filtered = any(filters.values()) or bool(visit.query("after"))
    return visit.render(
        "suppressions.html",
        422 if problems else wrong.status,
        filters=filters,
        problems=problems,
        wrong=wrong,
        sentence=_sentence(visit, account),
        reasons=[each.value for each in SuppressionReason],
        rows=rows,
        all_users=ALL,
        users=[user.name for user in await _users(visit)],
        typed={name: visit.form.text(name) for name in ADDED},
        note_chars=MAX_NOTE_CHARS,
        account=account,
        rules=RULES,
        members=RULE_MEMBERS,
        shown=_shown_rules(visit, account),
        base=merging.carried(_fields(account)),
        next_page=with_query(PATH, filters | {"after": more}) if more else "",
        first_page=with_query(PATH, filters) if visit.query("after") else "",
        is_filtered=is_filtered,
    )


def _sentence(visit: Visit, account: AccountRules) -> str:
    count = visit.format.number(account.entries)
    how = visit.say("suppressions.by_rules" if account.rules.is_on else "suppressions.by_hand")
    return f"{visit.say('suppressions.count', n=account.entries, count=count)} {how}"


async def _users(visit: Visit) -> list[Any]:
    return [
        user
        for user in await visit.site.reports.api_users(visit.account_id)
        if user.revoked_at is None
    ]


async def _add(visit: Visit) -> Response:
    """Put the addresses that were typed on the list, all that can be."""
    form, zone = visit.form, visit.format
    typed = enumerate(form.text("addresses").replace(",", " ").splitlines(), 1)
    addresses = [(line, each) for line, text in typed for each in text.split()]
    if not addresses or len(addresses) > MAX_ADDRESSES:
        key = "suppressions.none_typed" if not addresses else "suppressions.too_many"
        return await _wrong(visit, "add", addresses=visit.say(key, most=MAX_ADDRESSES))
    user = form.text("api_user")
    try:
        until = zone.local(zone.shared_moment(form.text("until"), "until"))
        more = {
            "api_user": user or None,
            "note": form.text("note"),
            "until": None if until is None else until.isoformat(),
        }
        await visit.site.desk.check_suppression_terms(visit.account_id, more)
        if len(addresses) == 1:
            await visit.site.desk.add_suppression(
                visit.account_id, {"address": addresses[0][1], **more}
            )
        else:
            lines = [(n, {"address": each, **more}) for n, (_, each) in enumerate(addresses)]
            done = await visit.site.desk.import_suppressions(visit.account_id, lines)
            if done.refused:
                line, given = addresses[done.refused[0].line]
                said = visit.say(
                    "suppressions.refused",
                    n=len(done.refused),
                    line=visit.format.number(line),
                    given=given[:80],
                )
                return await _wrong(visit, "add", addresses=said)
    except (BadInput, Conflict) as error:
        member = getattr(error, "member", "") or "addresses"
        name = "addresses" if member == "address" else member
        return await _wrong(visit, "add", **{name: explain(visit.say, error)})
    return visit.redirect(PATH, "suppressed")


async def _wrong(visit: Visit, where: str, **members: str) -> Response:
    return await _show(visit, Problems(where, members, 422))


async def _remove(visit: Visit) -> Response:
    form = visit.form
    try:
        await visit.site.desk.remove_suppression(
            visit.account_id, form.raw("address"), form.text("api_user", ALL)
        )
    except NotFound:
        return visit.redirect(PATH, "unsuppressed_before")
    return visit.redirect(PATH, "unsuppressed")


async def _set_rules(visit: Visit) -> Response:
    """Change the rules that this form changed, unless somebody else changed them meanwhile."""
    desk = visit.site.desk
    account = await desk.suppression_rules(visit.account_id)
    if merging.is_moved(visit.form, _fields(account)):
        return await _show(visit, Problems("rules", {"": visit.say("merge.moved")}, 409))
    form: dict[str, Any] = {"is_on": visit.form.has("is_on")}
    for rule in RULES:
        for member in RULE_MEMBERS:
            number = whole(visit.form.text(f"{rule}.{member}"))
            form.setdefault(rule, {})[member] = -1 if number is None else number
    try:
        await desk.set_suppression_rules(visit.account_id, form)
    except BadInput as error:
        said = explain(visit.say, error)
        return await _show(visit, Problems("rules", {error.member: said}, 422))
    return visit.redirect(PATH, "saved")


def _fields(account: AccountRules) -> dict[str, str]:
    """Return the rules as the fields of the form."""
    found = {"is_on": "on" if account.rules.is_on else ""}
    for rule in RULES:
        row = account.rules.of(SuppressionReason(rule))
        found |= {f"{rule}.{member}": str(getattr(row, member)) for member in RULE_MEMBERS}
    return found


def _shown_rules(visit: Visit, account: AccountRules) -> dict[str, str]:
    """Return the fields as they were typed, as they are stored where none were."""
    stored = _fields(account)
    if not visit.form.has("hard_bounce.after"):
        return stored
    return {name: visit.form.text(name) for name in stored}


async def _export(visit: Visit) -> Response:
    headers = {"content-disposition": 'attachment; filename="suppressions.csv"'}
    return StreamingResponse(_sheets(visit), 200, headers, "text/csv; charset=utf-8")


async def _sheets(visit: Visit) -> AsyncIterator[bytes]:
    yield sheet_of(COLUMNS, [], headed=True)
    wanted = SuppressionQuery(visit.account_id)
    async for rows in visit.site.reports.suppressions.every(wanted):
        yield sheet_of(COLUMNS, map(cells_of, rows), headed=False)
