"""Events: the types, and every member with its type and limits."""

import types
import typing
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from postbell import events as source
from postbell.ingest import accepting
from tools.pages import markdown
from tools.pages.members import MEANINGS


class Member(NamedTuple):
    path: str
    kind: str
    is_required: bool


def events() -> str:
    """Return the page of event types and members."""
    return markdown.page(
        "Events",
        "`src/postbell/events.py` and `src/postbell/ingest/accepting.py`",
        "## Types\n",
        markdown.table(
            ("type", "group", "meaning"),
            ((markdown.code(row.type), row.group, row.meaning) for row in source.TYPES),
        ),
        "## Members\n",
        _INTRODUCTION,
        markdown.table(
            ("member", "type", "meaning"),
            (
                (
                    markdown.code(member.path),
                    member.kind + (", **required**" if member.is_required else ""),
                    MEANINGS[member.path],
                )
                for member in members()
            ),
        ),
        "## Ids\n",
        _IDS,
    )


def members(struct: type[msgspec.Struct] = source.Draft, above: str = "") -> Iterator[Member]:
    """Yield every member of an event at ingest, nested ones after the one they are in."""
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        path = above + field.encode_name
        kinds = [each for each in _options(hints[field.name]) if each is not types.NoneType]
        yield Member(path, " or ".join(map(_kind, kinds)), field.required)
        for each in kinds:
            if isinstance(each, type) and issubclass(each, msgspec.Struct):
                yield from members(each, path + ".")


def _options(hint: Any) -> tuple[Any, ...]:
    is_union = get_origin(hint) in (typing.Union, types.UnionType)
    return get_args(hint) if is_union else (hint,)


def _kind(hint: Any) -> str:
    """Return a type and its limits in words."""
    if get_origin(hint) is typing.Annotated:
        inner, *metas = get_args(hint)
        limits = "".join(_limits(meta) for meta in metas if isinstance(meta, msgspec.Meta))
        return _kind(inner) + limits
    if get_origin(hint) is list:
        return f"list of {_kind(get_args(hint)[0])}s"
    if get_origin(hint) is dict:
        return f"object of any JSON values, at most {accepting.MAX_NESTED} in each other"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "object"
    return _WORDS[hint]


def _limits(meta: msgspec.Meta) -> str:
    said = []
    if meta.ge is not None and meta.le is not None:
        said.append(f"{meta.ge:,} to {meta.le:,}")
    if meta.max_length is not None:
        said.append(f"{meta.min_length or 0} to {meta.max_length} characters")
    if meta.pattern is not None:
        said.append(f"`{meta.pattern.removesuffix(_END)}`")
    return "".join(f", {each}" for each in said)


_END = r"\Z"
_WORDS = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    datetime: "RFC 3339 time with an offset",
    source.EventType: "one of the types above",
}
_INTRODUCTION = f"""Only `type` and `recipient` are required. Absent and null mean the same. An
unknown member is refused by name, so is a wrong type; an event has at most
{source.MAX_EVENT_BYTES:,} bytes. `POST /api/v1/events` takes events in this form, the native
dialect sends them so.
"""
_IDS = """Without `event_id`, the id is a hash of everything that was given; the case of the
recipient's domain and the order of `metadata` do not count: the same fact posted twice has the
same id and is recognised as a duplicate
(for 72 hours, or the newest 50 million ids). With neither `event_id` nor `occurred_at` the id is
random, and nothing is deduplicated.
"""
