"""Golden bodies: each file under `golden/` says where it is from; the bytes never change."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from postbell.dialects import find
from tests.strategies import stored

CASES = sorted(Path(__file__).parent.glob("golden/*/*.json"))


def read(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return case


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_documented_event_is_written_as_documented(path: Path) -> None:
    case = read(path)
    dialect = find(path.parent.name)
    options = dialect.check_options(case["options"])
    events = [stored(event, 48211 + index) for index, event in enumerate(case["events"])]

    body = dialect.render(events, options)

    written = msgspec.json.encode(case["body"])
    assert body == (
        written if "field" not in case else urlencode({case["field"]: written}).encode()
    )


def test_every_golden_file_says_where_it_is_from() -> None:
    origins = [read(path)["from"] for path in CASES]

    assert len(CASES) >= 30
    assert all(len(origin) > 20 for origin in origins)


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        (
            "engagelab",
            "target sent delivered invalid_email soft_bounce open click unsubscribe report_spam",
        ),
        (
            "mailgun",
            "accepted delivered permanent_fail temporary_fail opened clicked unsubscribed"
            " complained",
        ),
        (
            "mandrill",
            "send deferral delivered hard_bounce soft_bounce open click spam unsub reject",
        ),
        (
            "sendpulse",
            "delivered undelivered opened clicked unsubscribed spam_by_user resubscribed"
            " soft_bounces hard_bounces",
        ),
        (
            "sendpulse-bulk",
            "delivered open redirect unsubscribe spam new_emails soft_bounces hard_bounces",
        ),
    ],
)
def test_every_word_of_a_provider_has_a_golden_file(dialect: str, words: str) -> None:
    names = {path.stem for path in CASES if path.parent.name == dialect}

    assert set(words.split()) <= names
