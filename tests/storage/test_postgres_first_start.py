"""What somebody reads who starts on PostgreSQL for the first time, and has something wrong yet."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from postbell.clock import SystemClock
from postbell.errors import BadInput, StorageError
from postbell.log_lines import masked
from postbell.sealing import Sealer, load_or_create
from postbell.storage import postgres
from postbell.storage.engines import named, problem
from tests.empty import empty_postgres
from tests.postgres import Server

USER, PASSWORD = "shop", "s3cret"


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that asks for passwords, with a user who has one and owns the database `own`."""
    made = Server()
    hba = Path(made.psql("SHOW hba_file"))
    hba.write_text(f"host all {USER} 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
    made.psql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
    made.psql("CREATE DATABASE others")
    made.psql(f"CREATE DATABASE own OWNER {USER}")
    made.psql(f"CREATE DATABASE latin OWNER {USER} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    made.psql("SELECT pg_reload_conf()")
    yield made
    made.stop()


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return load_or_create(tmp_path / "key")


async def refusal(url: str, sealer: Sealer) -> StorageError:
    with pytest.raises(StorageError) as refused:
        await postgres.open(url, sealer, SystemClock())
    assert PASSWORD not in refused.value.message
    return refused.value


@pytest.mark.parametrize(
    ("user", "database", "wanted"),
    [
        (f"{USER}:wrong", "own", "wrong user or password, or none given: see the database's URL"),
        (USER, "own", "wrong user or password, or none given: see the database's URL"),
        ("nobody", "own", "the server lets this user not in"),
        (f"{USER}:{PASSWORD}", "none", "there is no such database: create it first (createdb)"),
        (f"{USER}:{PASSWORD}", "others", "let the user own the database"),
        (f"{USER}:{PASSWORD}", "latin", "has the encoding LATIN1; make one with UTF8: createdb"),
    ],
)
async def test_what_the_server_refuses_is_told_with_the_way_out(
    locked: Server, sealer: Sealer, user: str, database: str, wanted: str
) -> None:
    url = f"postgresql://{user}@127.0.0.1:{locked.port}/{database}"

    assert wanted in (await refusal(url, sealer)).message


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [(None, "is not used: No such file"), (0o644, "others than its owner can read it; run: chmod")],
)
async def test_a_password_file_that_is_not_used_is_named_where_a_password_lacks(
    locked: Server, sealer: Sealer, tmp_path: Path, mode: int | None, wanted: str
) -> None:
    file = tmp_path / "pass"
    url = f"postgresql://{USER}@127.0.0.1:{locked.port}/own?passfile={file}"
    if mode is not None:
        file.write_text(f"*:*:*:*:{PASSWORD}\n")
        file.chmod(mode)

    with pytest.warns(UserWarning) if mode is not None else contextlib.nullcontext():
        refused = await refusal(url, sealer)

    assert f"the password file {file}" in refused.message
    assert wanted in refused.message


async def test_a_file_for_tls_that_cannot_be_read_is_named_and_not_waited_for(
    locked: Server, sealer: Sealer
) -> None:
    url = f"postgresql://postbell@127.0.0.1:{locked.port}/own?sslmode=verify-full&sslrootcert=/no"

    refused = await refusal(url, sealer)

    assert "cannot read /no, its sslrootcert: No such file or directory" in refused.message
    assert type(refused) is StorageError  # what is only unavailable is tried again for ever


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("sslmode=verify-full", "see the database's URL: root certificate file"),
        ("connect_timeout=3", "the server knows no such setting: take it out"),
    ],
)
async def test_what_the_url_asks_for_and_nobody_can_give_is_not_waited_for(
    locked: Server, sealer: Sealer, monkeypatch: pytest.MonkeyPatch, query: str, wanted: str
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{locked.port}/own?{query}"

    refused = await refusal(url, sealer)

    assert wanted in refused.message
    assert "\n" not in refused.message
    assert type(refused) is StorageError


async def test_a_server_without_tls_is_told_from_one_that_cannot_be_reached(
    locked: Server, sealer: Sealer
) -> None:
    url = f"postgresql://postbell@127.0.0.1:{locked.port}/own?sslmode=require"

    assert "the server speaks no TLS" in (await refusal(url, sealer)).message


async def test_hosts_of_which_none_is_as_asked_are_waited_for(
    locked: Server, sealer: Sealer
) -> None:
    url = f"postgresql://postbell@127.0.0.1:{locked.port}/own?target_session_attrs=standby"

    refused = await refusal(url, sealer)

    assert "none of its hosts is as target_session_attrs asks" in refused.message
    assert refused.code == "unavailable"


@pytest.mark.parametrize(
    "password", ["p@ss", "p@ss/w", "p/w@", "p#w", "p?w", "p@s?w", "p@s#w", "12/w@x"]
)
def test_a_password_that_is_not_encoded_is_told_so_and_shown_nowhere(password: str) -> None:
    url = f"postgresql://shop:{password}@db.example/postbell"

    with pytest.raises(BadInput) as refused:
        named(url, Path())

    assert "percent-encoded: @ is %40" in refused.value.message
    assert "ss" not in masked(url).partition("://")[2].replace("***", "")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://db.example:x/postbell", "a port from 1 to 65,535 expected"),
        ("postgresql://db.example:99999/postbell", "a port from 1 to 65,535 expected"),
        ("postgresql://a:5432,b:0/postbell", "a port from 1 to 65,535 expected"),
        ("postgresql://a/b?sslmode=on", "sslmode is 'on'; known: disable, allow, prefer, require,"),
        ("postgresql://a/b?target_session_attrs=rw", "known: any, primary, standby,"),
        ("postgres://a", "a server and a database expected"),
    ],
)
def test_a_url_that_can_never_work_is_refused_before_anybody_is_asked(
    url: str, wanted: str
) -> None:
    assert wanted in problem(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://shop:p%40ss@db.example/postbell",
        "postgresql://a:5432,b,[::1]:5433,[::2]/postbell?target_session_attrs=read-write",
        "postgresql:///postbell?host=/run/postgresql",
        "postgresql://?dbname=postbell&user=a@b",
    ],
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    assert problem(url) == ""


async def test_machines_that_made_keys_of_their_own_are_not_one_installation(
    sealer: Sealer, tmp_path: Path
) -> None:
    with empty_postgres() as url:
        await (await postgres.open(url, sealer, SystemClock())).close()

        refused = await refusal(url, load_or_create(tmp_path / "other"))

        assert "belongs to another secret key file: copy that of a machine" in refused.message
        await (await postgres.open(url, sealer, SystemClock())).close()


async def test_a_key_is_changed_machine_by_machine(sealer: Sealer, tmp_path: Path) -> None:
    old, new = (tmp_path / name for name in ("key", "new"))
    load_or_create(new)
    keys = [path.read_text().strip() for path in (new, old)]
    both, other_way = Sealer(keys, "both"), Sealer(keys[::-1], "other way")
    with empty_postgres() as url:
        for each in (sealer, other_way, both, other_way, both, load_or_create(new)):
            await (await postgres.open(url, each, SystemClock())).close()

        await refusal(url, sealer)
