"""The generated reference: one function a page, each from the code's own tables."""

from collections.abc import Callable, Mapping

from tools.pages.cli import cli
from tools.pages.dialects import dialects
from tools.pages.errors import errors
from tools.pages.events import events
from tools.pages.http import http
from tools.pages.settings import settings
from tools.pages.signals import signals
from tools.pages.trail import trail

PAGES: Mapping[str, Callable[[], str]] = {
    "cli": cli,
    "dialects": dialects,
    "errors": errors,
    "events": events,
    "http": http,
    "settings": settings,
    "signals": signals,
    "trail": trail,
}
"""File name in docs/reference without `.md`, and what writes it."""
