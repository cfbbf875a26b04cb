"""The dialect that "Add a dialect" shows works as it stands, and the page shows it whole."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from hypothesis import given

from postbell.events import NUMBER_OF, EventType
from postbell.ports import Dialect, Signing, Stored
from postbell.records import Secret, SecretKind
from tests.strategies import stored, stored_events

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def load() -> Dialect:
    spec = importlib.util.spec_from_file_location("acme", HOWTO / "examples" / "acme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dialect: Dialect = module.dialect
    return dialect


ACME = load()


def test_the_page_shows_the_whole_example() -> None:
    code = (HOWTO / "examples" / "acme.py").read_text()

    assert f"```python\n{code}```" in (HOWTO / "add-a-dialect.md").read_text()


def test_the_example_tells_an_event_in_its_words_and_unit() -> None:
    event = stored(
        {
            "type": "hard_bounce",
            "recipient": "bob@example.org",
            "occurred_at": "2025-08-22T10:00:02.9Z",
        }
    )

    in_s = ACME.render([event], ACME.check_options({"unit": "s"}))
    in_ms = ACME.render([event], ACME.check_options({"unit": "ms"}))

    assert in_s == b'[{"what":"returned","who":"bob@example.org","when":1755856802}]'
    assert in_ms == b'[{"what":"returned","who":"bob@example.org","when":1755856802900}]'


@given(stored_events([EventType.DELIVERED, EventType.SOFT_BOUNCE, EventType.OPEN]))
def test_the_example_keeps_the_rules_that_the_page_states(event: Stored) -> None:
    body = ACME.render([event], {})

    assert len(msgspec.json.decode(body)) == 1
    assert ACME.render([event], {}) == body


def test_the_example_carries_its_words_only() -> None:
    weights = {kind: ACME.weight(number, None, {}) for kind, number in NUMBER_OF.items()}

    assert {kind for kind, weight in weights.items() if weight} == ACME.carries({})
    assert len(ACME.sample()) == len(ACME.carries({}))


def test_the_example_sends_its_newest_key_as_a_token() -> None:
    keys = [Secret(1, SecretKind.APP_KEY, "new_key_1", AT, AT)]
    about = Signing(
        url="https://example.net/", batch_id="bat_01", attempt=1, events=2, at=AT, secrets=keys
    )

    headers = dict(ACME.headers(b"[]", about, {}))

    assert headers["acme-token"] == "new_key_1"
    assert headers["postbell-events"] == "2"
