"""Addresses and headers that say whose a mail was: short, signed, and read back whatever case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.sealing import load_or_create
from postbell.verp import MAX_LOCAL_OCTETS, PURPOSE, Trace, Tracer

KEYS = [b"new" * 10, b"old" * 10]
TRACER = Tracer(KEYS)
ADDRESSES = st.builds(
    "{}@{}".format,
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0@"), min_size=1),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0@"), min_size=1),
)
USERS = st.integers(1, 1 << 40)


@given(st.sampled_from("bu"), USERS, ADDRESSES, st.text("abc-123", max_size=50), st.booleans())
def test_what_fits_comes_back_and_the_rest_is_known_again(
    purpose: str, user: int, recipient: str, message: str, is_folded: bool
) -> None:
    local = TRACER.local_part(purpose, user, recipient, message)
    address = local + "@bounces.example.com"

    read = TRACER.of_address(address.upper() if is_folded else address)

    assert len(local.encode()) <= MAX_LOCAL_OCTETS
    assert read is not None and (read.purpose, read.user_id) == (purpose, user)
    assert read.is_of(recipient)
    assert read.recipient in ("", recipient) and read.message_id in ("", message)
    assert not read.is_of("x" + recipient)


@given(USERS, ADDRESSES, st.text("abc-123", max_size=300))
def test_a_header_holds_all_of_it(user: int, recipient: str, message: str) -> None:
    header = TRACER.header(user, recipient, message)

    assert TRACER.of_header(header) == Trace("t", user, recipient, message)
    assert TRACER.of_header(f" {header[:20]}\r\n\t{header[20:]} ") is not None


@pytest.mark.parametrize(
    ("recipient", "message"),
    [
        ("ada@example.net", "1042"),
        ("firstname.lastname@gmail.com", "1755856800"),
        ("a@b.example", "9c1f2e7a-3b1c-4d5e"),
    ],
)
def test_usual_addresses_fit_with_their_message(recipient: str, message: str) -> None:
    local = TRACER.local_part("b", 1042, recipient, message)

    assert TRACER.of_address(f"{local}@x") == Trace("b", 1042, recipient, message)


def test_a_changed_one_is_nobodys() -> None:
    local = TRACER.local_part("b", 7, "bob@example.org", "m")

    for place in range(2, len(local)):
        other = "a" if local[place] != "a" else "b"
        changed = TRACER.of_address(f"{local[:place]}{other}{local[place + 1 :]}@x")
        assert changed is None or changed == TRACER.of_address(f"{local}@x")  # unused bits
    assert TRACER.of_address(f"u{local[1:]}@x") is None
    assert TRACER.of_header(local[2:]) is None
    assert TRACER.of_address(local) is None
    assert TRACER.of_address("b-@x") is TRACER.of_address("b-a@x") is None
    assert TRACER.of_header("") is TRACER.of_header("é") is TRACER.of_header("b" * 4000) is None


def test_keys_can_be_changed() -> None:
    old = Tracer(KEYS[1:]).local_part("b", 7, "bob@example.org") + "@x"

    assert TRACER.of_address(old) is not None
    assert Tracer(KEYS[:1]).of_address(old) is None


def test_the_keys_are_of_the_installation_and_of_this_purpose(tmp_path) -> None:
    sealer, other = load_or_create(tmp_path / "a"), load_or_create(tmp_path / "b")

    assert sealer.derived(PURPOSE) == load_or_create(tmp_path / "a").derived(PURPOSE)
    assert len({sealer.derived(PURPOSE)[0], sealer.derived("x")[0], other.derived(PURPOSE)[0]}) == 3
    assert [len(key) for key in sealer.derived(PURPOSE)] == [32]


def test_tokens_that_are_out_in_the_world_are_read_for_ever() -> None:
    """Made by the first release that had them."""
    tracer = Tracer([b"k" * 32])

    address = "b-akebes6lfqvc5sklasnjteyimeqoigambvgiyafaj4upmqior52q@x"

    assert tracer.of_address(address) == Trace("b", 1042, "firstname.lastname@gmail.com", "1042")
