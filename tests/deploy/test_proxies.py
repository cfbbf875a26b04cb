"""The real service behind the proxies of `deploy/`, with one of the two machines down."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy import DEPLOY
from tests.fakes import KEY
from tests.proxies.fronting import HOST, INSIDE, free_port, fronted

FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
AUTH = ("shop", KEY)


@pytest.mark.parametrize("proxy", FILES)
def test_a_machine_that_is_down_costs_no_request_and_the_client_is_who_he_is(
    proxy: str, tmp_path: Path
) -> None:
    text = (DEPLOY / "proxies" / FILES[proxy]).read_text()
    text = text.replace("10.0.0.11:8025", f"127.0.0.1:{free_port()}")
    text = text.replace("10.0.0.12:8025", INSIDE)

    with fronted(proxy, tmp_path, text, POSTBELL_HOSTS=HOST) as front:
        with front.client("127.0.0.7") as client:
            answers = [
                client.post(
                    "/api/v1/events",
                    json={"type": "delivered", "recipient": f"u{n}@example.net"},
                    auth=AUTH,
                ).status_code
                for n in range(6)
            ]
            made = client.post(
                "/api/v1/api-users",
                json={"name": "made"},
                auth=AUTH,
                headers={"x-forwarded-for": "203.0.113.1"},
            )
            inside = [client.get(path).status_code for path in ("/readyz", "/metrics")]
        told = front.postbell.json(
            "trail", "list", "--action", "api_user.created", "--actor", "shop"
        )

    assert answers == [202] * 6
    assert made.status_code == 201
    assert [each["actor"]["address"] for each in told] == ["127.0.0.7"]
    assert inside == [403, 403]


def test_the_proxy_of_the_compose_file_is_read_without_a_complaint() -> None:
    config = DEPLOY / "container" / "haproxy.cfg"

    done = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
