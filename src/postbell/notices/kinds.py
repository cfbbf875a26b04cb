"""What a notice can say: one row each."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec


class Kind(NamedTuple):
    """*text* is filled in with the notice's fields; *advice* is the way out, empty for none."""

    name: str
    text: str
    advice: str = ""


KINDS = (
    Kind(
        "webhook_failing",
        "Webhook {webhook_id} ({url}) fails since {since}: {failures} attempts in a row.",
        "Its events wait and are tried again. Look at the last answers on the webhook's page.",
    ),
    Kind(
        "webhook_paused",
        "Webhook {webhook_id} ({url}) is paused: {reason}.",
        "Nothing is sent to it until somebody resumes it; its events wait meanwhile.",
    ),
    Kind("webhook_recovered", "Webhook {webhook_id} ({url}) takes events again."),
    Kind(
        "webhook_behind",
        "Webhook {webhook_id} ({url}) is behind: {waiting} events wait, the oldest for {lag_s} s.",
        "Its receiver answers too slowly, or too few requests at once are allowed (concurrency).",
    ),
    Kind("webhook_caught_up", "Webhook {webhook_id} ({url}) has caught up."),
    Kind(
        "events_expiring",
        "{events} events for webhook {webhook_id} ({url}) will be dropped by retention from {at}"
        " on.",
        "Mend or resume the webhook, or send what is parked again, before then.",
    ),
    Kind(
        "account_silent",
        "No event of the account {account} has come in for {hours} hours.",
        "See whether what sends events still runs, and with a valid key.",
    ),
    Kind("account_heard", "Events of the account {account} come in again."),
)
BY_NAME = {kind.name: kind for kind in KINDS}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that changed; *fields* fill the kind's text."""

    kind: str
    at: datetime
    account_id: int
    account: str
    fields: dict[str, Any] = {}

    @property
    def text(self) -> str:
        return BY_NAME[self.kind].text.format(account=self.account, **self.fields)

    @property
    def advice(self) -> str:
        return BY_NAME[self.kind].advice


def subject_of(notices: list[Notice]) -> str:
    """Return the subject of a mail with these notices."""
    first = notices[0].text.partition(": ")[0].rstrip(".")
    more = f" (and {len(notices) - 1} more)" if len(notices) > 1 else ""
    return f"Postbell: {first}{more}"


def mail_text(notices: list[Notice], footer: str, most: int = 50) -> str:
    """Return the text of a mail; *most* notices are written out."""
    parts = []
    for notice in notices[:most]:
        parts.append(f"{notice.at:%Y-%m-%d %H:%M:%S} UTC, account {notice.account}\n{notice.text}")
        if notice.advice:
            parts[-1] += f"\n{notice.advice}"
    if len(notices) > most:
        parts.append(f"And {len(notices) - most} more.")
    if footer:
        parts.append(footer)
    return "\n\n".join(parts) + "\n"
