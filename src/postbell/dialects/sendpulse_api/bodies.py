"""What SendPulse's clients send: JSON or a form, and, where nothing is asked for, anything."""

from typing import Any
from urllib.parse import parse_qsl

from postbell.dialects.endpoint import json_of, members_of
from postbell.errors import BadInput

MAX_FIELDS = 1000
FORM = "application/x-www-form-urlencoded"


def members(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the members of a body; an empty one, and PHP's empty array `[]`, have none.

    In a form `name[]` (and `name[0]`) is a list.  Raises BadInput for what is neither.
    """
    if not body.strip():
        return {}
    if content_type.partition(";")[0].strip().lower() == FORM:
        return _form(body)
    found = json_of(body)
    return {} if found == [] else members_of(found)


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
