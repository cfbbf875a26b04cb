"""What is answered without the application: requests that cannot be taken."""

import http

import msgspec


class Refusal(Exception):
    """A request, or what stands in its place, is not taken; the connection ends after it."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


STOPPING = Refusal(503, "stopping", "the service is stopping; send the request again")


def bad(detail: str) -> Refusal:
    """Return the refusal of a request that is not HTTP as it should be."""
    return Refusal(400, "malformed_request", detail)


def heads_full() -> Refusal:
    """Return the refusal of a head for which there is no room."""
    detail = "too many long heads are under way; send the request again"
    return Refusal(503, "heads_full", detail)


def answer(refusal: Refusal, date: bytes, *, is_head: bool = False) -> bytes:
    """Return the whole response, a problem document."""
    status = http.HTTPStatus(refusal.status)
    body = document(refusal)
    more = b"retry-after: 1\r\n" if status == http.HTTPStatus.SERVICE_UNAVAILABLE else b""
    head = (
        b"HTTP/1.1 %d %s\r\ndate: %s\r\ncontent-type: application/problem+json\r\n"
        b"content-length: %d\r\n%sconnection: close\r\n\r\n"
        % (refusal.status, status.phrase.encode(), date, len(body), more)
    )
    return head if is_head else head + body


def document(refusal: Refusal) -> bytes:
    """Return the JSON of a problem (RFC 9457)."""
    return msgspec.json.encode(
        {
            "title": http.HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "code": refusal.code,
            "detail": refusal.detail,
        }
    )


SLOW_BODY = Refusal(408, "body_timeout", "the body came too slowly; send it faster")
TINY_RECORDS = Refusal(400, "tiny_records", "the request came in too many tiny records of TLS")
FULL = {
    "network": Refusal(503, "too_many_connections", "too many connections from where you are"),
    "all": Refusal(503, "too_many_connections", "too many connections"),
}
