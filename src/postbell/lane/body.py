"""What goes out for a batch, its body and its id: pure.  Comes after `cut`, before `courier`."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from xxhash import xxh3_128_digest

from postbell.blocks import Range
from postbell.logged import Logged, digest_of
from postbell.ports import Dialect
from postbell.records import Revision


class Rendered(NamedTuple):
    """A body and what the id of its batch is made from; no body where every event is gone.

    *digest* is that of the events; *body_hash* tells one body from another, and no more: it
    guards against nobody who means harm.
    """

    body: bytes
    events: int
    digest: bytes
    body_hash: bytes


Render = Callable[[Revision, Sequence[Logged]], Rendered]


def rendered(dialect: Dialect, revision: Revision, events: Sequence[Logged]) -> Rendered:
    """Return the body of these events under *revision*, whose dialect is *dialect*."""
    if not events:
        return Rendered(b"", 0, b"", b"")
    body = dialect.render(events, revision.options)
    return Rendered(body, len(events), digest_of(events), xxh3_128_digest(body))


def batch_id(
    webhook_id: int,
    revision: Revision,
    part: Range,
    made: Rendered,
    replay_id: int | None = None,
    *,
    is_anew: bool = False,
) -> str:
    """Return the id that every attempt of a batch carries.

    *part* is where its events lie, *made* its body; *is_anew* where it is cut anew because a new
    release renders it differently.
    Among what it is made from are the revision's rendering and the body itself, so that it never
    comes again with others: not when event ids come again after they were forgotten, not under
    another release, and not after a restored backup, where the same numbers are given to other
    webhooks, revisions and replays (promise 3).  Revisions of before that keep the ids that they
    had, which say of the rendering only its number.  No full stop in it (Standard Webhooks 1.0).
    """
    fact: tuple[object, ...]
    if revision.ids_name_bytes:
        rendering = (revision.number, revision.dialect, revision.options)
        fact = (webhook_id, rendering, part, made.digest, made.body_hash, replay_id)
    else:
        fact = (webhook_id, revision.number, part, made.digest, replay_id)
        if is_anew:
            fact = (*fact, made.body_hash)
    text = msgspec.json.encode(fact, order="sorted")
    return "bat_" + blake2b(text, digest_size=16).hexdigest()
