"""HTTP going out: one guarded request, one outcome.  After `sign`, before `judge`.

Each request is vetted by name (`guard`), waits for a slot (`slots`), runs on libcurl (`curl`)
and is put into our words (`answers`).  Decision record 0003 says why libcurl.
"""

import resource

import certifi
import pycurl

from postbell import __version__
from postbell.clock import Clock, SystemClock
from postbell.errors import BadInput, ServiceError
from postbell.ports import Request
from postbell.records import Outcome
from postbell.wire.addresses import inside
from postbell.wire.answers import (
    CURL_ERRORS,
    OTHER_CURL_ERROR,
    kept_headers,
    parse_head,
    retry_after_s,
)
from postbell.wire.curl import CurlLoop, End, Transfer
from postbell.wire.guard import AddressRefused, Guard, refused_connection
from postbell.wire.headers import header_lines
from postbell.wire.permits import Busy, ShareLimits, Shares
from postbell.wire.resolver import Unresolved
from postbell.wire.urls import Target, parse

MAX_OPEN = 4096
MAX_LIFETIME_S = 900
DNS_CACHE_S = 300
MAX_ADDRESSES = 8
UPLOAD_BYTES = 64 << 10
"""libcurl's own buffer; a body goes to the socket in pieces of at most so much, or at once where
the buffer is made for it (up to libcurl's limit of 2 MiB): fewer wake-ups for large batches."""
MAX_UPLOAD_BYTES = 2 << 20
HEAD_ROOM_BYTES = 8 << 10
FINAL = 200
"""From this status on an answer is the last one to its request (RFC 9110 section 15.2)."""
HEAD_REFUSED = 8
"""CURLE_WEIRD_SERVER_REPLY: libcurl stops at a line of the head, such as a second length."""
QUICK_MS = 1000
"""Who answers within this may have more requests out while connections are short."""


