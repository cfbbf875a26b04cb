"""Values as JSON knows them, made where an answer or a line is written."""

from datetime import datetime
from typing import Any

import msgspec

from postbell.clock import rfc3339


def plain(value: Any) -> Any:
    """Return objects for structs, without the members that are unset; times are text of six digits.

    Dictionaries, lists and tuples may hold structs.
    """
    return _with_times(msgspec.to_builtins(value, builtin_types=(datetime,)))


def _with_times(value: Any) -> Any:
    """Write the times in *value*, which `to_builtins` made new: in its place where that can be."""
    kind = type(value)
    if kind is datetime:
        return rfc3339(value)
    if kind is dict:
        for name, inner in value.items():
            if type(inner) in _HOLDERS:
                value[name] = _with_times(inner)
    elif kind is list or kind is tuple:
        return [_with_times(inner) if type(inner) in _HOLDERS else inner for inner in value]
    return value


_HOLDERS = frozenset((datetime, dict, list, tuple))
