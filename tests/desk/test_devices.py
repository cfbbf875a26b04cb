"""What a browser is called on the page of sessions: known words, and never the sender's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postbell.desk.devices import BROWSERS, SYSTEMS, device_of, place_of

KNOWN = {word for _, word in (*BROWSERS, *SYSTEMS)}
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
X11 = "Mozilla/5.0 (X11; Linux x86_64"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"
DROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (f"{X11}; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox, Linux"),
        (f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge, Windows"),
        (f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36", "Chrome, Windows"),
        (f"{WINDOWS} Chrome/138.0.0.0 YaBrowser/25.8 Safari/537.36", "Yandex Browser, Windows"),
        (f"{MAC} Version/18.1 Safari/605.1.15", "Safari, macOS"),
        (f"{MAC} Chrome/142.0.0.0 Safari/537.36 OPR/124.0", "Opera, macOS"),
        (f"{PHONE} (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1", "Safari, iPhone"),
        (f"{PHONE} (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1", "Chrome, iPhone"),
        (f"{DROID} Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome, Android"),
        (f"{DROID} SamsungBrowser/28.0 Chrome/130.0 Mobile", "Samsung Internet, Android"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/142.0", "Chrome, ChromeOS"),
        ("curl/8.14.1", "curl"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("‮evil\x00\x1b[31m", ""),
    ],
)  # fmt: skip
def test_a_browser_and_its_system_have_a_short_name(user_agent: str, name: str) -> None:
    assert device_of(user_agent) == name


@given(st.text(max_size=2000), st.sampled_from(["", " Firefox/1", " Windows Edg/9"]))
def test_whatever_is_sent_only_our_words_are_shown(text: str, mark: str) -> None:
    name = device_of(text + mark)

    assert set(name.split(", ")) - {""} <= KNOWN
    assert len(name) <= 40


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("<b>here</b>", ""),
        ("", ""),
    ],
)
def test_a_place_is_a_network_address_or_nothing(address: str, place: str) -> None:
    assert place_of(address) == place
