"""The setting `unique_urls`: EngageLab's code 30708 for a second webhook of a URL."""

from pathlib import Path

import pytest

from tests.app.test_sendpulse_tokens import served
from tests.cli.running import Postbell


@pytest.mark.parametrize(("setting", "status"), [("false", 200), ("true", 400)])
def test_a_second_webhook_for_a_url_is_refused_where_the_operator_says_so(
    tmp_path: Path, setting: str, status: int
) -> None:
    postbell = Postbell(
        tmp_path / "data", POSTBELL_LISTEN="127.0.0.1:0", POSTBELL_UNIQUE_URLS=setting
    )
    postbell("accounts", "create", "acme")
    key = postbell.json("api-users", "create", "acme", "shop")["api_key"]
    with served(postbell) as client:
        form = {"url": "http://127.0.0.1:8999/hook"}

        first, second = (
            client.post("/v1/webhooks", json=form, auth=("shop", key)) for _ in range(2)
        )

    assert first.status_code == 200
    assert second.status_code == status
    assert second.json().get("code") == (30708 if status == 400 else None)
