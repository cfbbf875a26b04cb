"""Errors of the native API: problem details (RFC 9457) with `code` and, where known, `member`."""

from http import HTTPStatus
from typing import Any

import msgspec

from postbell.errors import BadInput, PostbellError, Unauthorized
from postbell.signals import tell

CONTENT_TYPE = "application/problem+json"
CHALLENGE = 'Basic realm="postbell", charset="UTF-8"'
RETRY_AFTER_S = 2


def problem(error: PostbellError) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of the answer to *error*."""
    headers = [("content-type", CONTENT_TYPE), ("cache-control", "no-store")]
    tell(code=error.code)
    if isinstance(error, Unauthorized):
        headers.append(("www-authenticate", CHALLENGE))
    if error.retryable or error.status == 503:
        headers.append(("retry-after", str(getattr(error, "retry_after_s", RETRY_AFTER_S))))
    member = error.member if isinstance(error, BadInput) else ""
    return error.status, headers, document(error.status, error.code, error.message, member)


def document(status: int, code: str, detail: str, member: str = "") -> bytes:
    """Return the JSON of a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.encode("utf-8", "replace").decode(),
        "code": code,
    }
    if member:
        body["member"] = member.encode("utf-8", "replace").decode()
    return msgspec.json.encode(body)
