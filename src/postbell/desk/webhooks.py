"""Webhooks: created, changed, deleted."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from postbell.blocks import START, Position
from postbell.desk import colliding, forms, noting, secrets
from postbell.desk.keys import Keys
from postbell.errors import BadInput, Stale
from postbell.ports import Dialect, NewSecret, Probe, Request
from postbell.records import Outcome, SecretKind, Webhook

HEAD = Position(0, -1)
"""What `Registry.add_webhook` takes for "the log's head at the commit"."""
URL_CHECK_TIMEOUT_S = 3.0


class Revised(NamedTuple):
    """A changed webhook.  Events accepted from *effective_from* on are selected and rendered as
    it now says, earlier ones as it said before; None where only what counts at once changed."""

    webhook: Webhook
    effective_from: datetime | None


class WebhooksDesk(Keys):
    """Registration: every member is checked before anything is written."""

    async def create_webhook(
        self, account_id: int, form: Mapping[str, Any], *, is_url_unique: bool = False
    ) -> Webhook:
        """Create a webhook from its members (`forms`), and `start` and `secret`.

        Its state is active.  A key is made where the dialect signs and none is given.
        """
        forms.known_members(form, forms.CREATE_MEMBERS)
        url = forms.check_url(form.get("url"))
        dialect = forms.check_dialect(form.get("dialect"), self.dialects)
        options = dialect.check_options(forms.merge("options", {}, form.get("options")))
        now = self.clock.now()
        draft = Webhook(
            id=0,
            account_id=account_id,
            account=(await self.directory.account(account_id)).name,
            url=url,
            api_user=forms.check_api_user(
                form.get("api_user"), await self._scopes(account_id, form)
            ),
            types=forms.check_types(form.get("types"), dialect, options),
            dialect=dialect.name,
            options=options,
            policy=forms.check_policy(
                forms.merge("policy", {}, form.get("policy")),
                dialect,
                options,
                self.installation_policies.get(dialect.name, {}),
            ),
            headers=forms.check_headers(form.get("headers"), dialect, options, self.clock),
            start=await self._start(account_id, form.get("start")),
            created_at=now,
            updated_at=now,
        )
        keys = self._first_secrets(dialect, form.get("secret"))
        await self.guard.check(url)
        await self._check_answers(draft)
        if SecretKind.APP_KEY in dialect.secret_kinds and not keys:
            await self.app_key(account_id)
        webhook = await self.trailed(
            self.engine.registry.add_webhook(
                draft, keys, most=self.max_webhooks_per_account, is_url_unique=is_url_unique
            ),
            lambda made: noting.of_webhook("webhook.created", made, None, noting.set_members(made)),
        )
        await self.directory.refresh()
        return webhook

    async def update_webhook(
        self, account_id: int | None, webhook_id: int, changes: Mapping[str, Any]
    ) -> Webhook:
        """Change the members that are given; `options` and `policy` are merged.

        With another dialect, options and types that are not given go back to its defaults.
        """
        return (await self.revise_webhook(account_id, webhook_id, changes)).webhook

    async def revise_webhook(
        self,
        account_id: int | None,
        webhook_id: int,
        changes: Mapping[str, Any],
        *,
        only_if: Collection[str] | None = None,
        is_whole: bool = False,
        is_url_unique: bool = False,
    ) -> Revised:
        """Do as `update_webhook` and say from when on the change counts.

        *only_if* are tags (`tag_of`): where the webhook has none of them, Stale is raised.
        Conflict is raised where somebody else changed a given member while this was at work,
        unless *is_whole*: the caller's contract is that the last one wins.  With *is_url_unique*
        it is raised where another webhook of account and dialect has the URL.
        """
        forms.known_members(changes, forms.CHANGE_MEMBERS)
        webhook = await self.find_webhook(account_id, webhook_id)
        _check_tag(webhook, only_if)
        scopes = await self._scopes(webhook.account_id, changes)
        changed = self._changed(webhook, changes, scopes)
        if changed.url != webhook.url:
            await self.guard.check(changed.url)
        if (changed.url, changed.options) != (webhook.url, webhook.options):
            await self._check_answers(changed)
        await self._make_keys(webhook, changed)

        def change(fresh: Webhook) -> Webhook:
            _check_tag(fresh, only_if)
            if not is_whole:
                colliding.refuse(webhook, fresh, changed, changes)
            stored = self._changed(fresh, changes, scopes)
            if stored == fresh:
                return fresh
            return msgspec.structs.replace(stored, updated_at=self.clock.now())

        before, after = await self._rewrite(
            account_id, webhook_id, change, is_url_unique=is_url_unique
        )
        await self.directory.refresh()
        is_new = after.revisions[-1].number > before.revisions[-1].number
        return Revised(after, after.updated_at if is_new else None)

    async def delete_webhook(
        self,
        account_id: int | None,
        webhook_id: int,
        *,
        only_if: Collection[str] | None = None,
    ) -> None:
        """Delete a webhook with its open and parked batches; its journal stays.

        *only_if* as in `revise_webhook`.
        """

        async def write() -> None:
            webhook = await self.find_webhook(account_id, webhook_id)
            _check_tag(webhook, only_if)
            await self.trailed(
                self.engine.registry.delete_webhook(webhook_id, self.clock.now(), expect=webhook),
                lambda _: noting.of_webhook(
                    "webhook.deleted", webhook, noting.set_members(webhook)
                ),
            )

        await self._persist(write)
        await self.directory.refresh()

    def _changed(
        self, webhook: Webhook, changes: Mapping[str, Any], scopes: Sequence[str]
    ) -> Webhook:
        """Return *webhook* with these changes, checked; only `updated_at` is left."""
        dialect = forms.check_dialect(changes.get("dialect", webhook.dialect), self.dialects)
        is_same = dialect.name == webhook.dialect
        options = webhook.options if is_same else {}
        if "options" in changes:
            options = forms.merge("options", options, changes["options"])
        options = dialect.check_options(options)
        policy: Mapping[str, Any] = webhook.policy
        if "policy" in changes:
            policy = forms.merge("policy", policy, changes["policy"])
        scope = webhook.api_user
        if "api_user" in changes:
            scope = forms.check_api_user(changes["api_user"], scopes)
        return msgspec.structs.replace(
            webhook,
            url=forms.check_url(changes["url"]) if "url" in changes else webhook.url,
            api_user=scope,
            types=forms.check_types(
                changes.get("types", webhook.types if is_same else None), dialect, options
            ),
            dialect=dialect.name,
            options=options,
            policy=forms.check_policy(
                policy, dialect, options, self.installation_policies.get(dialect.name, {})
            ),
            headers=forms.check_headers(
                changes.get("headers", dict(webhook.headers)), dialect, options, self.clock
            ),
        )

    async def _scopes(self, account_id: int, form: Mapping[str, Any]) -> list[str]:
        """Return what the form's `api_user` may name beside all: itself, where there is one."""
        name = str(form.get("api_user", ""))
        found = await self.directory.find(lambda known: known.api_user_id(account_id, name))
        return [] if found is None else [name]

    async def _start(self, account_id: int, value: Any) -> Position:
        """Return where a new webhook begins: `now`, `oldest`, or the first event since a time."""
        if value is None or value == "now":
            return HEAD
        log = self.engine.log
        if value == "oldest":
            blocks = await log.headers(account_id, 0, 1)
            return Position(blocks[0].id, 0) if blocks else START
        moment = forms.check_moment(value, "start")
        return Position(await log.first_since(moment, account_id), 0)

    def _first_secrets(self, dialect: Dialect, given: Any) -> list[NewSecret]:
        """Return the key of a new webhook; EngageLab's is the account's unless one is given."""
        kinds = dialect.secret_kinds
        if given is None and (not kinds or kinds[0] is SecretKind.APP_KEY):
            return []
        return [secrets.choose(dialect, None, given, self.clock.now())]

    async def _make_keys(self, before: Webhook, after: Webhook) -> None:
        """Give a webhook that changes its dialect the key that the new one signs with."""
        kinds = self.dialects[after.dialect].secret_kinds

        async def write() -> None:
            fresh = await self.find_webhook(before.account_id, before.id)
            has_key = any(one.kind in kinds for one in fresh.secrets)
            if not kinds or has_key or after.dialect == before.dialect:
                return
            if kinds[0] is SecretKind.APP_KEY:
                await self.app_key(before.account_id)
                return
            key = secrets.choose(self.dialects[after.dialect], kinds[0], None, self.clock.now())
            await self.trailed(
                self.engine.registry.add_secrets(
                    [key], webhook_id=before.id, expect={one.id for one in fresh.secrets}
                ),
                lambda made: noting.of_webhook(
                    "secret.created", fresh, None, noting.key_members(made, fresh.secrets)
                ),
            )

        await self._persist(write)

    async def _check_answers(self, webhook: Webhook) -> None:
        """Ask the URL what its dialect asks; raise BadInput unless it answers 200."""
        dialect = self.dialects[webhook.dialect]
        for probe in dialect.probes(webhook.url, webhook.options):
            asked, outcome = probe, await self._asked(webhook, probe)
            while outcome.status != 200 and asked.instead is not None:
                asked = asked.instead
                outcome = await self._asked(webhook, asked)
            if outcome.status != 200:
                got = f"with status {outcome.status}" if outcome.status else "with nothing"
                why = f" ({outcome.error})" if outcome.error else ""
                raise BadInput(
                    f"the url answered {asked.method} {got}{why}; status 200 expected",
                    member="url",
                    code="url_check_failed",
                    reason="url_check_status" if outcome.status else "url_check_error",
                    method=asked.method,
                    answer=outcome.status or 0,
                    error=outcome.error,
                )

    async def _asked(self, webhook: Webhook, probe: Probe) -> Outcome:
        return await self.sender.send(
            Request(
                url=webhook.url,
                headers=(*probe.headers, *webhook.headers),
                body=probe.body,
                is_head=probe.method == "HEAD",
                timeout_s=URL_CHECK_TIMEOUT_S,
                account_id=webhook.account_id,
                webhook_id=webhook.id,
            )
        )


def tag_of(webhook: Webhook) -> str:
    """Return what differs whenever a setting of the webhook does."""
    return blake2b(msgspec.json.encode(webhook.settings), digest_size=12).hexdigest()


def _check_tag(webhook: Webhook, only_if: Collection[str] | None) -> None:
    if only_if is not None and tag_of(webhook) not in only_if:
        raise Stale(
            f"webhook {webhook.id} was changed since it was read; read it again, then change it"
        )
