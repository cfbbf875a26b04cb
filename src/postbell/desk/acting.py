"""Who acts now: said once by each face for a request or a command, read where the desk writes."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from msgspec.structs import replace

from postbell.desk.auth import ClientAddress
from postbell.directory import Caller
from postbell.records import Owner
from postbell.trail import NOBODY, Actor, ActorKind

_actor: ContextVar[Actor] = ContextVar("postbell_actor", default=NOBODY)


@contextlib.contextmanager
def acts(actor: Actor) -> Iterator[None]:
    """Let *actor* be who makes every change inside the block."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def acting() -> Actor:
    """Return who acts now."""
    return _actor.get()


def acting_as(owner: Owner) -> Actor:
    """Return who acts now once it is known that it is this owner."""
    kind = ActorKind.OPERATOR if owner.is_operator else ActorKind.PERSON
    return replace(acting(), kind=kind, id=owner.id, name=owner.email)


def by_key(caller: Caller, client: ClientAddress, face: str) -> Actor:
    """Return the actor of a request that came with an api user's key; *client* as in its scope."""
    address = client[0] if client else ""
    return Actor(ActorKind.KEY, caller.key.id, caller.api_user.name, address, face)
