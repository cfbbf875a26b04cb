"""Native /api/v1/api-users: who may call and send events."""

from typing import Any

from starlette.responses import Response

from postbell.api import asked, schemas
from postbell.api.operations import (
    AFTER_ID,
    LIMIT,
    PREFIX,
    Group,
)
from postbell.api.replies import json_response, page_response
from postbell.api.resources import Call
from postbell.desk import forms
from postbell.desk.people import MAX_OVERLAP_S, NewKey
from postbell.errors import BadInput, NotFound
from postbell.records import ApiUser
from postbell.reports.views import ApiUserView, api_user_view, by_id, extended
from postbell.rights import KeyScope, KeyTerms

PATH = PREFIX + "/api-users"
ONE = PATH + "/{id}"
KEY = PREFIX + "/api-keys/{id}"
TAG = "api users"


async def _list(call: Call) -> Response:
    users = await call.reports.api_users(call.account_id)
    return page_response(schemas.ApiUserPage, by_id(users, **call.query))


async def _create(call: Call) -> Response:
    name = call.form.get("name")
    if not isinstance(name, str):
        raise BadInput("name is missing, or no string; give 1 to 64 characters", member="name")
    made = await call.desk.create_api_user(
        call.account.name, name, _key(call.form), terms=_terms(call.form)
    )
    return _shown(made, 201, {"location": f"{PATH}/{made.api_user.id}"})


async def _show(call: Call) -> Response:
    return json_response(api_user_view(await _find(call)))


async def _add_key(call: Call) -> Response:
    user = await _find(call)
    made = await call.desk.add_api_key(
        user.name, _key(call.form), terms=_terms(call.form), account_id=call.account_id
    )
    return _shown(made, 201, {})


async def _rotate(call: Call) -> Response:
    user = await _find(call)
    made = await call.desk.rotate_api_user(
        user.name,
        _key(call.form),
        overlap_s=_overlap_s(call.form),
        account_id=call.account_id,
    )
    return _shown(made, 200, {})


async def _revoke(call: Call) -> Response:
    user = await _find(call)
    revoked = await call.desk.revoke_api_user(user.name, account_id=call.account_id)
    return json_response(api_user_view(revoked))


async def _rotate_key(call: Call) -> Response:
    user = await call.desk.find_key_owner(call.id, call.account_id)
    made = await call.desk.rotate_api_user(
        user.name,
        _key(call.form),
        key_id=call.id,
        overlap_s=_overlap_s(call.form),
        account_id=call.account_id,
    )
    return _shown(made, 200, {})


async def _revoke_key(call: Call) -> Response:
    user = await call.desk.revoke_api_key(call.id, account_id=call.account_id)
    return json_response(api_user_view(user))


async def _find(call: Call) -> ApiUser:
    for user in await call.desk.engine.registry.api_users(call.account_id):
        if user.id == call.id:
            return user
    raise NotFound(f"no api user {call.id}")


def _key(form: dict[str, Any]) -> str | None:
    key = form.get("key")
    if key is None or isinstance(key, str):
        return key
    raise BadInput("key is not a string; leave it out and a strong one is made", member="key")


def _terms(form: dict[str, Any]) -> KeyTerms:
    scope, ends = form.get("scope"), form.get("expires_at")
    return KeyTerms(
        KeyScope.EVERYTHING if scope is None else forms.check_scope(scope),
        None if ends is None else forms.check_moment(ends, "expires_at"),
    )


def _overlap_s(form: dict[str, Any]) -> float:
    return forms.check_number(form.get("overlap_s"), "overlap_s", 0, MAX_OVERLAP_S, 0.0)


def _shown(made: NewKey, status: int, headers: dict[str, str]) -> Response:
    view = extended(
        api_user_view(made.api_user),
        schemas.NewKeyView,
        key=made.key,
        key_id=made.made.id,
        warning=made.warning,
    )
    return json_response(view, status, headers)


_OF = Group(TAG)
OPERATIONS = (
    _OF.read(
        PATH,
        _list,
        "list api users by id, revoked ones too",
        schemas.ApiUserPage,
        query={"after": AFTER_ID, "limit": LIMIT},
    ),
    _OF.act(
        PATH,
        _create,
        "create an api user; its key is shown this once",
        schemas.NewKeyView,
        about="Names are unique in the installation. The key is for `everything` unless `scope`"
        " says `ingest` or `read`. No key makes one that may more than itself, or for longer.",
        body=asked.NewApiUser,
        status=201,
        headers=("Location",),
        refusals=(409,),
    ),
    _OF.read(ONE, _show, "show an api user", ApiUserView),
    _OF.act(
        ONE + "/keys",
        _add_key,
        "give an api user a further key, which is shown this once",
        schemas.NewKeyView,
        about="An api user has at most 8 keys that have not ended.",
        body=asked.NewKeyForm,
        status=201,
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/rotate",
        _rotate,
        "replace an api user's key; the old one works for `overlap_s` more",
        schemas.NewKeyView,
        about="Of several keys, which one is to be said: rotate it by its own id.",
        body=asked.KeyRotation,
        refusals=(409,),
    ),
    _OF.act(
        ONE + "/revoke",
        _revoke,
        "refuse an api user from now on; its events and webhooks stay",
        ApiUserView,
    ),
    _OF.act(
        KEY + "/rotate",
        _rotate_key,
        "replace one key; it works for `overlap_s` more",
        schemas.NewKeyView,
        about="What the new key is for, and when it ends, is as it was for the old one. Of 8 keys"
        " that have not ended, which is the limit, one is replaced without an overlap only.",
        body=asked.KeyRotation,
        refusals=(409,),
    ),
    _OF.act(
        KEY + "/revoke",
        _revoke_key,
        "refuse one key from now on; the others of its api user work on",
        ApiUserView,
    ),
)
