"""Structs and times as JSON has them."""

from datetime import UTC, datetime, timedelta, timezone

from msgspec import UNSET, Struct, UnsetType

from postbell.plain import plain

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TEXT = "2026-11-21T12:00:00.000000Z"


class Seen(Struct, frozen=True):
    at: datetime | None
    more: UnsetType | int = UNSET


def test_times_are_text_of_six_digits_in_utc_wherever_they_lie() -> None:
    there = AT.astimezone(timezone(timedelta(hours=3)))

    found = plain({"a": AT, "b": [there, (there, None)], "c": {"d": {"e": there}}, "f": Seen(AT)})

    assert found == {
        "a": TEXT, "b": [TEXT, [TEXT, None]], "c": {"d": {"e": TEXT}}, "f": {"at": TEXT},
    }  # fmt: skip


def test_what_is_unset_is_left_out_and_what_is_none_is_not() -> None:
    assert plain([Seen(None), Seen(AT, 0)]) == [{"at": None}, {"at": TEXT, "more": 0}]


def test_what_was_given_is_not_changed() -> None:
    given = {"at": AT, "inner": {"at": AT}, "list": [AT]}

    plain(given)

    assert given == {"at": AT, "inner": {"at": AT}, "list": [AT]}
