"""A Postfix of the machine's, in a folder of its own: configuration, queue and log; and what it
talks to: servers that answer each recipient as its name says, and a filter."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

START_S = 30

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
myhostname = mx1.sender.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = {asks} reject_unauth_pipelining, permit
smtp_dns_support_level = disabled
smtp_host_lookup = native
transport_maps = texthash:{folder}/conf/transport
virtual_alias_maps = texthash:{folder}/conf/aliases
header_checks = regexp:{folder}/conf/header_checks
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
maximal_queue_lifetime = {lifetime}s
bounce_queue_lifetime = {lifetime}s
smtp_destination_concurrency_failed_cohort_limit = 0
default_destination_concurrency_failed_cohort_limit = 0
enable_long_queue_ids = {long_ids}
alias_maps =
alias_database =
"""
MASTER = """\
{port} inet n - n - - smtpd
{filtered} inet n - n - - smtpd
  -o content_filter=smtp:[127.0.0.1]:{filter}
  -o syslog_name=postfix/filtered
{again} inet n - n - - smtpd
  -o syslog_name=postfix/again
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
TRANSPORT = "sink.example smtp:[127.0.0.1]:{sink}\ngone.example error:5.1.2 no such domain\n"
ALIASES = "info@alias.example ok.alias@sink.example\n"
HEADER_CHECKS = "/^Subject:/ INFO\n/^X-Order:/ INFO\n"
FILES = {
    "main.cf": MAIN,
    "master.cf": MASTER,
    "transport": TRANSPORT,
    "aliases": ALIASES,
    "header_checks": HEADER_CHECKS,
}


class Postfix:
    """One that runs; *port* takes mail in, *filtered* by way of the filter, which hands it to
    *again*."""

    def __init__(self, folder: Path, port: int, filtered: int, again: int) -> None:
        self.port, self.filtered, self.again = port, filtered, again
        self.log = folder / "log" / "mail.log"
        self._conf = folder / "conf"

    def command(self, *words: str) -> str:
        """Run one of its commands, as `postqueue -p`."""
        program, *rest = words
        with subprocess.Popen(
            (_program(program), "-c", str(self._conf), *rest),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=START_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # its scripts start others, which may hang
                raise
        assert process.returncode == 0, (words, said)
        return said

    def send(self, *recipients: str, port: int = 0, order: str = "1", subject: str = "Hi") -> None:
        """Hand it a mail over SMTP."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "Shop <shop@sender.example>", "you", subject
        mail["Message-ID"], mail["X-Order"] = f"<m{order}@sender.example>", order
        mail.set_content("hello\n")
        with smtplib.SMTP("127.0.0.1", port or self.port, timeout=START_S) as client:
            client.send_message(mail, "shop@sender.example", recipients)


@contextlib.asynccontextmanager
async def postfix(
    sink: int,
    filter_port: int,
    ports: tuple[int, int, int],
    lifetime_s: int,
    *,
    long_ids: bool,
    asks: str = "",
) -> AsyncIterator[Postfix]:
    """Run one whose mail for `sink.example` goes to the port *sink*; *asks* is a restriction of
    recipients, with its comma.

    It is never told to reload: its master, which starts who writes the log, may wait for ever for
    the log to take a line while ten others wait.
    """
    if os.geteuid() != 0:
        pytest.skip("Postfix starts as root only")
    with tempfile.TemporaryDirectory(prefix="postbell-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        port, filtered, again = ports
        for each in ("conf", "queue", "data", "log"):
            (folder / each).mkdir()
        shutil.chown(folder / "data", "postfix")
        values = {"folder": folder, "sink": sink, "lifetime": lifetime_s}
        values |= {"port": port, "filtered": filtered, "again": again, "filter": filter_port}
        values |= {"asks": asks}
        values |= {"long_ids": "yes" if long_ids else "no"}
        for each, text in FILES.items():
            (folder / "conf" / each).write_text(text.format(**values))
        one = Postfix(folder, port, filtered, again)
        await asyncio.to_thread(one.command, "postfix", "start")
        try:
            await _until_open(port)
            yield one
        finally:
            await asyncio.to_thread(one.command, "postfix", "stop")


async def _until_open(port: int) -> None:
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found and pwd.getpwnam("postfix"), f"no {name}; './do test' installs it"
    return found


class Sink:
    """An SMTP server that answers each recipient as the first word of the local part says; *seen*
    counts how often each was offered."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink.example ESMTP\r\n")
        while line := await reader.readline():
            word = line[:4].upper().strip()
            if word == b"EHLO":
                writer.write(b"250-sink.example\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n")
            elif word == b"RCPT":
                writer.write(self._answer(line.partition(b"<")[2].partition(b"@")[0].decode()))
            elif word == b"DATA":
                writer.write(b"354 go on\r\n")
                while (await reader.readline()) not in (b".\r\n", b""):
                    pass
                writer.write(b"250 2.0.0 Thank you\r\n")
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")
            await writer.drain()

    def _answer(self, name: str) -> bytes:
        word = name.partition(".")[0]
        self.seen[name] += 1
        if word == "later" and self.seen[name] > 2:
            word = "ok"
        return ANSWERS[word] + b"\r\n"


ANSWERS = {
    "ok": b"250 2.1.5 ok",
    "later": b"450 4.2.0 greylisted, come back",
    "never": b"451 4.3.0 not today",
    "nobody": b"550 5.1.1 User unknown",
    "full": b"552 5.2.2 Mailbox full",
    "spam": b"554 5.7.1 looks like spam",
    "bare": b"550 no such user",
    "forger": b"550-, relay=none, dsn=2.0.0, status=sent (250 Ok)\r\n550 <x>: to=<a@b.example>",
    "bytes": b"550 5.7.1 \xff\xfe \x1b[31m (in reply to RCPT TO command) 250",
    "huge": b"550-5.7.0 " + b"a" * 900 + b"\r\n550 5.7.0 " + b")" * 900,
    "none": b"550",
    "wrong": b"999 what",
}  # fmt: skip


class Filter:
    """A content filter that hands each mail on over SMTP and answers what it was answered."""

    def __init__(self, again: int) -> None:
        self._again = again

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, line for line."""
        there, back = await asyncio.open_connection("127.0.0.1", self._again)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, back))
                both.create_task(_pass_on(there, writer))
        finally:
            writer.close()
            back.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()
