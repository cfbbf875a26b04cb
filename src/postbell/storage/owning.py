"""What owners may not do to each other: the same words for every engine."""

from typing import Any

from postbell.errors import Conflict
from postbell.records import Owner


def taken(email: str) -> Conflict:
    """Return the error for a second owner of an address."""
    return Conflict(
        f"{email} signs in already; choose another address", reason="email_taken", given=email
    )


def too_many(most: int) -> Conflict:
    """Return the error for a user over the limit of an account."""
    return Conflict(
        f"the account has {most} users, which is its limit", reason="owners_many", most=most
    )


def last_user() -> Conflict:
    """Return the error for taking away who is the only user of an account."""
    return Conflict(
        "this is the last user of the account; add another one first", reason="owner_last"
    )


def last_operator() -> Conflict:
    """Return the error for taking away who is the only operator of the installation."""
    return Conflict(
        "this is the last operator of the installation; add another one first",
        reason="operator_last",
    )


def password_moved() -> Conflict:
    """Return the error for a password that was changed while another one was set."""
    return Conflict(
        "the password was changed meanwhile; nothing was written", reason="password_moved"
    )


def check_unmoved(owner: Owner, expect: Owner | None, **given: Any) -> None:
    """Raise Conflict where a preference that is *given* is no longer as in *expect*."""
    for name, value in given.items():
        if expect is not None and value is not None:
            present = getattr(owner, name)
            if present not in (getattr(expect, name), value):
                raise Conflict(
                    f"{name} was changed meanwhile; nothing was written",
                    reason="changed_meanwhile",
                    member=name,
                )
