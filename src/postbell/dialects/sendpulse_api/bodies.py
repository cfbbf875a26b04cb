"""What SendPulse's clients send: JSON or a form, and, where nothing is asked for, anything."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from postbell.encodings import unmarked
from postbell.errors import BadInput, TooLarge

MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 1000
FORM = "application/x-www-form-urlencoded"


async def read(request: Request) -> bytes:
    """Return the body; raise TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"the body has over {MAX_BODY_BYTES} bytes")
    return bytes(body)


def members(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the members of a body; an empty one, and PHP's empty array `[]`, have none.

    In a form `name[]` (and `name[0]`) is a list.  Raises BadInput for what is neither.
    """
    if not body.strip():
        return {}
    if content_type.partition(";")[0].strip().lower() == FORM:
        return _form(body)
    return _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        members = msgspec.json.decode(unmarked(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the body is not valid JSON: {error}", status=400) from None
    if members == []:
        return {}
    if not isinstance(members, dict):
        raise BadInput("the body is not a JSON object", status=400)
    return members


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise BadInput(f"the body is not a form in UTF-8: {error}", status=400) from None
    members: dict[str, Any] = {}
    for name, value in pairs:
        stem, bracket, _ = name.partition("[")
        if bracket:
            listed = members.setdefault(stem, [])
            if isinstance(listed, list):
                listed.append(value)
        else:
            members[name] = value
    return members
