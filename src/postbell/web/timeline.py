"""The pages at `/messages/{id}` and `/events/{id}`: what happened to one message, and where each
event of it was delivered."""

from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from postbell.web.page import page
from postbell.web.search import said_of
from postbell.web.site import Site
from postbell.web.visit import Visit

MAX_JSON = 25
"""Events shown whole on one page; beyond it each has a page of its own."""

IDS = ("id", "email_id", "rfc_message_id", "esp_id", "queue_id")


def routes(site: Site) -> list[Route]:
    """Return the routes of a message and of an event."""
    return [
        page(site, "/messages/{id:path}", GET=_message),
        page(site, "/events/{id}", GET=_event),
    ]


async def _message(visit: Visit) -> Response:
    found = await visit.site.reports.timeline.message(visit.account_id, visit.name[:1000])
    return _page(visit, found, found["events"], visit.name)


async def _event(visit: Visit) -> Response:
    view = await visit.site.reports.timeline.event(visit.account_id, visit.name[:200])
    message = view.get("message", {})
    found = {
        "subject": message.get("subject"),
        "from": message.get("from"),
        "recipients": [{"recipient": view["recipient"], "state": view["type"], "since": None}],
        "is_partial": False,
    }
    return _page(visit, found, [view], "")


def _page(
    visit: Visit, found: dict[str, Any], events: list[dict[str, Any]], message_id: str
) -> Response:
    first = datetime.fromisoformat(events[0]["occurred_at"])
    for view in events:
        at = datetime.fromisoformat(view["occurred_at"])
        view["after"] = visit.format.duration((at - first).total_seconds()) if at > first else ""
        view["said"] = said_of(view)
        view["is_machine"] = view.get("actor", {}).get("kind") in ("prefetch", "scanner")
        view["json"] = _json(view) if len(events) <= MAX_JSON else ""
    return visit.render(
        "timeline.html",
        message=found,
        message_id=message_id,
        events=events,
        ids=_ids(events),
        sentence=_sentence(visit, found),
    )


def _sentence(visit: Visit, found: dict[str, Any]) -> str:
    """Return the state of the message in words."""
    recipients = found["recipients"]
    if len(recipients) > 1:
        count = visit.format.number(len(recipients))
        return visit.say("timeline.many", n=len(recipients), count=count)
    [one] = recipients
    state = visit.say(f"type.{one['state']}") if one["state"] else visit.say("timeline.no_state")
    return visit.say("timeline.one", state=state, recipient=one["recipient"])


def _ids(events: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the ids by which the message is known, each once."""
    heads = [view.get("message", {}) for view in events]
    found = {name: list(dict.fromkeys(h[name] for h in heads if h.get(name))) for name in IDS}
    return {name: ids[:5] for name, ids in found.items() if ids}


def _json(view: dict[str, Any]) -> str:
    ours = ("deliveries", "after", "said", "is_machine", "json")
    event = {name: value for name, value in view.items() if name not in ours}
    return msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
