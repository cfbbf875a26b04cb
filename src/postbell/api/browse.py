"""The OpenAPI document as a page to read: our own HTML, nothing loaded, no script."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 18%,transparent)}
html{background:light-dark(#fff,#14161a);color:light-dark(#16181d,#e8eaed)}
a{color:light-dark(#0b57c2,#9cc2ff)}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h2{margin-top:3rem}summary{cursor:pointer;padding:.5rem 0}
details{border-top:1px solid var(--line)}details>div{padding:0 0 1rem 1rem}
code,pre{font:.875rem/1.5 ui-monospace,monospace}code{overflow-wrap:anywhere}
pre{overflow-x:auto;padding:.75rem;border:1px solid var(--line)}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}
th,td{text-align:left;vertical-align:top;padding:.25rem 1rem .25rem 0;
border-bottom:1px solid var(--line)}
.method{display:inline-block;min-width:4.5rem;font-weight:600}
nav{display:flex;flex-wrap:wrap;gap:0 1rem}
""".strip()
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
            f"<p>{_prose(info['description'])}</p>",
            '<p><a href="openapi.json">openapi.json</a> is this page for programs.</p>',
            *_contents(document),
            *_operations(document),
            *_structs(document),
            "</main></body></html>",
        )
    )


def _contents(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<nav>"
    for tag in (*(each["name"] for each in document["tags"]), "structures"):
        yield f'<a href="#{_anchor(tag)}">{escape(tag)}</a>'
    yield "</nav>"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for tag in (each["name"] for each in document["tags"]):
        yield f'<h2 id="{_anchor(tag)}">{escape(tag.capitalize())}</h2>'
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag in operation["tags"]:
                    yield from _operation(path, method.upper(), operation)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details id="{operation["operationId"]}"><summary>'
    yield f'<span class="method">{method}</span> <code>{escape(path)}</code><br>'
    yield f"{_prose(operation['summary'])}</summary><div>"
    if "description" in operation:
        yield f"<p>{_prose(operation['description'])}</p>"
    yield f"<pre>{escape(_curl(path, method, operation))}</pre>"
    if operation["parameters"]:
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            (
                (
                    f"<code>{escape(each['name'])}</code>",
                    each["in"],
                    _type(each["schema"]),
                    _prose(each.get("description", "")),
                )
                for each in operation["parameters"]
            ),
        )
    body = operation.get("requestBody")
    if body is not None:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        yield f"<p>Body: {_type(_schema(body['content']))} ({kinds})</p>"
    yield from _table(
        ("status", "meaning", "answer"),
        (
            (status, _prose(answer["description"]), _type(_schema(answer.get("content", {}))))
            for status, answer in operation["responses"].items()
        ),
    )
    yield "</div></details>"


def _structs(document: Mapping[str, Any]) -> Iterator[str]:
    yield '<h2 id="structures">Structures</h2>'
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        yield f"{_prose(schema.get('description', ''))}</summary><div>"
        if "enum" in schema:
            yield f"<p>{_type(schema)}</p>"
        required = schema.get("required", ())
        members = schema.get("properties", {}).items()
        if members:
            yield from _table(
                ("member", "type", "", "meaning"),
                (
                    (
                        f"<code>{escape(member)}</code>",
                        _type(each),
                        "always" if member in required else "",
                        _prose(each.get("description", "")),
                    )
                    for member, each in members
                ),
            )
        yield "</div></details>"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "<table><thead><tr>"
    yield from (f'<th scope="col">{each}</th>' for each in head)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{each}</td>" for each in row) + "</tr>"
    yield "</tbody></table>"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a schema in a few words, as HTML."""
    if not schema:
        return ""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return "list of " + _type(schema.get("items", {"type": "any"}))
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return "object of " + _type(schema["additionalProperties"])
    limits = [
        f"{word} {schema[name]}"
        for name, word in (
            ("minimum", "from"), ("maximum", "to"), ("minLength", "from"), ("maxLength", "to"),
        )
        if name in schema
    ]  # fmt: skip
    words = [schema.get("format", kind), *limits]
    if "default" in schema and schema["default"] is not None:
        words.append(f"default {json.dumps(schema['default'])}")
    return escape(" ".join(words))


def _schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first schema of a body or an answer."""
    return next((each["schema"] for each in content.values() if "schema" in each), {})


def _curl(path: str, method: str, operation: Mapping[str, Any]) -> str:
    words = ["curl", "-u", '"$POSTBELL_API_USER:$POSTBELL_API_KEY"']
    if method != "GET":
        words += ["-X", method]
    body = operation.get("requestBody", {"content": {}})["content"]
    if body:
        words += ["-H", f"'content-type: {next(iter(body))}'", "--data", "@body.json"]
    return " ".join([*words, f'"$POSTBELL_URL{path.replace("{id}", "$ID")}"'])


def _prose(text: str) -> str:
    """Return text as HTML, what stands between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )


def _anchor(tag: str) -> str:
    return tag.replace(" ", "-")
