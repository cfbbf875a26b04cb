"""Every file of `deploy/`: it names settings and commands that there are."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click import Group

from postbell.cli.root import root
from tests.deploy import DEPLOY, unknown_settings
from tests.proxies.fronting import free_port

ROOT = DEPLOY.parent
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
LOOKED_AT = {"/healthz", "/readyz"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_a_file_names_is_one(path: Path) -> None:
    assert unknown_settings(path.read_text()) == set()


def test_every_folder_of_files_is_described() -> None:
    described = (DEPLOY / "README.md").read_text()

    assert {
        p.name for p in DEPLOY.iterdir() if p.is_dir() and f"`{p.name}/`" not in described
    } == set()


# ---- the container -----------------------------------------------------------------------------


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        yield word, " ".join(rest.split())


def test_what_the_image_is_built_from_is_there_and_not_ignored() -> None:
    copied = [
        name
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    ]
    ignored = (ROOT / ".containerignore").read_text().split()

    assert {"requirements.lock", "pyproject.toml", "src"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert ignored[0] == "*"
    assert {f"!{name}" for name in copied} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_packages_come_by_their_hashes_and_ours_without_any() -> None:
    runs = " && ".join(rest for word, rest in instructions() if word == "RUN")
    installs = [each for each in runs.split(" && ") if "pip install" in each]

    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation --no-index ." in installs[1]


def test_the_image_runs_as_nobody_and_hears_signals() -> None:
    last: dict[str, str] = dict(instructions())

    assert last["USER"] == "10001:10001"
    assert last["ENTRYPOINT"] == '["/opt/postbell/bin/postbell"]'  # no shell between
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["HEALTHCHECK"].endswith('CMD ["postbell", "health"]')
    assert isinstance(root, Group)
    assert root.get_command(None, "health") is not None  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the disk read-only")
def test_the_service_runs_where_nothing_but_its_folder_can_be_written(tmp_path: Path) -> None:
    """As under a read-only root, which a namespace of mounts makes here."""
    command = f"{sys.executable} -B -m postbell"
    script = f"""
        mount -t tmpfs none {tmp_path} && mount -o remount,bind,ro / || exit 9
        touch /tmp/written 2>/dev/null && exit 8
        {command} serve & trap "kill -KILL $! 2>/dev/null" EXIT
        for _ in $(seq 60); do {command} health --ready 2>/dev/null && break; sleep 0.2; done
        kill -TERM $!; wait $!
    """
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "POSTBELL_DATA_DIR": f"{tmp_path}/data",
            "POSTBELL_LISTEN": f"127.0.0.1:{free_port()}",
        },
        cwd="/",
        capture_output=True,
        text=True,
    )

    assert "postbell is ready" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


# ---- Compose and Kubernetes --------------------------------------------------------------------


def checked_command(words: list[str]) -> None:
    """Fail where `postbell` with these words is no command."""
    group: object = root
    for position, word in enumerate(words):
        if not isinstance(group, Group):
            made = group.make_context("x", words[position:], resilient_parsing=True)  # type: ignore[attr-defined]
            assert made is not None
            return
        group = group.get_command(None, word)  # type: ignore[arg-type]
        assert group is not None, words


def test_the_compose_file_starts_processes_that_there_are() -> None:
    found = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())
    services, secrets = found["services"], found["secrets"]

    ours = {name: each for name, each in services.items() if "postbell" in each["image"]}
    assert set(ours) == {"migrate", "api", "worker"}
    assert [ours[name]["deploy"]["replicas"] for name in ("api", "worker")] == [2, 2]
    for each in ours.values():
        checked_command(each["command"])
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert set(each["secrets"]) <= set(secrets)
        assert set(each["depends_on"]) <= set(services)
        test = each["healthcheck"].get("test")
        assert test is None or test[:2] == ["CMD", "postbell"]
        if test:
            checked_command(test[2:])
    assert ours["api"]["environment"]["POSTBELL_TRUSTED_PROXIES"] == (
        services["proxy"]["networks"]["inside"]["ipv4_address"] + "/32"
    )
    assert "server-template api 10 api:8025" in (DEPLOY / "container" / "haproxy.cfg").read_text()


def objects() -> list[dict[str, object]]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [each for path in files for each in yaml.safe_load_all(path.read_text())]


def pods() -> Iterator[tuple[str, dict[str, object]]]:
    for each in objects():
        spec: dict[str, object] = each["spec"]  # type: ignore[assignment]
        if "template" in spec:
            yield each["metadata"]["name"], spec["template"]  # type: ignore[index,misc]


def test_kubernetes_gets_every_kind_of_object_once() -> None:
    kinds = sorted((str(each["kind"]), each["metadata"]["name"]) for each in objects())  # type: ignore[index]

    assert kinds == [
        ("Deployment", "postbell-api"),
        ("Deployment", "postbell-worker"),
        ("Job", "postbell-migrate"),
        ("PodDisruptionBudget", "postbell-api"),
        ("PodDisruptionBudget", "postbell-worker"),
        ("Service", "postbell"),
    ]


@pytest.mark.parametrize(("name", "pod"), list(pods()))
def test_a_pod_is_nobody_s_reads_its_secrets_by_reference_and_is_asked_real_paths(
    name: str, pod: dict
) -> None:
    spec = pod["spec"]
    (container,) = spec["containers"]
    checked_command(container["args"])
    env = {each["name"]: each for each in container["env"]}
    mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
    listened = {
        int(env[name]["value"].rpartition(":")[2])
        for name in ("POSTBELL_LISTEN", "POSTBELL_METRICS_LISTEN")
        if name in env
    }

    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "secretKeyRef" in env["POSTBELL_DATABASE_URL"]["valueFrom"]
    key = Path(env["POSTBELL_SECRET_KEY_FILE"]["value"])
    assert volumes[mounted[str(key.parent)]]["secret"]["items"][0]["path"] == key.name
    assert set(mounted.values()) == set(volumes)
    assert {"/tmp", "/var/lib/postbell"} <= set(mounted)
    assert set(ports.values()) == listened
    for probe in (value for key, value in container.items() if key.endswith("Probe")):
        assert probe["httpGet"]["path"] in LOOKED_AT
        assert probe["httpGet"]["port"] in ports
        assert probe["httpGet"]["path"] == "/healthz" or probe["httpGet"]["port"] == "http"


def test_a_service_and_a_budget_choose_pods_that_there_are() -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods()]  # type: ignore[index]
    for each in objects():
        spec: dict = each["spec"]  # type: ignore[assignment]
        selector = spec.get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if wanted:
            assert any(wanted.items() <= each.items() for each in labels), each
        if each["kind"] == "Service":
            assert spec["ports"][0]["targetPort"] == "http"
