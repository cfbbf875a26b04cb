"""A customer's side of the HTTP API: one kept connection, JSON in and out, patient retries."""

import base64
import contextlib
import email.utils
import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from postbell.errors import ServiceError, Unauthorized, UsageError
from postbell.text import small_files

TIMEOUT_S = 60.0
FIRST_WAIT_S = 0.25
MAX_WAIT_S = 10.0
RETRIED = (429, 502, 503, 504)


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class ApiClient:
    """Talks to *url* as *api_user*; *give_up_s* limits retries of one request, None never."""

    def __init__(
        self,
        url: str,
        api_user: str,
        api_key: str,
        *,
        ca_file: str = "",
        give_up_s: float | None = 15.0,
        notice: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._base = parts.path.rstrip("/")
        self._api_user = api_user
        self._give_up_s = give_up_s
        self._notice = notice
        pair = base64.b64encode(f"{api_user}:{api_key}".encode()).decode()
        self._headers = {"authorization": f"Basic {pair}", "content-type": "application/json"}
        host = parts.hostname or ""
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = _context(ca_file)
            self._connection = http.client.HTTPSConnection(
                host, parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)

    def call(
        self, method: str, path: str, value: Any = None, *, taking: int = 0, **headers: str
    ) -> Any:
        """Make a request and return the answer's JSON; raise what a 4xx or 5xx says, unless it is
        the status *taking* with an answer in JSON that is no problem document.

        Network errors, 429, 502, 503 and 504 are tried again, Retry-After is kept to.
        """
        body = value if isinstance(value, bytes) else None
        if body is None and value is not None:
            body = msgspec.json.encode(value)
        extra = {name.replace("_", "-"): text for name, text in headers.items()}
        response = self._patiently(method, path, body, extra)
        if response.status == 401:
            raise Unauthorized(
                f"{self.url} refuses the credentials of api user {self._api_user!r};"
                " check --api-user and --api-key"
            )
        is_answer = response.status == taking and not response.headers.get(
            "content-type", ""
        ).startswith("application/problem")
        if response.status >= 400 and not is_answer:
            kind = UsageError if response.status < 500 else ServiceError
            raise kind(f"{self.url} answered {response.status}: {_reason(response)}")
        try:
            return msgspec.json.decode(response.body) if response.body else None
        except msgspec.DecodeError:
            raise ServiceError(f"{self.url}{path} did not answer with JSON") from None

    def close(self) -> None:
        self._connection.close()

    def _patiently(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        started = time.monotonic()
        wait_s = FIRST_WAIT_S
        is_told = False
        while True:
            try:
                response = self._once(method, path, body, headers)
                if response.status not in RETRIED:
                    return response
                trouble = f"{self.url} answered {response.status}: {_reason(response)}"
                pause_s = max(wait_s, _retry_after_s(response))
            except ssl.SSLCertVerificationError as error:
                raise ServiceError(
                    f"cannot trust {self.url}: {error.verify_message}; name a --ca-file"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                trouble = f"cannot reach {self.url}: {_network_reason(error)}"
                pause_s = wait_s
            spent_s = time.monotonic() - started
            if self._give_up_s is not None and spent_s + pause_s > self._give_up_s:
                raise ServiceError(f"{trouble}; gave up after {spent_s:.0f} s")
            if not is_told:
                self._notice(f"{trouble}; trying again")
                is_told = True
            time.sleep(pause_s)
            wait_s = min(wait_s * 2, MAX_WAIT_S)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        try:
            self._connection.request(
                method, self._base + path, body=body, headers={**self._headers, **headers}
            )
            answer = self._connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, names, answer.read())
        except BaseException:
            self._connection.close()
            raise


def _context(ca_file: str) -> ssl.SSLContext:
    import certifi

    try:
        if ca_file:
            small_files.read(Path(ca_file), small_files.CERTIFICATES_BYTES)
        return ssl.create_default_context(cafile=ca_file or certifi.where())
    except (OSError, ssl.SSLError) as error:
        raise ServiceError(f"cannot read the certificates in {ca_file}: {error}") from None


def _retry_after_s(response: Response) -> float:
    """Read Retry-After (RFC 9110, section 10.2.3): seconds or a date; 0 without one."""
    text = response.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return 0.0


def _reason(response: Response) -> str:
    """Return what a problem document (RFC 9457) or EngageLab's error object says."""
    try:
        problem = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        problem = None
    if isinstance(problem, dict):
        for member in ("detail", "message", "title"):
            if isinstance(problem.get(member), str):
                return str(problem[member])
    return http.client.responses.get(response.status, "no reason given").lower()


def _network_reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or "the connection broke"
