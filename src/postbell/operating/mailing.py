"""Mails of the service itself (notices, password resets) over SMTP, in a thread of their own."""

import asyncio
import contextlib
import io
import re
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, make_msgid
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from postbell.clock import Clock
from postbell.errors import BadInput, ServiceError
from postbell.operating.bounded import BoundedAnswer
from postbell.text import mailboxes

TIMEOUT_S = 20.0
ANSWERS_S = 60.0
"""So long all that a mail server says of one mail may take."""
MAX_SUBJECT_CHARS = 500
HEADERS = (
    "from", "to", "subject", "date", "message-id", "auto-submitted",
    "content-type", "content-transfer-encoding", "mime-version",
)  # fmt: skip
"""What a mail of ours has, each once."""
PORTS = {"smtp": 587, "smtps": 465}


class MailFailed(ServiceError):
    """The mail server could not be reached, or did not take the mail."""

    code = "mail_failed"
    retryable = True


class Mailer:
    """Sends plain mails from one address through one server, one after the other.

    `smtp://` turns to TLS where the server offers it, and insists on it where there is a password
    and the server is not on this machine; `smtps://` begins with TLS.  Certificates are verified,
    on this machine excepted.
    """

    def __init__(self, url: str, sender: str, clock: Clock, *, ca_file: str = "") -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._scheme = parts.scheme
        self._port = parts.port or PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = mailboxes.read(sender, member="notice_from")
        self._clock = clock
        self._is_local = _is_loopback(self._host)
        self._ca_file = ca_file or None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postbell-mail")

    async def send(self, to: str, subject: str, text: str) -> None:
        """Return once the server has taken the mail; raise MailFailed where it did not.

        Raises BadInput for an address that no mail can have; odd characters of subject and text
        are replaced.
        """
        mail = self.compose(to, subject, text)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._hand_over, mail)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise MailFailed(
                f"the mail server {self._host}:{self._port} did not take a mail: {_reason(error)}"
            ) from None

    def close(self) -> None:
        """Take no more mails; one under way is finished."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def compose(self, to: str, subject: str, text: str) -> "Mail":
        try:
            recipient = mailboxes.read(to)
        except BadInput:
            raise BadInput("the recipient's address is none; correct it") from None
        sender = self._sender
        needs_utf8 = recipient.needs_utf8 or sender.needs_utf8
        mail = EmailMessage(policy=SMTPUTF8 if needs_utf8 else SMTP)
        try:
            mail["From"] = Address(username=sender.name, domain=sender.domain)
            mail["To"] = Address(username=recipient.name, domain=recipient.domain)
            mail["Subject"] = _one_line(subject)
            mail["Date"] = format_datetime(self._clock.now())
            mail["Message-ID"] = make_msgid(domain=sender.domain)
            mail["Auto-Submitted"] = "auto-generated"
            mail.set_content(_plain(text), cte="quoted-printable")
            written = mail.as_bytes()
            _check(written, recipient.address)
        except Exception as error:  # the library raises whatever its parser stumbles over
            raise BadInput(f"no mail can be written: {type(error).__name__}: {error}") from None
        return Mail(sender.on_wire, recipient.on_wire, written, needs_utf8)

    def _hand_over(self, mail: "Mail") -> None:
        with contextlib.ExitStack() as stack:
            to = (self._clock, self._host, self._port)
            if self._scheme == "smtps":
                server: _Session = _SecureSession(*to, context=self._context())
            else:
                server = _Session(*to)
            stack.enter_context(server)
            server.ehlo()
            if self._scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=self._context())
                server.ehlo()
            elif self._scheme == "smtp" and self._password and not self._is_local:
                raise smtplib.SMTPException("it offers no TLS, and the password would be readable")
            if self._user:
                server.login(self._user, self._password)
            if mail.needs_utf8 and not server.has_extn("smtputf8"):
                raise smtplib.SMTPNotSupportedError("it takes no address beyond ASCII (SMTPUTF8)")
            options = ["SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else []
            server.sendmail(mail.sender, [mail.recipient], mail.written, options)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_file)
        if self._is_local:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class _Session(smtplib.SMTP):
    """A session that ends, however slowly the server speaks, and however much it says."""

    def __init__(self, clock: Clock, host: str, port: int, **options: Any) -> None:
        self._clock = clock
        self._ends_s = clock.monotonic_s() + ANSWERS_S
        super().__init__(host, port, timeout=TIMEOUT_S, **options)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(BoundedAnswer(self.sock, self._clock, self._ends_s))
        return super().getreply()


class _SecureSession(_Session, smtplib.SMTP_SSL):
    pass


class Mail(NamedTuple):
    """A mail as it goes over the wire."""

    sender: str
    recipient: str
    written: bytes
    needs_utf8: bool


def _plain(text: str) -> str:
    """Return *text* without what no mail can carry: surrogates, and control characters but ends
    of lines and tabs."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def _check(written: bytes, address: str) -> None:
    """Raise ValueError for a mail that reads back otherwise than it was meant: its headers are
    ours, and it is for one address."""
    read = message_from_bytes(written, policy=SMTPUTF8)
    names = [name.lower() for name, _ in read.items()]
    if sorted(names) != sorted(HEADERS) or read.defects:
        raise ValueError(f"its headers read back as {', '.join(names)[:200]}")
    if len(read["to"].addresses) != 1:
        raise ValueError(f"{address[:80]!r} reads back as another address")


def _one_line(text: str) -> str:
    """Return *text* as a subject: one line, and no encoded word (RFC 2047), which the library
    would read and so write the line breaks in it."""
    return _plain(" ".join(text.split())).replace("=?", "= ?")[:MAX_SUBJECT_CHARS]


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        replies = [f"{code} {text!r}" for code, text in error.recipients.values()]
        return f"the recipient was refused ({', '.join(replies)})"[:200]
    return f"{error}"[:200] or type(error).__name__
