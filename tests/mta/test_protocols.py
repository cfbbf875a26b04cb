"""What Postfix asks and is answered, byte by byte."""

import pytest

from postbell.mta.protocols import MAX_REQUEST_BYTES, Question, answer_to, next_request
from postbell.suppressions import SuppressionReason

POLICY = (
    b"request=smtpd_access_policy\nprotocol_state=%s\nprotocol_name=ESMTP\nsender=a@b.example\n"
    b"recipient=%s\nsasl_method=plain\nsasl_username=%s\nsize=0\n\n"
)


def find(question: Question) -> SuppressionReason | None:
    known = {"ada@example.net", "josé@example.net", "a b@example.net"}
    return SuppressionReason.HARD_BOUNCE if question.recipient in known else None


def asked(request: bytes) -> bytes | None:
    buffer = bytearray(request)
    whole = next_request(buffer)
    assert whole is not None
    assert buffer == b""
    return answer_to(whole, find)


REFUSED = b"550 5.7.1 the address is on the suppression list (hard_bounce)"
ESCAPED = REFUSED.replace(b" ", b"%20")


@pytest.mark.parametrize(("request_", "answer"), [
    (POLICY % (b"RCPT", b"ada@example.net", b""), b"action=" + REFUSED + b"\n\n"),
    (POLICY % (b"RCPT", "josé@example.net".encode(), b""), b"action=" + REFUSED + b"\n\n"),
    (POLICY % (b"RCPT", b"bob@example.net", b""), b"action=DUNNO\n\n"),
    (POLICY % (b"DATA", b"ada@example.net", b""), b"action=DUNNO\n\n"),
    (POLICY % (b"RCPT", b"", b""), b"action=DUNNO\n\n"),
    (b"get ada@example.net\n", b"200 " + ESCAPED + b"\n"),
    (b"get a%20b@example.net\n", b"200 " + ESCAPED + b"\n"),
    (b"get jos%C3%A9@example.net\r\n", b"200 " + ESCAPED + b"\n"),
    (b"GET bob@example.net\n", b"500 not%20suppressed\n"),
    (b"get \n", b"500 not%20suppressed\n"),
    (b"put a b\n", b"400 this%20table%20is%20read%20only\n"),
    (b"\n", None),
    (b"HELO x\n\n", None),
    (b"request=junk\n\n", None),
    (b"\xff\xfe=\n\n", None),
])  # fmt: skip
def test_a_request_has_its_answer(request_: bytes, answer: bytes | None) -> None:
    assert asked(request_) == answer


def test_the_login_is_told() -> None:
    seen: list[Question] = []
    request = next_request(bytearray(POLICY % (b"RCPT", b"ada@example.net", b"alice")))

    answer_to(request or b"", lambda question: seen.append(question))

    assert seen == [Question("ada@example.net", "alice")]


@pytest.mark.parametrize("part", [b"", b"g", b"get ada@exam", POLICY[:-1] % (b"RCPT", b"a", b"")])
def test_half_a_request_is_waited_for(part: bytes) -> None:
    buffer = bytearray(part)

    assert next_request(buffer) is None
    assert buffer == part


def test_a_request_that_is_too_long_is_none() -> None:
    assert next_request(bytearray(b"get " + b"a" * MAX_REQUEST_BYTES + b"\n")) is None


def test_requests_behind_one_another_are_taken_one_by_one() -> None:
    buffer = bytearray(b"get a\n" + POLICY % (b"RCPT", b"b", b"") + b"get c\nget")

    taken = [next_request(buffer) for _ in range(4)]

    assert taken[0] == b"get a"
    assert taken[1] is not None
    assert taken[1].startswith(b"request=")
    assert taken[2:] == [b"get c", None]
