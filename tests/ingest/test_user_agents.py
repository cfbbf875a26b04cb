"""What a User-Agent names is stored with the event, once, and said by every dialect."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.events import Client
from postbell.ingest.accepting import accept
from postbell.ingest.user_agents import MAX_READ_CHARS, described

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = WINDOWS + " Chrome/140.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
MAIL = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Mobile/15E148"
)
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({"ua": FIREFOX}, {"name": "Firefox", "name_version": "141.0", "os": "Linux"}),
        (
            {"ua": CHROME},
            {"name": "Chrome", "name_version": "140.0", "os": "Windows", "os_version": "10"},
        ),
        (
            {"ua": MAIL, "ip": "203.0.113.7"},
            {"name": "Mobile Safari UI/WKWebView", "os": "iOS", "os_version": "17.5"},
        ),
        (
            {"ua": PROXY},
            {"name": "GmailImageProxy", "os": "Windows", "os_version": "XP"},
        ),
        ({"ua": FIREFOX, "name": "Thunderbird"}, {"os": "Linux"}),
        (
            {"ua": FIREFOX, "os": "Debian", "os_version": "13"},
            {"name": "Firefox", "name_version": "141.0"},
        ),
        (
            {"ua": FIREFOX, "name": "", "os": ""},
            {"name": "Firefox", "name_version": "141.0", "os": "Linux"},
        ),
        ({"ua": FIREFOX, "name": "A", "os": "B"}, {}),
        ({"ua": "nobody knows this one"}, {}),
        ({"ua": ""}, {}),
        ({"ip": "203.0.113.7"}, {}),
    ],
)
def test_what_was_not_given_is_read_off_the_user_agent(
    given: dict[str, str], added: dict[str, str]
) -> None:
    assert stored(given)["client"] == given | added


def test_the_id_is_made_of_what_was_given_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = stored({"ua": FIREFOX})
    monkeypatch.setattr("postbell.ingest.accepting.described", lambda client: client)

    assert stored({"ua": FIREFOX})["event_id"] == known["event_id"]
    assert "name" not in stored({"ua": FIREFOX})["client"]


@given(st.text(max_size=2 * MAX_READ_CHARS))
def test_no_user_agent_is_too_odd(text: str) -> None:
    found = described(Client(ua=text, ip="203.0.113.7"))

    assert (found.ua, found.ip) == (text, "203.0.113.7")
    assert len(found.name or "") <= 2 * MAX_READ_CHARS


def stored(client: dict[str, str]) -> dict[str, Any]:
    event = {"type": "open", "recipient": "ada@example.net", "occurred_at": 1755860412}
    raw = json.dumps(event | {"client": client}).encode()
    found = accept(raw, account="acme", api_user="acme", api_user_id=lambda name: 1, now=NOW)
    kept: dict[str, Any] = json.loads(found.raw)
    return kept
