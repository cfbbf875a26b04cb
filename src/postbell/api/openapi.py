"""The OpenAPI 3.1 document, made from the table of operations and the structs."""

import functools
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from postbell import __version__
from postbell.api.operations import JSON, Operation
from postbell.api.problems import CONTENT_TYPE
from postbell.api.schemas import ProblemView
from postbell.api.table import OPERATIONS
from postbell.rights import Right

Refs = Mapping[Any, Any]
"""The schema of each struct, by reference."""

JSON_TYPES = (JSON, "application/merge-patch+json")
OFTEN = (400, 401, 403, 429, 503)
"""What every operation may answer beside what its row says."""
WITH_BODY = (408, 413, 415, 422)
NEEDS = {
    Right.INGEST: "`ingest` or `everything`",
    Right.READ: "`read` or `everything`",
    Right.MANAGE: "`everything`",
}
"""The scopes of keys that a right is in."""
REASONS = {
    400: "the query, a header or the body cannot be read",
    401: "credentials are missing or wrong",
    403: "the key is not good for this",
    404: "there is no such thing in this account",
    408: "the body was not complete in time",
    409: "it exists already, or it is not in a state for this",
    412: "it was changed since it was read (If-Match)",
    413: "the body is over its limit",
    415: "the content type or encoding is not taken",
    422: "a value is wrong; `member` says which",
    429: "more requests than the account may make, or more wrong keys than a network; come back"
    " after Retry-After",
    503: "not now; come back after Retry-After",
}
HEADERS = {
    "ETag": "what If-Match takes",
    "Location": "where it is from now on",
    "RateLimit": "what is left of the rate (draft-ietf-httpapi-ratelimit-headers-10)",
    "RateLimit-Policy": "the rate",
    "Retry-After": "seconds to wait",
}


@functools.cache
def document() -> dict[str, Any]:
    """Return the document; nobody changes it."""
    types: list[Any] = [ProblemView]
    for operation in OPERATIONS:
        types += [one for one in (operation.answer, operation.body) if one is not None]
    found, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    refs: Refs = dict(zip(types, found, strict=True))
    for schema in components.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Postbell",
            "version": __version__,
            "summary": "Email events: kept durably, delivered in signed batches.",
            "description": "Errors are problem details (RFC 9457) with a stable `code`. Lists are"
            " paged: give `next` as `after`. Times are RFC 3339 in UTC. A POST with an"
            " `Idempotency-Key` does its work once in 72 hours.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"basic": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in OPERATIONS)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "the name of an api user and its key",
                }
            },
        },
    }


def _operation(operation: Operation, refs: Refs) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _name(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation, refs),
    }
    needs = f"Takes a key for {NEEDS[operation.right]}."
    made["description"] = f"{operation.about} {needs}".strip()
    if operation.body is not None:
        made["requestBody"] = {
            "required": _is_required(operation.body),
            "content": {
                each: {"schema": refs[operation.body]} if each in JSON_TYPES else {}
                for each in operation.body_types
            },
        }
    return made


def _is_required(body: Any) -> bool:
    """Say whether a body must not be left out: it is no object, or a member is required."""
    if not isinstance(body, type) or not issubclass(body, msgspec.Struct):
        return True
    return any(field.required for field in msgspec.structs.fields(body))


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    if operation.has_id:
        yield {"name": "id", "in": "path", "required": True, "schema": dict(operation.id_schema)}
    for name, param in operation.query.items():
        made: dict[str, Any] = {
            "name": name,
            "in": "query",
            "description": param.meaning,
            "schema": dict(param.schema),
        }
        if param.schema["type"] == "array":
            made |= {"style": "form", "explode": False}
        yield made
    if operation.takes_key:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "the same request under the same key gets the same answer for 72 hours",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        }
    if operation.takes_if_match:
        yield {
            "name": "If-Match",
            "in": "header",
            "description": "only where the ETag is still this one",
            "schema": {"type": "string"},
        }


def _responses(operation: Operation, refs: Refs) -> dict[str, Any]:
    good: dict[str, Any] = {
        "description": HTTPStatus(operation.status).phrase,
        "headers": _headers(("RateLimit", "RateLimit-Policy", *operation.headers))
        if operation.handler is not None
        else {},
    }
    if operation.answer is not None:
        is_json = operation.answer_type in JSON_TYPES
        good["content"] = {
            operation.answer_type: {"schema": refs[operation.answer]} if is_json else {}
        }
    statuses = {*OFTEN, *operation.refusals}
    if operation.has_id:
        statuses.add(404)
    if operation.query:
        statuses.add(422)
    if operation.body is not None:
        statuses |= {*WITH_BODY}
    if operation.takes_key:
        statuses |= {409, 422}
    problem = {"schema": refs[ProblemView]}
    refused = {
        str(status): {
            "description": REASONS[status],
            "content": {CONTENT_TYPE: problem},
            **({"headers": _headers(("Retry-After",))} if status in (429, 503) else {}),
        }
        for status in sorted(statuses)
    }
    if operation.poor_status:
        refused[str(operation.poor_status)]["content"] |= good["content"]
    return {str(operation.status): good, **refused}


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}


def _name(operation: Operation) -> str:
    """Return the operation's id: the last words of its path before what it does."""
    words = [word for word in operation.path.split("/")[3:] if not word.startswith("{")]
    verb = {"GET": "get", "POST": "post", "PATCH": "patch", "DELETE": "delete"}[operation.method]
    suffix = "one" if operation.path.endswith("{id}") else ""
    return "_".join([verb, *words, *([suffix] if suffix else [])]).replace("-", "_")
