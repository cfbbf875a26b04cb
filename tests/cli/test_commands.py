import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import click.testing
import pytest

from postbell import __version__
from postbell.cli.root import COMMANDS, root
from tests.cli.running import EventServer, Postbell, environ
from tests.forked import COMMAND


@pytest.fixture
def postbell(tmp_path: Path) -> Postbell:
    return Postbell(tmp_path / "data", is_anew=True)


def commands() -> Iterator[tuple[str, ...]]:
    """Give the words of every command."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from below(found, (*words, name))

    yield from below(root, ())


def test_every_command_has_help_that_begins_with_a_sentence() -> None:
    for words in commands():
        text = click.testing.CliRunner().invoke(root, [*words, "--help"])

        assert text.exit_code == 0, words
        assert re.match(r"Usage: .*\n(.*\S\n)*\n  [A-Z].*\.", text.output), (words, text.output)


def test_the_help_of_the_table_is_each_commands_own() -> None:
    context = click.Context(root)

    for name, row in COMMANDS.items():
        found = root.get_command(context, name)

        assert found is not None
        assert found.name == name
        assert (found.help or "").splitlines()[0] == row.help


def test_the_version_is_told(postbell: Postbell) -> None:
    assert postbell("--version").stdout == f"postbell {__version__}\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("serv",), 2, "error: no command 'serv'; known: serve, demo,"),
        (("serve", "--foo"), 2, "error: no such option '--foo'"),
        (("serve", "--role", "boss"), 2, "error: invalid value for '--role': 'boss'"),
        (("serve", "--retention-days", "0"), 2, "error: retention_days is '0' (from --retention-"),
        (("serve", "--config", "none.toml"), 2, "error: cannot read none.toml: No such file"),
        (("serve", "--listen", "192.0.2.1:80"), 1, "error: cannot listen on 192.0.2.1:80: "),
        (("serve", "--policy", "acme={}"), 2, "error: policy.acme from --policy: no dialect"),
        (("serve", "--default-dialect", "acme"), 2, "error: default_dialect: no dialect 'acme'; "),
        (("accounts", "list"), 2, "error: there is no database "),
        (("audit",), 2, "error: there is no database "),
        (("webhooks", "show", "one"), 2, "error: invalid value for 'WEBHOOK_ID'"),
        (("events", "send", "none.json"), 2, "error: api_user is not set; give --api-user or"),
        (("listen", "--secret", "whsec_*"), 2, "error: the secret is not base64"),
    ],
)
def test_an_error_is_one_sentence_on_stderr(
    postbell: Postbell, words: tuple[str, ...], status: int, said: str
) -> None:
    done = postbell(*words)

    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(said), done.stderr
    assert done.stderr.count("\n") == 1
    assert not postbell.folder.exists() or not (postbell.folder / "postbell.db").exists()


def test_an_unexpected_error_is_one_sentence_and_has_a_trace_when_asked_for(
    postbell: Postbell,
) -> None:
    with EventServer([200, 200]) as server:  # 200 comes with an answer that no server gives
        words = ("events", "send", "-", *server.settings)

        plain = postbell(*words, given='{"n": 1}')
        traced = postbell(*words, "--log-level", "debug", given='{"n": 1}')

    sentence = (
        "error: unexpected KeyError: 'accepted'; run with POSTBELL_LOG_LEVEL=debug for the trace\n"
    )
    assert (plain.returncode, plain.stderr) == (1, sentence)
    assert traced.stderr.startswith("Traceback (most recent call last):\n")
    assert traced.stderr.endswith(sentence)


def test_a_key_file_that_is_a_folder_is_named(postbell: Postbell) -> None:
    postbell("accounts", "create", "acme")
    postbell.environ["POSTBELL_SECRET_KEY_FILE"] = str(postbell.folder)

    done = postbell("accounts", "list")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot use the secret key file {postbell.folder}")


def test_an_unknown_variable_is_a_warning_in_the_log(postbell: Postbell) -> None:
    postbell.environ["POSTBELL_REGOIN"] = "x"

    done = postbell("accounts", "create", "acme")

    assert done.returncode == 0
    assert json.loads(done.stderr)["message"].startswith("no setting is named POSTBELL_REGOIN")


def test_a_profile_of_the_root_or_of_the_command_is_the_same(postbell: Postbell) -> None:
    file = postbell.folder.parent / "postbell.toml"
    other = postbell.folder.parent / "turkey"
    file.write_text(f"[profile.tr]\ndata_dir = '{other}'\n")
    del postbell.environ["POSTBELL_DATA_DIR"]

    first = postbell("--config", str(file), "--profile", "tr", "accounts", "create", "acme")
    second = postbell("accounts", "list", "--json", "--config", str(file), "--profile", "tr")

    assert first.returncode == 0
    assert [row["name"] for row in json.loads(second.stdout)] == ["acme"]
    assert (other / "postbell.db").exists()


def test_a_reader_that_goes_away_is_not_an_unexpected_error(postbell: Postbell) -> None:
    with postbell.running("--help") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.wait()

    assert "unexpected" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_finds_what_it_imports_by_itself(postbell: Postbell, name: str) -> None:
    done = postbell(name, "--help")

    assert (done.returncode, done.stderr) == (0, "")


def test_time_is_not_spent_on_importing_the_server_for_the_help() -> None:
    words = [*COMMAND[:1], "-X", "importtime", *COMMAND[1:], "--help"]

    done = subprocess.run(words, env=environ(), capture_output=True, text=True, check=True)

    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert loaded.isdisjoint({"uvicorn", "starlette", "pycurl", "apsw", "numpy", "rich.live"})


def test_what_only_colours_the_log_is_not_imported_for_a_command_that_logs_nothing(
    postbell: Postbell,
) -> None:
    words = [*COMMAND[:1], "-X", "importtime", *COMMAND[1:], "accounts", "create", "acme"]

    done = subprocess.run(words, env=postbell.environ, capture_output=True, text=True, check=True)

    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert loaded.isdisjoint({"structlog", "rich.console", "ua_parser", "yaml"})
