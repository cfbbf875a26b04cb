"""The URL a customer registers: what is taken, what is refused and how that is said."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postbell.errors import BadInput
from postbell.wire.urls import BAD_PORTS, MAX_URL_BYTES, parse


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://example.com", "https://example.com", "/"),
        ("https://example.com/", "https://example.com", "/"),
        ("HTTPS://Example.COM/Hooks", "https://example.com", "/Hooks"),
        ("http://example.com:80/a", "http://example.com", "/a"),
        ("http://example.com:443/a", "http://example.com:443", "/a"),
        ("https://example.com:8443/a?b=c", "https://example.com:8443", "/a?b=c"),
        ("https://example.com?b=/c", "https://example.com", "/?b=/c"),
        ("https://example.com./a", "https://example.com.", "/a"),
        ("https://a_b.example.com/", "https://a_b.example.com", "/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "/"),
        ("https://93.184.216.34/", "https://93.184.216.34", "/"),
        ("https://0x5DB8D822/", "https://93.184.216.34", "/"),
        ("https://[2606:4700:0:0::1111]:8443/x", "https://[2606:4700::1111]:8443", "/x"),
        ("https://user:p%40ss@example.com/a", "https://example.com", "/a"),
        ("https://1.example.com/", "https://1.example.com", "/"),
    ],
)
def test_a_callable_url_is_taken(url: str, origin: str, path: str) -> None:
    target = parse(url)

    assert (target.origin, target.path) == (origin, path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "empty"),
        ("example.com/hooks", "http"),
        ("ftp://example.com/", "http"),
        ("file:///etc/passwd", "http"),
        ("gopher://example.com/", "http"),
        ("javascript:alert(1)", "http"),
        ("//example.com/", "http"),
        ("http:example.com", "http"),
        ("http:/example.com", "http"),
        ("http:///path", "host"),
        ("http://", "host"),
        ("http://?x", "host"),
        ("http://:80/", "no host"),
        ("http://user@/", "no host"),
        ("http://./", "no host"),
        ("http://a..b/", "not a name"),
        ("http://.example.com/", "not a name"),
        ("http://-a.example.com/", "not a name"),
        ("http://a-.example.com/", "not a name"),
        ("http://" + "a" * 64 + ".com/", "not a name"),
        ("http://" + ("a" * 60 + ".") * 5 + "com/", "not a name"),
        ("http://exa$mple.com/", "not a name"),
        ("http://127%2e0.0.1/", "neither a name nor"),
        ("http://a%00b.com/", "not a name"),
        ("http://example.com,10.0.0.1/", "nor an IPv4 address"),
        ("http://example.com/a b", "space"),
        (" http://example.com/", "space"),
        ("http://example.com/\n", "control"),
        ("http://example.com/\tx", "control"),
        ("http://example.com\r\n@10.0.0.1/", "control"),
        ("http://example.com/\x00", "control"),
        ("http://example.com/\x7f", "control"),
        ("http://example.com\\@10.0.0.1/", "backslash"),
        ("http:\\\\example.com/", "backslash"),
        ("http://example.com/a#b", "fragment"),
        ("http://example.com#@10.0.0.1/", "fragment"),
        ("http://a@b@example.com/", "more than one '@'"),
        ("http://example.com:/", "port ''"),
        ("http://example.com:http/", "port 'http'"),
        ("http://example.com:-1/", "port '-1'"),
        ("http://example.com:65536/", "port '65536'"),
        ("http://example.com:٨٠/", "not ASCII"),
        ("http://example.com:80:80/", "port '80:80'"),
        ("http://example.com:25/", "port 25"),
        ("http://example.com:6000/", "port 6000"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:000022/", "port"),
        ("http://example.com:00022/", "port 22"),
        ("http://256.1.1.1/", "nor an IPv4 address"),
        ("http://1.2.3.4.5/", "nor an IPv4 address"),
        ("http://4294967296/", "nor an IPv4 address"),
        ("http://1.2.3.08/", "nor an IPv4 address"),
        ("http://example.0x1/", "nor an IPv4 address"),
        ("http://[::1", "not closed"),
        ("http://[::1]x/", "not closed"),
        ("http://[::g]/", "not an IPv6 address"),
        ("http://[1.2.3.4]/", "not an IPv6 address"),
        ("http://[v1.x]/", "not an IPv6 address"),
        ("http://[]/", "not an IPv6 address"),
        ("http://[fe80::1%25eth0]/", "zone id"),
        ("http://[fe80::1%eth0]/", "zone id"),
        ("http://::1/", "port"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://straße.example/", "xn--strae-oqa.example"),
        ("http://пример.испытание/", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("http://example.com/ü", "%C3%BC"),
        ("http://example.com/?x=\u2028", "%E2%80%A8"),
        ("http://example.com/\ud800", "not ASCII"),
        ("http://\ud800.com/", "not ASCII"),
        ("http://example.com/" + "a" * MAX_URL_BYTES, "2067 bytes"),
    ],
)
def test_a_malformed_url_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse(url)

    assert (raised.value.code, raised.value.member) == ("url_malformed", "url")
    assert said in raised.value.message
    assert len(raised.value.message) < 500


@pytest.mark.parametrize("port", sorted(BAD_PORTS))
def test_a_port_of_another_protocol_is_refused(port: int) -> None:
    with pytest.raises(BadInput, match=f"port {port} "):
        parse(f"https://example.com:{port}/")


def test_a_url_of_exactly_the_limit_is_taken() -> None:
    url = "https://example.com/".ljust(MAX_URL_BYTES, "a")

    assert len(parse(url).path) == MAX_URL_BYTES - len("https://example.com")


def test_the_password_is_never_in_a_message() -> None:
    for rest in ("@a..b/", "@example.com:25/", "@example.com/#x", "@b@c/", "@[::1/", "@bücher.de/"):
        with pytest.raises(BadInput) as raised:
            parse(f"https://user:hunter2{rest}")

        assert "hunter2" not in raised.value.message


@pytest.mark.parametrize(
    ("userinfo", "authorization"),
    [
        ("user:pass@", "Basic dXNlcjpwYXNz"),
        ("user@", "Basic dXNlcjo="),
        (":pass@", "Basic OnBhc3M="),
        ("a:b:c@", "Basic YTpiOmM="),
        ("%C3%BC:%0A@", "Basic w7w6Cg=="),
        ("@", ""),
        ("", ""),
    ],
)
def test_userinfo_is_decoded_into_a_header(userinfo: str, authorization: str) -> None:
    assert parse(f"https://{userinfo}example.com/").authorization == authorization


@pytest.mark.parametrize(
    ("host", "is_inside_name"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.b.localhost", True),
        ("intranet", True),
        ("intranet.", True),
        ("metadata.google.internal", True),
        ("printer.local", True),
        ("router.home.arpa", True),
        ("localhost.localdomain", True),
        ("example.com", False),
        ("notlocalhost.com", False),
        ("internal.example", False),
        ("127.0.0.1", False),
        ("[::1]", False),
    ],
)
def test_names_of_the_inside_are_known_by_their_form(host: str, is_inside_name: bool) -> None:
    assert parse(f"http://{host}/").is_inside_name is is_inside_name


TEXT_LIKE_URLS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="htps:/.@[]%#?0123456789xabf\\ \n\u3002\uff11", max_size=60).map(
        "http://".__add__
    ),
    st.builds(
        "{}://{}{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP"]),
        st.sampled_from(["", "u:p@", "u%@", "@"]),
        st.one_of(
            st.from_regex(r"[a-z0-9.:\[\]x_-]{1,30}", fullmatch=True),
            st.ip_addresses().map(lambda a: f"[{a}]" if a.version == 6 else str(a)),
            st.integers(0, 2**33).map(str),
            st.integers(0, 2**33).map(hex),
            st.text(max_size=10),
        ),
        st.sampled_from(["", ":80", ":8443", ":", ":x", ":99999"]),
        st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7F), max_size=40).map(
            lambda t: "/" + t
        ),
    ),
)


@settings(deadline=None)
@given(TEXT_LIKE_URLS)
@example("http://" + "9" * 2000)
@example("http://0x" + "f" * 2000)
@example("http://" + "０" * 300)
@example("http://xn--\u3002")
def test_any_text_is_parsed_verbatim_or_refused(url: str) -> None:
    try:
        target = parse(url)
    except BadInput as error:
        assert error.code in ("url_malformed", "url_inside")
        assert error.member == "url"
    else:
        _, _, after = url.partition("://")
        authority_length = min((i for c in "/?" if (i := after.find(c)) >= 0), default=len(after))
        rest = after[authority_length:]
        assert target.path == (rest if rest.startswith("/") else "/" + rest)
        assert target.path.isascii()
        assert not set(target.origin + target.path) & set("\\\r\n\t \0#")
