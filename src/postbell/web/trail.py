"""The audit trail: who changed what in the account, and for operators in the installation."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from postbell.errors import BadInput
from postbell.ports import TrailQuery
from postbell.reports import Page
from postbell.reports.trail import ActorView, TrailEntryView
from postbell.reports.views import extended
from postbell.trail import ACTIONS, ActorKind
from postbell.web.page import page
from postbell.web.problems import explain, shared_times
from postbell.web.site import Site
from postbell.web.visit import Visit, with_query

PATH = "/settings/trail"
WHOLE = "/operator/trail"
ON_A_PAGE = 30
FILTERS = ("actor", "action", "subject", "since", "until")
PAGES = {"webhook": "/webhooks/", "batch": "/batches/"}


class Difference(NamedTuple):
    """One member of a change, as text; None where it was not, or is no more."""

    name: str
    was: str | None
    now: str | None


class TrailRow(TrailEntryView, frozen=True, kw_only=True):
    """An entry in words; *href* opens what was changed, *thing* is how it is searched for."""

    who: str
    did: str
    face: str
    href: str
    thing: str
    differences: list[Difference]


def routes(site: Site) -> list[Route]:
    """Return the routes of the trail."""
    return [
        page(site, PATH, GET=_of_account),
        page(site, WHOLE, operator=True, GET=_of_installation),
    ]


async def _of_account(visit: Visit) -> Response:
    return await _show(visit, PATH, visit.account_id)


async def _of_installation(visit: Visit) -> Response:
    return await _show(visit, WHOLE, None)


async def _show(visit: Visit, path: str, account_id: int | None) -> Response:
    filters = {name: visit.query(name).strip()[:120] for name in FILTERS}
    exact, problems = shared_times(visit.say, visit.format, filters)
    if not problems and exact != filters:
        return visit.redirect(with_query(path, exact))
    found: Page[TrailEntryView] = Page([], None)
    if not problems:
        wanted = TrailQuery(
            account_id,
            since=visit.format.local(exact["since"]),
            until=visit.format.local(exact["until"]),
            actor=exact["actor"],
            action=exact["action"],
            subject=exact["subject"],
            hides_staff=not visit.is_operator,
        )
        try:
            found = await visit.site.reports.trail.entries(
                wanted, after=visit.query("after"), limit=ON_A_PAGE
            )
        except BadInput as error:
            problems[error.member] = explain(visit.say, error)
    is_filtered = any(filters.values()) or bool(visit.query("after"))
    rows = [_row(visit, entry) for entry in found.rows]
    return visit.render(
        "trail.html",
        422 if problems else 200,
        path=path,
        is_whole=account_id is None,
        sentence=_sentence(visit, rows, is_filtered, found.next is not None),
        rows=rows,
        filters=filters,
        local={name: visit.format.input_moment(exact[name]) for name in ("since", "until")},
        problems=problems,
        actors=await _actors(visit, account_id, filters["actor"]),
        actions=[action.name for action in ACTIONS],
        next_page=with_query(path, exact | {"after": found.next}) if found.next else "",
        first_page=with_query(path, exact) if visit.query("after") else "",
        is_filtered=is_filtered,
    )


def _sentence(visit: Visit, rows: list[TrailRow], is_filtered: bool, has_more: bool) -> str:
    if not rows and has_more:
        return visit.say("trail.none_yet")
    if not rows:
        return visit.say("trail.none_fit" if is_filtered else "trail.none")
    newest = rows[0]
    ago = visit.format.ago_text(newest.at)
    key = "trail.newest_fit" if is_filtered else "trail.newest"
    return visit.say(key, ago=ago, who=newest.who, did=newest.did)


async def _actors(visit: Visit, account_id: int | None, chosen: str) -> list[tuple[str, str]]:
    """Return who can be chosen: kinds, and the account's own people and api users by name."""
    kinds = [(kind.value, visit.say(f"trail.kind.{kind.value}")) for kind in ActorKind]
    names: Iterable[str] = ()
    if account_id is not None:
        owners = await visit.site.desk.engine.owners.users(account_id)
        users = await visit.site.reports.api_users(account_id)
        names = [owner.email for owner in owners] + [user.name for user in users]
    known = dict(kinds) | {name: name for name in names if name not in dict(kinds)}
    if chosen and chosen not in known:
        known[chosen] = chosen
    return list(known.items())


def _row(visit: Visit, entry: TrailEntryView) -> TrailRow:
    subject = entry.subject
    href = PAGES.get(subject.kind, "")
    return extended(
        entry,
        TrailRow,
        who=_who(visit, entry.actor),
        did=visit.say(f"trail.did.{entry.action}"),
        face=visit.say(f"trail.face.{entry.actor.face or 'none'}"),
        href=f"{href}{quote(subject.id, safe='')}" if href else "",
        thing=f"{subject.kind}:{subject.id}",
        differences=_differences(entry.old, entry.new),
    )


def _who(visit: Visit, actor: ActorView) -> str:
    if actor.kind is ActorKind.PERSON:
        return actor.name
    shown = visit.say(f"trail.kind.{actor.kind}")
    return f"{shown} {actor.name}" if actor.name else shown


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    return [
        Difference(name, _text(old, name), _text(new, name)) for name in dict.fromkeys((*old, *new))
    ]


def _text(side: dict[str, Any], name: str) -> str | None:
    if name not in side or side[name] is None or side[name] == "":
        return None
    value = side[name]
    return str(value).lower() if isinstance(value, bool) else str(value)
