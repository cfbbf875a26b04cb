"""Alerts and dashboard: every query is PromQL, and of metrics and labels that `/metrics` serves."""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed

from tests.cli.running import EventServer, Postbell, line_with
from tests.deploy import DEPLOY
from tests.fakes import KEY
from tests.proxies.fronting import free_port

RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "postbell.json"
OF_PROMETHEUS = {"job", "instance"}
LIMIT_S = 60.0
SELECTOR = re.compile(r"\b((?:postbell|process)_\w+|up)\b(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_rules_and_the_example_of_a_configuration_are_prometheus_own() -> None:
    for words in (("check", "rules", RULES.name), ("test", "rules", "alerts_test.yml"),
                  ("check", "config", "prometheus.yml")):  # fmt: skip
        done = subprocess.run(
            ["promtool", *words], cwd=RULES.parent, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_of_every_alert_it_is_tried_when_it_fires_and_when_not() -> None:
    tried: dict[str, set[bool]] = {}
    for each in yaml.safe_load((RULES.parent / "alerts_test.yml").read_text())["tests"]:
        for case in each["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))

    assert tried == {name: {True, False} for name in alerts()}


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_have_places_and_ids_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, set[str]]]]:
    """The labels of each metric, with the values that they have, of a service with something to
    tell: a receiver that takes, one that does not, a source, an event that was skipped."""
    folder = tmp_path_factory.mktemp("watched")
    metrics = f"127.0.0.1:{free_port()}"
    (folder / "events").touch()
    source = {"path": str(folder / "events"), "account": "acme", "api_user": "shop"}
    postbell = Postbell(
        folder / "data",
        POSTBELL_LISTEN=f"127.0.0.1:{free_port()}",
        POSTBELL_METRICS_LISTEN=metrics,
        POSTBELL_SOURCE_MAIL=json.dumps(source),
    )
    with EventServer() as receiver:
        event = json.dumps({"type": "delivered", "recipient": "ada@example.net"})
        for words in (
            ("accounts", "create", "acme"),
            ("api-users", "create", "acme", "shop", "--api-key", KEY),
            ("webhooks", "create", "acme", receiver.url, "--policy", '{"max_wait_s": 0}'),
            (
                "webhooks",
                "create",
                "acme",
                f"http://127.0.0.1:{free_port()}/",
                "--policy",
                '{"max_wait_s": 0}',
            ),
        ):
            done = postbell(*words)
            assert done.returncode == 0, done.stderr
        with postbell.running("serve") as process:
            base = line_with(process, r"postbell is ready: (\S+)")
            login = ("--url", base, "--api-user", "shop", "--api-key", KEY)
            done = postbell("events", "send", "-", *login, given=event + "\n")
            assert done.returncode == 0, done.stderr
            until = time.monotonic() + LIMIT_S
            while True:
                found = _read(f"http://{metrics}/metrics")
                results = found.get("postbell_attempts_total", {}).get("verdict", set())
                if len(results) > 1 and "postbell_delivery_delay_seconds_bucket" in found:
                    break
                assert time.monotonic() < until, results
                time.sleep(0.1)
            yield found


def _read(url: str) -> dict[str, dict[str, set[str]]]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, set[str]]] = {}
    for family in parsed(text):
        if family.type == "counter":
            found.setdefault(f"{family.name}_total", {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


RARE = {
    ("postbell_events_undelivered_total", "dialect"),
    ("postbell_events_undelivered_total", "kind"),
    ("postbell_http_refused_total", "reason"),
}
"""Labels of what has no sample before something is lost or refused."""


@pytest.mark.parametrize("query", [*alerts().values(), *queries()])
def test_every_query_names_what_is_served(
    query: str, served: dict[str, dict[str, set[str]]]
) -> None:
    named = SELECTOR.findall(query)
    assert named
    wanted = {
        label.strip() for group in GROUPED.findall(query) for label in group.split(",")
    } - OF_PROMETHEUS
    known: set[str] = set()
    for metric, matchers in named:
        if metric == "up":
            continue
        assert metric in served
        labels = served[metric]
        known |= set(labels) | {label for name, label in RARE if name == metric}
        for label, operator, value in re.findall(r'(\w+)(=|!=|=~)"([^"]*)"', matchers):
            assert label in known | OF_PROMETHEUS
            if operator == "=" and label in ("face", "state", "verdict", "pool"):
                assert value in labels[label] or (label, value) == ("face", "ingest")

    assert wanted <= known | {"le"}
