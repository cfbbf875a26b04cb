"""Mails taken apart: whatever they are, in bounded work."""

from hypothesis import given
from hypothesis import strategies as st

from postbell.sources.mail.mime import MAX_DEPTH, MAX_FIELDS, MAX_PARTS, MimePart, parse
from postbell.text.headers import words


def kinds(part: MimePart) -> list[str]:
    return [each.type for each in part.walk()]


def mail(kind: str, body: str) -> bytes:
    return f"Content-Type: {kind}\nSubject: x\n\n{body}".encode()


def test_parts_lie_between_their_boundaries() -> None:
    body = "before\n--b\n\none\n--b  \nContent-Type: text/html\n\ntwo\n\n--bb\nthree\n--b--\nafter"

    whole = parse(mail('multipart/mixed; boundary="b"', body).replace(b"\n", b"\r\n"))

    assert kinds(whole) == ["multipart/mixed", "text/plain", "text/html"]
    assert [part.text for part in whole.parts] == ["one", "two\n\n--bb\nthree"]


def test_a_part_that_lacks_its_end_is_read() -> None:
    whole = parse(mail("multipart/mixed; boundary=b", "--b\n\none\n--b\n\ntw"))

    assert [part.text for part in whole.parts] == ["one", "tw"]


def test_fields_are_unfolded_and_their_number_and_length_bounded() -> None:
    whole = parse(
        b"A: one\n\ttwo\nB: x\0y\n\xff: z\nnone\n" + b"C: d\n" * 2 * MAX_FIELDS + b"\nbody"
    )

    assert whole.head.first("a") == "one two"
    assert whole.head.first("no", "b") == "x y"
    assert len(whole.head.all("c")) == MAX_FIELDS - 4
    assert len(parse(b"A: " + b"x" * 100_000).head.first("a")) == 2000


def test_nested_and_many_parts_are_bounded() -> None:
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000)
    )
    many = mail("multipart/mixed; boundary=b", "--b\n\nx\n" * 100_000)

    assert len(kinds(parse(nested))) == MAX_DEPTH + 1
    assert len(kinds(parse(many))) == MAX_PARTS


def test_the_same_boundary_in_each_other_ends() -> None:
    same = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 10_000

    assert len(kinds(parse(same))) <= MAX_PARTS


def test_encodings_and_charsets_that_there_are_not_do_no_harm() -> None:
    coded = b"Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=zlib\n\n!!=a"

    assert parse(coded).text == "!!=a"
    assert parse(b"Content-Transfer-Encoding: quoted-printable\n\na=3Db=\nc").text == "a=bc"
    assert parse(b"\n\xe4\n").text == "ä\n"
    assert words("=?no-such?q?=E4?= =?utf-8?b?w6Q=?=") == "ää"
    assert words("=?utf-8?b?w?=") == "=?utf-8?b?w?="
    assert words("=?unicode_escape?q?=5Cud800?=") == "?"


@given(st.binary(max_size=2000))
def test_anything_is_taken_apart(raw: bytes) -> None:
    for part in parse(raw).walk():
        assert isinstance(part.text, str)
        assert isinstance(part.enclosed.first("subject"), str)
