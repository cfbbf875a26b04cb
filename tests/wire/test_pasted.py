"""What people paste: the accident is named, and the advice leads to the same URL and key."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from postbell.errors import BadInput
from postbell.records import SecretKind
from postbell.signing import check_secret
from postbell.wire.urls import parse

KEY = bytes(range(250, 256)) * 5


@pytest.mark.parametrize("url", [" https://a.example/x", "https://a.example/x\n", "\thttps://a/"])
def test_a_blank_around_a_url_is_to_be_taken_off(url: str) -> None:
    with pytest.raises(BadInput, match="before or after it; take that off"):
        parse(url)


@pytest.mark.parametrize(
    ("secret", "advice"),
    [
        (f" whsec_{b64encode(KEY).decode()}", "take that off"),
        (f"whsec_{b64encode(KEY).decode()}\n", "take that off"),
        (f"v1,whsec_{b64encode(KEY).decode()}", "give the secret alone, from whsec_ on"),
        (f"whsec_{urlsafe_b64encode(KEY).decode()}", "alphabet of URLs"),
        (f"whsec_{b64encode(KEY + b'1').decode().rstrip('=')}", "without its padding"),
        ("whsec_!", "not whsec_ followed by base64"),
    ],
)
def test_an_accident_with_a_secret_is_named(secret: str, advice: str) -> None:
    with pytest.raises(BadInput, match=advice) as refused:
        check_secret(SecretKind.SYMMETRIC, secret)

    assert secret.strip() not in refused.value.message
