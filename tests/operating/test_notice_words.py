"""Notices by mail are in the language and the time zone of who reads them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postbell.operating.notices.kinds import KINDS, Kind, Notice
from postbell.operating.notices.posting import _view
from postbell.operating.notices.wording import Addressee, Wording
from postbell.web import words
from tests.fakes import FakeClock
from tests.operating.rig import OPERATOR, watched

ADA = "ada@acme.example"
PASSWORD = "correct horse battery"
FIELDS: dict[str, Any] = {
    "webhook_id": 7,
    "url": "https://app.example.com",
    "since": "2026-11-21T11:58:00Z",
    "failures": 2,
    "reason": "gone",
    "waiting": 1204,
    "parked": 3,
    "lag_s": 901,
    "events": 21,
    "at": "2026-11-24T12:00:00Z",
    "hours": "2.5",
    "by_s": -2_678_400.0,
    "machine": "mx1",
    "source": "mail",
    "state": "failing",
    "fault": "cannot read /var/log/mail.log: Permission denied",
    "unread_bytes": 2_400_000,
    "settings": "fsync, full_page_writes",
}


def notice(kind: str, clock: FakeClock, **fields: Any) -> Notice:
    return Notice(kind=kind, at=clock.now(), account_id=1, account="acme", fields=FIELDS | fields)


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_its_words(kind: Kind, language: str, clock: FakeClock) -> None:
    wording = Wording(Addressee(ADA, language))
    told = notice(kind.name, clock)

    assert wording.text(told).endswith(".")
    assert wording.subject([told]).startswith("Postbell: ")
    assert "{" not in wording.mail([told], "")
    assert kind.counted in ("", *FIELDS)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "is behind: 1,204 events wait, the oldest for 15\u00a0m 1\u00a0s."),
        ("ru", "отстаёт: ждут 1\u00a0204 события, самое старое — 15\u00a0мин 1\u00a0с."),
        ("fr", "est en retard : 1\u202f204 événements attendent, le plus ancien depuis"),
    ],
)
def test_numbers_and_times_are_written_as_the_language_writes_them(
    language: str, said: str, clock: FakeClock
) -> None:
    text = Wording(Addressee(ADA, language)).text(notice("webhook_behind", clock))

    assert said in text


def test_a_pause_says_why_in_words(clock: FakeClock) -> None:
    text = Wording(Addressee(ADA, "ru")).text(notice("webhook_paused", clock))

    assert text == "Вебхук 7 (https://app.example.com) приостановлен: он ответил 410."


def test_times_are_in_the_readers_zone_and_in_utc(clock: FakeClock) -> None:
    mail = Wording(Addressee(ADA, "fr", "Asia/Tokyo")).mail([notice("webhook_failing", clock)], "")

    assert "depuis 2026-11-21 20:58:00 JST = 2026-11-21 11:58:00 UTC" in mail


@pytest.mark.parametrize(
    ("language", "more"), [("en", "(and 2 more)"), ("ru", "(и ещё 2)"), ("fr", "(et 2 de plus)")]
)
def test_a_mail_of_several_counts_the_others(language: str, more: str, clock: FakeClock) -> None:
    several = [notice(kind, clock) for kind in ("webhook_paused", "account_heard", "account_heard")]

    assert Wording(Addressee(ADA, language)).subject(several).endswith(more)


def test_machines_get_english(clock: FakeClock) -> None:
    view = _view(notice("webhook_recovered", clock))

    assert view["text"] == "Webhook 7 (https://app.example.com) takes events again."
    assert view["since"] == FIELDS["since"]


async def test_everybody_reads_their_own_language(tmp_path: Path) -> None:
    async with watched(tmp_path) as rig:
        desk = rig.service.desk
        for email, chosen in ((ADA, "ru"), ("luc@acme.example", "")):
            owner = await desk.create_owner(rig.service.acme, email, PASSWORD)
            await desk.prefer(owner, language=chosen)
        await desk.create_owner(rig.service.acme, "new@acme.example", None)
        await desk.sign_in(ADA, PASSWORD, "en")
        await desk.sign_in("luc@acme.example", PASSWORD, "fr")
        await rig.service.webhook()
        await rig.tell()

        await rig.lane(failing_since=rig.service.clock.now(), failures=2)
        await rig.tell()

        assert "2 attempts in a row" in rig.mailbox.texts(OPERATOR)[0]
        assert "2 неудачные попытки подряд" in rig.mailbox.texts(ADA)[0]
        assert "2 essais de suite" in rig.mailbox.texts("luc@acme.example")[0]
        assert "2 attempts in a row" in rig.mailbox.texts("new@acme.example")[0]


async def test_who_changes_the_language_gets_the_next_mail_in_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as rig:
        owner = await rig.service.desk.create_owner(rig.service.acme, ADA, None)
        await rig.service.webhook()
        await rig.tell()
        await rig.lane(failing_since=rig.service.clock.now(), failures=2)
        await rig.tell()

        await rig.service.engine.owners.prefer(owner.id, language="fr")
        rig.service.clock.advance(timedelta(seconds=10).total_seconds())
        await rig.lane(failing_since=None, failures=0, last_success_at=rig.service.clock.now())
        await rig.tell(100)

        assert "accepte de nouveau" in rig.mailbox.texts(ADA)[1]
