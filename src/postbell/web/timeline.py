"""The pages at `/messages/{id}` and `/events/{id}`: what happened to one message, and where each
event of it was delivered."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from postbell.events import Event
from postbell.plain import plain
from postbell.reports.event_views import Delivery, RecipientView, TracedMessage
from postbell.reports.search import Hit
from postbell.web.page import page
from postbell.web.search import said_of
from postbell.web.site import Site
from postbell.web.visit import Visit

MAX_JSON = 25
"""Events shown whole on one page; beyond it each has a page of its own."""

IDS = ("id", "email_id", "rfc_message_id", "esp_id", "queue_id")


class TimelineRow(NamedTuple):
    """An event on the page: how long *after* the first, what it *said*, and its JSON."""

    event: Event
    deliveries: Sequence[Delivery]
    after: str
    said: str
    is_machine: bool
    json: str


def routes(site: Site) -> list[Route]:
    """Return the routes of a message and of an event."""
    return [
        page(site, "/messages/{id:path}", GET=_message),
        page(site, "/events/{id}", GET=_event),
    ]


async def _message(visit: Visit) -> Response:
    found = await visit.site.reports.timeline.message(visit.account_id, visit.name[:1000])
    return _page(visit, found)


async def _event(visit: Visit) -> Response:
    traced = await visit.site.reports.timeline.event(visit.account_id, visit.name[:200])
    event = traced.event
    recipient = RecipientView(event.recipient, event.type, None)
    subject, sender = event.message.subject, event.message.from_
    return _page(visit, TracedMessage("", subject, sender, [recipient], [traced], False))


def _page(visit: Visit, found: TracedMessage) -> Response:
    is_short = len(found.events) <= MAX_JSON
    first = found.events[0].event.occurred_at
    rows = []
    for traced in found.events:
        event, after_s = traced.event, (traced.event.occurred_at - first).total_seconds()
        rows.append(
            TimelineRow(
                event=event,
                deliveries=traced.deliveries,
                after=visit.format.duration(after_s) if after_s > 0 else "",
                said=said_of(event),
                is_machine=event.actor.kind in ("prefetch", "scanner"),
                json=_json(traced.hit) if is_short else "",
            )
        )
    return visit.render(
        "timeline.html",
        message=found,
        rows=rows,
        ids=_ids([row.event for row in rows]),
        sentence=_sentence(visit, found.recipients),
    )


def _sentence(visit: Visit, recipients: Sequence[RecipientView]) -> str:
    """Return the state of the message in words."""
    if len(recipients) > 1:
        count = visit.format.number(len(recipients))
        return visit.say("timeline.many", n=len(recipients), count=count)
    [one] = recipients
    state = visit.say(f"type.{one.state}") if one.state else visit.say("timeline.no_state")
    return visit.say("timeline.one", state=state, recipient=one.recipient)


def _ids(events: Sequence[Event]) -> dict[str, list[str]]:
    """Return the ids by which the message is known, each once."""
    found = {name: [getattr(event.message, name) for event in events] for name in IDS}
    once = {name: list(dict.fromkeys(filter(None, ids))) for name, ids in found.items()}
    return {name: ids[:5] for name, ids in once.items() if ids}


def _json(hit: Hit) -> str:
    return msgspec.json.format(msgspec.json.encode(plain(hit.on_wire())), indent=2).decode()
