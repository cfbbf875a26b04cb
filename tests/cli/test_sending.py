import gzip
import json
from pathlib import Path

import pytest
import zstandard

from tests.cli.running import EventServer, Postbell
from tests.wire.certificates import Authority


def lines(numbers: range) -> str:
    return "".join(json.dumps({"n": n}) + "\n" for n in numbers)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('[{"n": 1}, {"n": 2}]', [1, 2]),
        ('  \n[\n{"n": 1}\n]\n', [1]),
        ('{"n": 1}', [1]),
        ('{\n  "n": 1\n}\n', [1]),
        ('{"n": 1}\n\n{"n": 2}\n', [1, 2]),
        ('\n{"n": 1}\r\n{"n": 2}', [1, 2]),
    ],
)
def test_an_array_an_object_and_lines_are_sent(
    postbell: Postbell, text: str, numbers: list[int]
) -> None:
    with EventServer() as server:
        done = postbell("events", "send", "-", *server.settings, "--json", given=text)

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "accepted": len(numbers),
            "duplicates": 0,
            "rejected": 0,
        }
        assert server.numbers(len(numbers)) == numbers


@pytest.mark.parametrize("way", ["plain", "gzip", "zstd"])
def test_a_byte_order_mark_and_compression_lose_nothing(
    postbell: Postbell, tmp_path: Path, way: str
) -> None:
    text = b"\xef\xbb\xbf" + lines(range(3)).encode()
    file = tmp_path / "events"
    file.write_bytes({"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[way](text))
    with EventServer() as server:
        done = postbell("events", "send", str(file), *server.settings)

        assert done.returncode == 0, done.stderr
        assert server.numbers(3) == [0, 1, 2]


def test_utf_16_is_named(postbell: Postbell, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(lines(range(3)), encoding="utf-16")
    with EventServer() as server:
        done = postbell("events", "send", str(file), *server.settings)

    assert done.returncode == 2
    assert "is UTF-16; send it as UTF-8" in done.stderr


def test_a_damaged_archive_is_named(postbell: Postbell, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(lines(range(3000)).encode())[:-20])
    with EventServer() as server:
        done = postbell("events", "send", str(file), *server.settings)

    assert done.returncode == 2
    assert "cannot be read on" in done.stderr


def test_an_authority_of_ones_own_is_trusted_where_its_file_is_named(
    postbell: Postbell, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with EventServer(tls=authority.context("localhost")) as server:
        words = ("events", "send", "-", *server.settings)

        refused = postbell(*words, given='{"n": 1}')
        taken = postbell(*words, "--ca-file", str(authority.file), given='{"n": 1}')

        assert server.numbers(1) == [1]
    assert refused.returncode == 1
    assert refused.stderr.endswith("name a --ca-file\n")
    assert (taken.returncode, taken.stderr) == (0, "")


def test_a_file_goes_in_requests_of_a_thousand(postbell: Postbell, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(lines(range(2500)))

    with EventServer() as server:
        done = postbell("events", "send", str(file), *server.settings)

        sizes = [len(server.sent.get_nowait().events) for _ in range(3)]
        assert sizes == [1000, 1000, 500]
        assert done.stdout == "2500 accepted, 0 duplicates, 0 rejected\n"


def test_nothing_to_send_is_no_request(postbell: Postbell) -> None:
    with EventServer() as server:
        done = postbell("events", "send", "-", *server.settings)

        assert done.stdout == "0 accepted, 0 duplicates, 0 rejected\n"
        assert server.tried == []


def test_a_rejected_event_is_named_with_its_line_and_reason(postbell: Postbell) -> None:
    text = '{"n": 1}\n\n{"n": 2\n{"type": "bad", "n": 3}\n{"n": 4}\n'

    with EventServer() as server:
        done = postbell("events", "send", "-", *server.settings, given=text)

        assert done.returncode == 1
        assert done.stdout == "2 accepted, 0 duplicates, 2 rejected\n"
        assert done.stderr == (
            "rejected line 3: it is not JSON (malformed)\nrejected line 4: no type (invalid)\n"
        )
        assert server.numbers(3) == [1, 3, 4]


def test_a_busy_server_is_asked_again_under_the_same_key(postbell: Postbell) -> None:
    with EventServer([503, 503]) as server:
        done = postbell("events", "send", "-", *server.settings, given='{"n": 1}')

        assert done.returncode == 0
        assert len(server.tried) == 3
        assert len(set(server.tried)) == 1
        assert done.stderr == f"{server.url} answered 503: busy; trying again\n"


def test_a_server_that_is_away_is_given_up_after_a_while(postbell: Postbell) -> None:
    with EventServer() as server:
        settings = server.settings

    done = postbell("events", "send", "-", *settings, "--give-up", "0.1", given='{"n": 1}')

    assert done.returncode == 1
    assert done.stderr == f"error: cannot reach {settings[1]}: connection refused; gave up" + (
        " after 0 s\n"
    )


def test_wrong_credentials_are_the_callers_matter(postbell: Postbell) -> None:
    with EventServer([401]) as server:
        done = postbell("events", "send", "-", *server.settings, given='{"n": 1}')

        assert done.returncode == 2
        assert "refuses the credentials of api user 'u'" in done.stderr


def test_what_is_not_an_array_after_all_is_refused_whole(postbell: Postbell) -> None:
    with EventServer() as server:
        done = postbell("events", "send", "-", *server.settings, given='[{"n": 1}, ')

        assert done.returncode == 2
        assert done.stderr.startswith("error: - begins as a JSON array, but is not one: ")
        assert server.tried == []
