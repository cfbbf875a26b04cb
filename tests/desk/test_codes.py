"""One-time codes and recovery codes: the standard's examples, the window, how they are typed."""

from base64 import b32encode
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.desk import codes
from postbell.ports import Proof, SecondFactor

NOW = datetime(2026, 11, 29, 12, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30
SECRET = codes.new_secret()


def factor(secret: str = SECRET, last_step: int = 0) -> SecondFactor:
    return SecondFactor(7, 1, secret, NOW, NOW, last_step, 10)


def code(at: datetime, secret: str = SECRET) -> str:
    return pyotp.TOTP(secret).at(at)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"),
        (1_234_567_890, "005924"), (2_000_000_000, "279037"),
    ],
)  # fmt: skip
def test_codes_are_those_of_the_standards_appendix(seconds: int, expected: str) -> None:
    """RFC 6238 appendix B, SHA-1, the last six digits."""
    secret = b32encode(b"12345678901234567890").decode()
    at = datetime.fromtimestamp(seconds, UTC)

    assert codes.proof_of(factor(secret), expected, at) == Proof(7, step=seconds // 30)


@pytest.mark.parametrize(("late_s", "step"), [(-60, None), (-30, -1), (0, 0), (30, 1), (60, None)])
def test_a_code_is_taken_one_step_early_or_late(late_s: int, step: int | None) -> None:
    proof = codes.proof_of(factor(), code(NOW + timedelta(seconds=late_s)), NOW)

    assert proof == (None if step is None else Proof(7, step=STEP + step))


def test_a_code_of_a_step_that_was_used_proves_nothing() -> None:
    used = factor(last_step=STEP)

    assert codes.proof_of(used, code(NOW), NOW) is None
    assert codes.proof_of(used, code(NOW - timedelta(seconds=30)), NOW) is None
    assert codes.proof_of(used, code(NOW + timedelta(seconds=30)), NOW) == Proof(7, step=STEP + 1)


@pytest.mark.parametrize("mark", [" ", "-", "\u00a0", "  "])
def test_a_code_is_taken_as_people_type_it(mark: str) -> None:
    typed = code(NOW)

    assert codes.proof_of(factor(), f" {typed[:3]}{mark}{typed[3:]} ", NOW) is not None


def test_recovery_codes_are_ten_and_all_different() -> None:
    made = codes.new_recovery_codes()

    assert len(set(made)) == 10
    assert all(len(each) == 19 and each.count("-") == 3 for each in made)


def test_a_recovery_code_is_taken_in_any_case_and_grouping() -> None:
    (made, *_) = codes.new_recovery_codes()
    proof = Proof(7, recovery=codes.recovery_digest(made))

    spelled = (made, made.upper(), made.replace("-", ""), f" {made.replace('-', ' ')} ")

    assert {codes.proof_of(factor(), each, NOW) for each in spelled} == {proof}
    assert len(proof.recovery) == 32


@given(st.text(max_size=100))
def test_whatever_is_typed_proves_nothing_by_chance(typed: str) -> None:
    proof = codes.proof_of(factor(), typed, NOW)

    assert (
        proof is None
        or proof.recovery
        or typed.strip() in {code(NOW + timedelta(seconds=30 * around)) for around in (-1, 0, 1)}
    )


@pytest.mark.parametrize("typed", ["١٢٣٤٥٦", "１２３４５６", "12345", "1234567", "", "²³⁴⁵⁶⁷"])
def test_only_six_plain_digits_are_a_code(typed: str) -> None:
    assert codes.proof_of(factor(), typed, NOW) is None


def test_the_address_for_an_authenticator_names_person_and_service() -> None:
    address = codes.address_of(SECRET, "ada+x@example.com", "Postbell eu")

    read = pyotp.parse_uri(address)
    assert (read.secret, read.name, read.issuer) == (SECRET, "ada+x@example.com", "Postbell eu")
    assert address.startswith("otpauth://totp/Postbell%20eu:ada%2Bx%40example.com?secret=")


def test_a_code_in_digits_of_another_script_is_just_wrong() -> None:
    assert codes.proof_of(factor(), "\u0661\u0662\u0663\u0664\u0665\u0666", NOW) is None
