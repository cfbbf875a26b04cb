"""Receive Postbell's webhooks with Python's standard library, one path per dialect.

    SIGNING_SECRET=whsec_...  APP_KEY=...  TOKEN=...  python receive.py [PORT] [FILE]

Set only what you use.  Events are appended to FILE (events.jsonl) before the answer is sent.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MAX_AGE_S = 300
MAX_BODY_BYTES = 32 * 1024 * 1024
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
FILE = sys.argv[2] if len(sys.argv) > 2 else "events.jsonl"
one_writer = threading.Lock()


def is_native(headers, query, body):
    """Standard Webhooks: any v1 signature over id.timestamp.body that our secret makes."""
    message_id, timestamp = headers["webhook-id"] or "", headers["webhook-timestamp"] or ""
    if not is_recent(timestamp, units_per_s=1):
        return False
    key = base64.b64decode(secret("SIGNING_SECRET").removeprefix("whsec_"))
    content = f"{message_id}.{timestamp}.".encode() + body
    ours = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return any(is_same(ours, theirs) for theirs in (headers["webhook-signature"] or "").split())


def is_engagelab(headers, query, body):
    """MD5 of timestamp, X-WebHook-AppKey and the APP KEY; it does not cover the body."""
    timestamp = headers["X-WebHook-Timestamp"] or ""
    if not is_recent(timestamp, units_per_s=1000):
        return False
    signed = timestamp + (headers["X-WebHook-AppKey"] or "") + secret("APP_KEY")
    ours = hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
    return is_same(ours, headers["X-WebHook-Signature"] or "")


def is_sendpulse(headers, query, body):
    """SendPulse signs nothing: register the URL as .../sendpulse?token=<a long random word>."""
    return is_same(secret("TOKEN"), query.get("token", [""])[0])


CHECKS = {"/native": is_native, "/engagelab": is_engagelab, "/sendpulse": is_sendpulse}


def secret(name):
    """Return a secret from the environment; an empty one would let everybody in."""
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"set {name} to receive at this path")
    return value


def is_recent(timestamp, units_per_s):
    is_number = timestamp.isdecimal() and len(timestamp) <= 16
    return is_number and abs(time.time() - int(timestamp) / units_per_s) <= MAX_AGE_S


def is_same(ours, theirs):
    return hmac.compare_digest(ours.encode(), theirs.encode())


def keep(events):
    """Append the events and wait until they are on disk: what is answered with 2xx is ours."""
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    with one_writer, open(FILE, "a", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        url = urlsplit(self.path)
        length = self.headers["Content-Length"] or ""
        size = int(length) if length.isdecimal() and len(length) <= 16 else None
        if size is None or size > MAX_BODY_BYTES:
            self.close_connection = True
            return self.answer(411 if size is None else 413)
        body = self.rfile.read(size)
        check = CHECKS.get(url.path)
        if check is None:
            return self.answer(404)
        try:
            if not check(self.headers, parse_qs(url.query), body):
                return self.answer(401)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return self.answer(500)
        try:
            events = json.loads(body)
        except ValueError:
            return self.answer(400)
        keep(events if isinstance(events, list) else [events])
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Write no line per request: URLs hold the token."""


server = ThreadingHTTPServer(("127.0.0.1", PORT), Receiver)
print(f"receiving on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
