"""The five operations on webhooks: `/v2/email-service/webhook`, one row for each action.

A row is one webhook of one action.  A webhook in this dialect with several types, made through
another face, shows as several rows with one id.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from postbell.desk import Desk
from postbell.dialects.endpoint import Asked
from postbell.dialects.sendpulse_api import bodies
from postbell.dialects.sendpulse_bulk import ACTION, UNTOLD, WORDS
from postbell.errors import BadInput, NotFound, PostbellError
from postbell.records import Webhook
from postbell.reports import Reports
from postbell.text.numerals import whole
from postbell.warrants import under

DIALECT = "sendpulse-bulk"
TYPE_OF_WORD = {word: kind for kind, word in WORDS.items()}
ACTIONS = (*TYPE_OF_WORD, *UNTOLD)


class Webhooks:
    """Each operation, from a checked request to the documented `data`."""

    def __init__(self, desk: Desk, reports: Reports) -> None:
        self._desk = desk
        self._reports = reports

    async def query(self, asked: Asked) -> list[dict[str, Any]]:
        """List the account's rows, the newest first; query and body are not looked at."""
        found = await self._reports.matching_webhooks(asked.account_id, dialect=DIALECT)
        return [row for webhook in reversed(found) for row in _rows(webhook)]

    async def get(self, asked: Asked) -> dict[str, Any]:
        """Return one row; of a webhook with several actions the first."""
        return _rows(await self._find(asked))[0]

    async def create(self, asked: Asked) -> list[dict[str, Any]]:
        """Create a webhook for each action, in the order of the request: all of them or none."""
        form = _form(asked)
        members = {"url": _url(form), "dialect": DIALECT}
        account_id = asked.account_id
        made: list[Webhook] = []
        try:
            for action in _actions(form):
                made.append(  # noqa: PERF401 (undone where a later one fails)
                    await self._desk.create_webhook(account_id, members | _selection(action))
                )
        except PostbellError:
            for webhook in made:
                # also where the caller's right just ended: then all the more
                with contextlib.suppress(NotFound), under(None):
                    await self._desk.delete_webhook(account_id, webhook.id)
            raise
        return [row for webhook in made for row in _rows(webhook)]

    async def update(self, asked: Asked) -> list[bool]:
        """Change the url; `actions` beside it is ignored (S8)."""
        webhook = await self._find(asked)
        url = _url(_form(asked))
        await self._desk.revise_webhook(asked.account_id, webhook.id, {"url": url}, is_whole=True)
        return [True]

    async def delete(self, asked: Asked) -> list[bool]:
        """Delete; a body is not looked at."""
        webhook = await self._find(asked)
        await self._desk.delete_webhook(asked.account_id, webhook.id)
        return [True]

    async def _find(self, asked: Asked) -> Webhook:
        """Return the webhook of the path; another account's or dialect's is not found."""
        text = asked.id
        number = whole(text)
        if number is None:
            raise NotFound("no such webhook")
        webhook = await self._desk.find_webhook(asked.account_id, number)
        if webhook.dialect != DIALECT:
            raise NotFound("no such webhook")
        return webhook


def _form(asked: Asked) -> dict[str, Any]:
    return bodies.members(asked.body, asked.content_type)


def _rows(webhook: Webhook) -> list[dict[str, Any]]:
    return [
        {
            "id": webhook.id,
            "user_id": webhook.account_id,
            "url": webhook.url,
            "action": action,
        }
        for action in _actions_of(webhook)
    ]


def _actions_of(webhook: Webhook) -> list[str]:
    chosen = str(ACTION.of(webhook.options))
    if chosen in UNTOLD:
        return [chosen]
    return [WORDS[kind] for kind in (WORDS if webhook.types is None else webhook.types)]


def _selection(action: str) -> dict[str, Any]:
    """Return what makes a webhook send this action and nothing else."""
    if action in UNTOLD:
        return {"options": {ACTION.name: action}}
    return {"types": [TYPE_OF_WORD[action].value]}


def _url(form: Mapping[str, Any]) -> Any:
    if form.get("url") in (None, ""):
        raise BadInput("Argument url missing", member="url", code="url_missing")
    return form["url"]


def _actions(form: Mapping[str, Any]) -> list[str]:
    """Return the actions asked for, each once."""
    given = form.get("actions")
    if given in (None, "", [], {}):
        raise BadInput("Argument actions missing", member="actions")
    if isinstance(given, str) and given in ACTIONS:
        given = [given]  # a form with one `actions=open`
    if not isinstance(given, list):
        raise BadInput("Argument actions is not an array", member="actions")
    for action in given:
        if not isinstance(action, str) or action not in ACTIONS:
            raise BadInput(
                f"Unknown action {str(action)[:60]!r}; known: {', '.join(ACTIONS)}",
                member="actions",
            )
    return list(dict.fromkeys(given))
