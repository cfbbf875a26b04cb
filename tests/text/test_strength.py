"""How strong a given key is: what people make up is weak, what a machine draws is strong."""

import secrets

import pytest

from postbell.sealing import new_api_key
from postbell.text.strength import bits_of, is_weak

MADE_UP = [
    "", "a" * 40, "ab" * 20, "12345678901234567890123456789012345678901", "deadbeef" * 4,
    "0123456789abcdef" * 2, "correct horse battery staple", "CorrectHorseBatteryStaple2024!!",
    "MyCompanyApiKey-production-2024-11-29", "qwertyuiopasdfghjklzxcvbnm1234567890",
    "password1234567890password", "thequickbrownfoxjumpsoverthelazydog",
    "P@ssw0rd!P@ssw0rd!P@ssw0rd!", "Postbell2024Production!Secret#Key",
    "my-shop-live-key-0001-do-not-share", "mon-entreprise-cle-secrete-2024-paris",
    "aaaabbbbccccddddeeeeffffgggghhhh", "0123456789abcdef0123456",
]  # fmt: skip


@pytest.mark.parametrize("key", MADE_UP)
def test_what_people_make_up_is_weak(key: str) -> None:
    assert is_weak(key)


def test_an_uuid_falls_short_by_its_six_fixed_bits() -> None:
    assert bits_of("d290f1ee-6c54-4b01-90e6-d701748f0851") == 122


def test_thirty_two_hexadecimal_digits_are_128_bits() -> None:
    for _ in range(500):
        assert bits_of(secrets.token_hex(16)) == 128
        assert not is_weak(secrets.token_hex(32).upper())


def test_what_is_made_here_is_strong() -> None:
    assert not any(is_weak(new_api_key()) for _ in range(200))


def test_most_keys_that_other_machines_draw_are_strong() -> None:
    weak = sum(is_weak(secrets.token_urlsafe(32)) for _ in range(1000))

    assert weak < 100


def test_no_estimate_is_above_what_the_alphabet_can_hold() -> None:
    for key in ("0" * 300, "9f" * 128, "é" * 256, "a b c d e f g", "\U0001f600" * 8):
        assert 0 <= bits_of(key) <= 8 * len(key)
