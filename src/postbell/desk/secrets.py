"""Signing keys of webhooks: which kind a given one is, and samples of them."""

from datetime import datetime

from postbell.errors import BadInput
from postbell.ports import Dialect, NewSecret
from postbell.records import Secret, SecretKind
from postbell.signing import check_secret, new_secret


def choose(dialect: Dialect, kind: SecretKind | None, given: object, at: datetime) -> NewSecret:
    """Return the key to store: *given* (its kind known by its prefix) or a fresh one."""
    if not dialect.secret_kinds:
        raise BadInput(
            f"the dialect {dialect.name} signs nothing, so it has no keys",
            member="secret",
            reason="dialect_unsigned",
            dialect=dialect.title,
        )
    if kind is not None and kind not in dialect.secret_kinds:
        known = ", ".join(one.value for one in dialect.secret_kinds)
        raise BadInput(
            f"the dialect {dialect.name} has no keys of kind {kind.value}; known: {known}",
            member="kind",
            reason="unknown_kind",
            given=kind.value,
        )
    if given is None:
        kind = kind or dialect.secret_kinds[0]
        return NewSecret(kind, new_secret(kind), at)
    if not isinstance(given, str):
        raise BadInput("secret is not a string", member="secret", reason="not_text")
    kind = kind or _kind_of(given, dialect)
    check_secret(kind, given)
    return NewSecret(kind, given, at)


def sample_secrets(dialect: Dialect, at: datetime) -> list[Secret]:
    """Return one key of each kind the dialect uses, for asking it about its headers."""
    return [
        Secret(id=0, kind=kind, value=new_secret(kind), created_at=at, active_at=at)
        for kind in dialect.secret_kinds
    ]


def _kind_of(value: str, dialect: Dialect) -> SecretKind:
    for kind in dialect.secret_kinds:
        if value.startswith(f"{kind.value}_"):
            return kind
    return dialect.secret_kinds[0]
