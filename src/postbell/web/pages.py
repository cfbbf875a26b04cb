"""Templates: read and compiled once at the start, escaped, strict about names.

Static files are here, too: their URLs hold a hash of their content, so they never go stale.
"""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2

from postbell.web.formats import middle


class Undefined(jinja2.Undefined):
    """What a template names in vain: empty for a member that a mapping lacks, else an error."""

    def _check(self) -> None:
        if not isinstance(self._undefined_obj, Mapping):
            self._fail_with_undefined_error()

    def __bool__(self) -> bool:
        self._check()
        return False

    def __str__(self) -> str:
        self._check()
        return ""


class Pages:
    """The templates and the static files of the installed release.

    A template is compiled when it is first shown: all of them take a third of a start's CPU time,
    which commands and processes that show none need not spend.
    """

    def __init__(self) -> None:
        here = files(__package__)
        self.assets = {
            file.name: file.read_bytes()
            for file in here.joinpath("static").iterdir()
            if "." in file.name
        }
        self._urls = {
            name: f"/static/{sha256(content).hexdigest()[:12]}/{name}"
            for name, content in self.assets.items()
        }
        texts = {
            file.name: file.read_text("utf-8")
            for file in here.joinpath("templates").iterdir()
            if file.name.endswith((".html", ".svg", ".txt"))
        }
        self.environment = jinja2.Environment(
            loader=jinja2.DictLoader(texts),
            autoescape=True,
            undefined=Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.do"],
        )
        self.environment.globals["asset"] = self.asset
        self.environment.filters["middle"] = middle

    def asset(self, name: str) -> str:
        """Return the URL of a static file."""
        return self._urls[name]

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """Return the text of a page."""
        return self.environment.get_template(template).render(context)
