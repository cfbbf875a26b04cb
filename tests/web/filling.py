"""A form as a browser has it: every field with the value that it would send untouched."""

from html.parser import HTMLParser

Pairs = list[tuple[str, str]]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, Pairs] = {}
        self._fields: Pairs | None = None
        self._select = ""
        self._options: list[tuple[str | None, bool]] = []
        self._text: str | None = None
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name") or ""
        if tag == "form":
            self._fields = self.forms.setdefault(found.get("action") or "", [])
        elif self._fields is None:
            return
        elif tag == "input" and name:
            is_box = found.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in found:
                self._fields.append((name, found.get("value") or ("on" if is_box else "")))
        elif tag == "select":
            self._select, self._options = name, []
        elif tag == "option":
            self._options.append((found.get("value"), "selected" in found))
            self._text = ""
        elif tag == "textarea":
            self._area, self._text = name, ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None
        elif tag == "option" and self._options:
            value, is_selected = self._options[-1]
            self._options[-1] = (self._text or "" if value is None else value, is_selected)
            self._text = None
        elif tag == "select" and self._fields is not None and self._options:
            chosen = next((v for v, is_on in self._options if is_on), self._options[0][0])
            self._fields.append((self._select, chosen or ""))
        elif tag == "textarea" and self._fields is not None:
            text = (self._text or "").removeprefix("\n")
            self._fields.append((self._area, "\r\n".join(text.splitlines())))
            self._text = None


def fields(html: str, action: str) -> Pairs:
    """Return what the form with this action would send, were it not touched."""
    parser = _Forms()
    parser.feed(html)
    return parser.forms[action]


def changed(pairs: Pairs, changes: dict[str, str | list[str]]) -> dict[str, list[str]]:
    """Return *pairs* by name, with what somebody types or ticks."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found | {n: [v] if isinstance(v, str) else v for n, v in changes.items()}
