"""The generated pages: one function a page, each from the code's own tables."""

from collections.abc import Callable, Mapping

from tools.pages.cli import cli
from tools.pages.dialects import dialects
from tools.pages.errors import errors
from tools.pages.events import events
from tools.pages.http import http
from tools.pages.lanes import lanes
from tools.pages.settings import settings
from tools.pages.signals import signals
from tools.pages.trail import trail

PAGES: Mapping[str, Callable[[], str]] = {
    "explain/lanes": lanes,
    "reference/cli": cli,
    "reference/dialects": dialects,
    "reference/errors": errors,
    "reference/events": events,
    "reference/http": http,
    "reference/settings": settings,
    "reference/signals": signals,
    "reference/trail": trail,
}
"""File name in docs without `.md`, and what writes it."""
