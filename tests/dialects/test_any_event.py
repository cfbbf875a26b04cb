"""Whatever ingest takes, every dialect writes: valid JSON, and the same bytes."""

from datetime import UTC, datetime
from itertools import product
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postbell.clock import to_us
from postbell.dialects import DIALECTS, find
from postbell.dialects.engagelab import OPTIONS as ENGAGELAB_OPTIONS
from postbell.dialects.mandrill import OPTIONS as MANDRILL_OPTIONS
from postbell.dialects.options import Option
from postbell.dialects.replies import message_number
from postbell.dialects.sendpulse import OPTIONS as SENDPULSE_OPTIONS
from postbell.events import TYPES, EventType
from postbell.ports import Dialect, Signing, Stored
from postbell.records import Secret, SecretKind
from tests.strategies import SENDABLE, stored, stored_events, texts


def _settings(name: str, options: tuple[Option, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Return the dialect with every combination of its options."""
    words = product(*(option.choices for option in options))
    names = [option.name for option in options]
    return [(name, find(name).check_options(dict(zip(names, row, strict=True)))) for row in words]


SETTINGS = [
    *_settings("native", ()),
    *_settings("sendpulse", SENDPULSE_OPTIONS),
    *_settings("sendpulse-bulk", ()),
    *_settings("mailgun", ()),
    *_settings("mandrill", MANDRILL_OPTIONS),
    *_settings("engagelab", ENGAGELAB_OPTIONS),
]
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SIGNING = Signing(
    url="https://example.net/",
    batch_id="bat_01",
    attempt=2,
    events=1,
    at=AT,
    secrets=[Secret(1, SecretKind.APP_KEY, "postbell-test-key", AT, AT)],
)
NUMBERS = {row.type: row.number for row in TYPES}


def weight(dialect: Dialect, event: Stored, options: dict[str, Any]) -> int:
    kind = EventType(msgspec.json.decode(event.raw)["type"])
    return dialect.weight(NUMBERS[kind], None, options)


def _json_of(dialect: Dialect, body: bytes) -> bytes:
    if dialect.content_type != "application/x-www-form-urlencoded":
        return body
    ((_, value),) = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict")
    return value.encode()


@st.composite
def carried(draw: st.DrawFn, most: int) -> tuple[Dialect, dict[str, Any], list[Stored]]:
    """A dialect under some options, and up to *most* events that one body of it can hold."""
    name, options = draw(st.sampled_from(SETTINGS))
    dialect = find(name)
    types = [kind for kind in SENDABLE if kind in dialect.carries(options)]
    if dialect.policy(options).max_events == 1 and not options.get("array"):
        most = 1
    events = draw(st.lists(stored_events(types), min_size=1, max_size=most))
    return dialect, options, events


@given(carried(most=4))
def test_any_acceptable_events_render_to_valid_json_and_always_the_same(
    drawn: tuple[Dialect, dict[str, Any], list[Stored]],
) -> None:
    dialect, options, events = drawn

    body = dialect.render(events, options)

    read = msgspec.json.decode(_json_of(dialect, body))
    wire = sum(weight(dialect, event, options) for event in events)
    assert (len(read) if isinstance(read, list) else 1) == wire
    assert dialect.render(list(events), dict(options)) == body
    sealed = dialect.seal(body, SIGNING, options)
    assert len(sealed) == len(body)
    assert dialect.seal(body, SIGNING, options) == sealed


@given(stored_events([EventType.DELIVERED, EventType.CLICK, EventType.HARD_BOUNCE]))
def test_no_dialect_rounds_a_time_up(event: Stored) -> None:
    happened_us = to_us(msgspec.json.decode(event.raw, type=_When).occurred_at)

    (pulse,) = msgspec.json.decode(find("sendpulse").render([event], {}))
    (bulk,) = msgspec.json.decode(find("sendpulse-bulk").render([event], {}))
    lab = msgspec.json.decode(find("engagelab").render([event], {}))

    assert pulse["timestamp"] == happened_us // 1_000_000
    assert bulk["timestamp"] == happened_us // 1_000_000
    assert lab["itime"] == happened_us // 1000


@given(texts(min_size=1))
@example("9007199254740991")
@example("9007199254740992")
@example("0")
@example("007")
@example("٣")
def test_a_message_number_fits_javascript_and_depends_on_the_id_alone(message_id: str) -> None:
    number = message_number(message_id)

    assert 1 <= number <= 2**53 - 1
    assert number == message_number(message_id)


@given(st.integers(1, 2**53 - 1))
def test_a_decimal_message_id_stands_for_itself(number: int) -> None:
    assert message_number(str(number)) == number


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_sample_is_an_event_that_ingest_takes_and_the_dialect_carries(name: str) -> None:
    dialect = DIALECTS[name]

    samples = [stored(sample) for sample in dialect.sample()]

    assert samples
    assert all(weight(dialect, sample, {}) == 1 for sample in samples)


class _When(msgspec.Struct):
    occurred_at: datetime
