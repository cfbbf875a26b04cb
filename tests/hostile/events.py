"""Events with hostile values in every member, as no source should send them."""

import typing
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from postbell.blocks import build_block
from postbell.dialects import DIALECTS
from postbell.events import NUMBER_OF, Draft, EventPart, EventType
from postbell.ports import Engine, NewSecret
from postbell.records import Webhook
from postbell.sealing import hash_key
from postbell.signing import new_secret
from tests.fakes import KEY

VALUES = (
    b"null",
    b'""',
    b'"\\u0000\\u202e\\u2066\\u009b31m\\r\\nBcc: eve@beta.example"',
    b'"\\ud800"',
    b'"\xff"',
    b'"' + b"x" * 60_000 + b'"',
    b'":;@b.example"',
    b'"0001-01-01T00:00:00-14:00"',
    b'"9999-12-31T23:59:60+14:00"',
    b'"http://[::1"',
    b"-1",
    b"1e999",
    b"9" * 5000,
    b"[" * 5000 + b"]" * 5000,
    b'{"a":{"b":null}}',
    b"true",
    b"}",
)
BASE = {
    "event_id": b'"e1"',
    "type": b'"hard_bounce"',
    "occurred_at": b'"2026-11-01T00:00:00.000000Z"',
    "account": b'"evil"',
    "api_user": b'"evil-mail"',
    "recipient": b'"ada@example.net"',
}


def members() -> Iterator[tuple[str, ...]]:
    """Yield the path of every member of an event, and of a link's and a client's parts."""
    for field in msgspec.structs.fields(Draft):
        yield (field.encode_name,)
        yield from _below((field.encode_name,), field.type)


def _below(path: tuple[str, ...], kind: object) -> Iterator[tuple[str, ...]]:
    for each in typing.get_args(kind) or (kind,):
        if isinstance(each, type) and issubclass(each, EventPart):
            for field in msgspec.structs.fields(each):
                yield (*path, field.encode_name)
                yield from _below((*path, field.encode_name), field.type)


def hostile(path: tuple[str, ...]) -> list[bytes]:
    """Return events that are whole but for the member at *path*."""
    return [_event(path, value) for value in VALUES]


def _event(path: tuple[str, ...], value: bytes) -> bytes:
    for name in reversed(path[1:]):
        value = b'{"' + name.encode() + b'":' + value + b"}"
    return (
        b"{"
        + b",".join(b'"%s":%s' % (n.encode(), v) for n, v in (BASE | {path[0]: value}).items())
        + b"}"
    )


async def add_hostile_events(engine: Engine, url: str) -> int:
    """Append every hostile event to the log, for an account of each member with a webhook of each
    dialect; return how many there are."""
    now = datetime.now(UTC)
    count = 0
    for number, path in enumerate(members()):
        name = f"member-{number}-{'.'.join(path)}"
        account = await engine.registry.add_account(name, now)
        user = await engine.registry.add_api_user(account.id, name, hash_key(KEY), now)
        for dialect in DIALECTS.values():
            await engine.registry.add_webhook(
                Webhook(
                    id=0,
                    account_id=account.id,
                    account=name,
                    url=url,
                    dialect=dialect.name,
                    created_at=now,
                    updated_at=now,
                ),
                [NewSecret(kind, new_secret(kind), now) for kind in dialect.secret_kinds[:1]],
            )
        code = bytes((NUMBER_OF[EventType.HARD_BOUNCE],))
        blocks = [
            build_block(account.id, user.id, [raw], code, at.to_bytes(8, "little"))
            for at, raw in enumerate(hostile(path), 1000 * number)
        ]
        await engine.log.append(blocks, [], head=await engine.log.head(), now=now)
        count += len(blocks)
    return count