class CurlSender:
    """The `Sender`; start it on the loop that uses it, and close it there.

    A request that finds no slot waits for its turn, at most 30 s, before its own timeout begins:
    our lack of connections is never the receiver's fault.  What waits longer ends as `busy`.
    Requests of failing webhooks have *max_failing* slots of their own, a quarter of them at
    most for one account.

    `timeout_s` counts from connecting to the last byte of the answer; looking the name up comes
    before it and takes at most 2 s.  Once the answer's head is whole, its status is the outcome:
    where the body is over 64 KiB, cut off, late or damaged, `detail` says so, and the connection
    is closed instead of being kept.

    Idle connections are kept for two minutes, as many as half of the process's open files allow
    (4096 at most), and none is used for longer than 15 minutes.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        max_connections: int = 512,
        max_per_host: int = 64,
        max_per_account: int = 128,
        max_failing: int = 32,
        max_wait_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        ca_file: str | None = None,
        user_agent: str = f"Postbell/{__version__}",
        clock: Clock | None = None,
    ) -> None:
        self._guard = guard
        self._clock = clock or SystemClock()
        self._connect_timeout_s = connect_timeout_s
        self._ca_file = ca_file or certifi.where()
        self._user_agent = user_agent
        self._max_open = max(max_connections + max_failing, _kept_connections())
        share = max(1, max_failing // 4)
        self._healthy = Shares(
            ShareLimits(max_connections, max_per_account, max_per_host, max_wait_s)
        )
        self._failing = Shares(ShareLimits(max_failing, share, share, max_wait_s))
        self._curl: CurlLoop | None = None
        self._idle: list[Transfer] = []
        self._is_closed = False

    async def send(self, request: Request) -> Outcome:
        """Make the request; whatever the receiver does is an outcome, never an exception.

        Raises BadInput for headers that cannot be sent, ServiceError after `close`.
        """
        self._check_open()
        started_s = self._clock.monotonic_s()
        slots = self._failing if request.is_failing else self._healthy
        slot, is_quick = None, False
        try:
            target = parse(request.url)
            lines = header_lines(request.headers, target.authorization)
            addresses = await self._guard.vet(target)
            resolved_s = self._clock.monotonic_s() - started_s
            slot = slots.take(request.account_id, request.webhook_id, target.host)
            if slot is None:
                slot = await slots.wait(request.account_id, request.webhook_id, target.host)
                addresses = await self._guard.vet(target)
            outcome = await self._exchange(request, target, addresses, lines, resolved_s * 1000)
            is_quick = outcome.status is not None and _took_ms(outcome) < QUICK_MS
            return outcome
        except BadInput as error:
            if error.member != "url":
                raise
            return Outcome(error="refused_address", detail=error.message)
        except AddressRefused as refused:
            return Outcome(error="refused_address", detail=refused.reason)
        except Unresolved as unresolved:
            return Outcome(error="dns", detail=f"host {unresolved.name} does not resolve")
        except Busy as busy:
            return Outcome(error="busy", detail=busy.reason)
        finally:
            if slot is not None:
                slots.free(slot, is_quick=is_quick)

    def usage(self) -> list[tuple[str, int, int, int]]:
        """Return name, requests under way, requests that wait, and limit of each pool."""
        pools = (("healthy", self._healthy), ("failing", self._failing))
        return [(name, slots.in_use, slots.waiting, slots.total) for name, slots in pools]

    async def close(self) -> None:
        """Close every connection; requests under way or waiting are cancelled."""
        self._is_closed = True
        self._healthy.close()
        self._failing.close()
        if self._curl is not None:
            self._curl.close()
        for exchange in self._idle:
            exchange.easy.close()
        self._idle.clear()

    async def _exchange(
        self,
        request: Request,
        target: Target,
        addresses: tuple[str, ...],
        lines: list[str],
        resolved_ms: float,
    ) -> Outcome:
        self._check_open()
        if self._curl is None:
            self._curl = CurlLoop(self._max_open)
        exchange = self._idle.pop() if self._idle else self._new_exchange()
        easy = exchange.easy
        exchange.is_tls = target.scheme == "https"
        easy.setopt(pycurl.URL, target.origin)
        easy.setopt(pycurl.REQUEST_TARGET, target.path)
        easy.setopt(pycurl.HTTPHEADER, lines)
        easy.setopt(pycurl.TIMEOUT_MS, max(1, round(request.timeout_s * 1000)))
        if not target.is_literal:
            easy.setopt(pycurl.RESOLVE, [_pin(target, addresses)])
        if request.is_head:
            easy.setopt(pycurl.NOBODY, 1)
        elif request.body is None:
            easy.setopt(pycurl.HTTPGET, 1)
        else:
            easy.setopt(pycurl.POSTFIELDS, request.body)
            wanted = min(len(request.body) + HEAD_ROOM_BYTES, MAX_UPLOAD_BYTES)
            easy.setopt(pycurl.UPLOAD_BUFFERSIZE, max(wanted, UPLOAD_BYTES))
        spent_s = 0.0
        try:
            end = await self._curl.run(exchange)
            if exchange.needs_fresh:
                spent_s = easy.getinfo(pycurl.TOTAL_TIME)
                exchange.clear()
                easy.setopt(pycurl.FRESH_CONNECT, 1)
                easy.setopt(pycurl.TIMEOUT_MS, max(1, round((request.timeout_s - spent_s) * 1000)))
                end = await self._curl.run(exchange)
                easy.setopt(pycurl.FRESH_CONNECT, 0)
        except BaseException:
            easy.close()
            raise
        outcome = self._outcome(request, target, exchange, end, resolved_ms, spent_s)
        self._put_back(exchange, end)
        return outcome

    def _check_open(self) -> None:
        if self._is_closed:
            raise ServiceError("the sender is closed; nothing can be sent until a restart")

    def _new_exchange(self) -> Transfer:
        exchange = Transfer(self._guard.refusal)
        setopt = exchange.easy.setopt
        for option, value in OPTIONS:
            setopt(option, value)
        setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(self._connect_timeout_s * 1000)))
        setopt(pycurl.CAINFO, self._ca_file)
        setopt(pycurl.USERAGENT, self._user_agent)
        return exchange

    def _put_back(self, exchange: Transfer, end: End) -> None:
        if end.code or self._is_closed:
            exchange.easy.close()
            return
        exchange.easy.setopt(pycurl.NOBODY, 0)
        exchange.easy.setopt(pycurl.POSTFIELDS, b"")
        exchange.clear()
        self._idle.append(exchange)

    def _outcome(
        self,
        request: Request,
        target: Target,
        exchange: Transfer,
        end: End,
        resolved_ms: float,
        spent_s: float,
    ) -> Outcome:
        getinfo = exchange.easy.getinfo
        phases = [round(resolved_ms, 3)]
        for phase in _PHASES:
            passed_ms = resolved_ms + (spent_s + getinfo(phase)) * 1000
            phases.append(max(phases[-1], round(passed_ms, 3)))
        ip, port = getinfo(pycurl.PRIMARY_IP), getinfo(pycurl.PRIMARY_PORT)
        is_secret = bool(ip) and not target.is_literal and bool(inside(ip))
        peer = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" if ip else ""
        head, status = parse_head(exchange.head), int(getinfo(pycurl.RESPONSE_CODE))
        is_answered = status >= FINAL and (head.is_whole or end.code == HEAD_REFUSED)
        error, detail = "", ""
        if end.code and not exchange.is_body_cut:
            error, detail = _error(request, target, exchange, end)
            if is_answered and not exchange.is_head_cut:
                error, detail = "", f"the answer's body was damaged: {end.text}"
            detail = detail.replace(ip, "its address") if is_secret else detail
        elif not is_answered:  # libcurl takes a head that is cut for a whole one
            error, detail = "reset", "the connection was closed within the answer's head"
        kept = kept_headers(head.headers)
        return Outcome(
            status=None if error else status,
            error=error,
            detail=detail,
            retry_after_s=retry_after_s(head.headers, self._clock),
            phases_ms=tuple(phases),
            headers=kept,
            headers_cut=len(head.headers) - len(kept),
            body=exchange.body,
            peer="" if is_secret else peer,
        )


def _error(request: Request, target: Target, exchange: Transfer, end: End) -> tuple[str, str]:
    """Return the word of `errors.UNANSWERED` for a failed exchange, and what to tell a person."""
    if exchange.refused:
        return "refused_address", refused_connection(target, *exchange.refused).reason
    if exchange.is_nameless:
        return "tls", "the certificate names no host in its subjectAltName"
    if exchange.lacking:
        return "busy", f"no socket could be made: {exchange.lacking}; raise the system's limit"
    if exchange.is_head_cut:
        return "too_large", "the answer's head is over 64 KiB"
    word = CURL_ERRORS.get(end.code, OTHER_CURL_ERROR)
    getinfo = exchange.easy.getinfo
    if word == "timeout" and not exchange.tries:  # never connected: say which half hung
        word = "tls" if getinfo(pycurl.CONNECT_TIME) else "connect"
    came = f"; status {status} had come" if (status := getinfo(pycurl.RESPONSE_CODE)) else ""
    return word, end.text + came


def _took_ms(outcome: Outcome) -> float:
    """Return how long an answer took, from connecting to its last byte."""
    return outcome.phases_ms[-1] - outcome.phases_ms[0]


def _kept_connections() -> int:
    """Return how many connections may be open, idle ones included: half of the open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_OPEN if soft == resource.RLIM_INFINITY else min(MAX_OPEN, soft // 2)


def _pin(target: Target, addresses: tuple[str, ...]) -> str:
    """Return libcurl's word for "this host and port is at these addresses, ask nobody"."""
    shown = ",".join(f"[{a}]" if ":" in a else a for a in addresses[:MAX_ADDRESSES])
    return f"+{target.host}:{target.port}:{shown}"


_PHASES = (
    pycurl.CONNECT_TIME,
    pycurl.APPCONNECT_TIME,
    pycurl.STARTTRANSFER_TIME,
    pycurl.TOTAL_TIME,
)

_HTTP = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
"""pycurl has no CURLOPT_PROTOCOLS_STR; the option before it says the same in bits."""

OPTIONS: tuple[tuple[int, int | str], ...] = (
    (pycurl.PROTOCOLS, _HTTP),
    (pycurl.REDIR_PROTOCOLS, _HTTP),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.PATH_AS_IS, 1),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.PROXY, ""),
    (pycurl.NOPROXY, "*"),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    (pycurl.NOSIGNAL, 1),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2),
    (pycurl.OPT_CERTINFO, 1),
    (pycurl.SSL_SESSIONID_CACHE, 0),  # a session taken up again shows no certificate to look at
    (pycurl.TCP_NODELAY, 1),
    (pycurl.TCP_KEEPALIVE, 1),
    (pycurl.TCP_KEEPIDLE, 60),
    (pycurl.TCP_KEEPINTVL, 30),
    (pycurl.MAXLIFETIME_CONN, MAX_LIFETIME_S),
    (pycurl.DNS_CACHE_TIMEOUT, DNS_CACHE_S),
)
"""The same for every request; no cookie engine is ever switched on."""
