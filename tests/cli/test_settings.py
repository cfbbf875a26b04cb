from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tools.pages.settings import settings as reference

from postbell import sources
from postbell.errors import BadInput
from postbell.policies import check_members
from postbell.settings.members import SETTINGS, Loaded, Settings, load
from postbell.settings.tables import TABLES
from postbell.settings.values import Address
from postbell.storage.engines import problem


def check_policy(dialect: str, members: Mapping[str, Any]) -> dict[str, Any]:
    assert dialect in ("native", "sendpulse-bulk")
    return check_members(members)


def check_source(_name: str, members: Mapping[str, Any]) -> dict[str, Any]:
    sources.open(members)
    return dict(members)


def loaded(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    **more: Any,
) -> Loaded:
    checks = {
        "check_policy": check_policy,
        "check_source": check_source,
        "check_database": problem,
    }
    return load(flags or {}, environ or {}, **checks, **more)


def toml(folder: Path, text: str) -> Path:
    path = folder / "postbell.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_needs_to_be_set() -> None:
    assert loaded() == Loaded(Settings(), [], frozenset())


def test_defaults_are_inside_their_own_ranges() -> None:
    for setting in SETTINGS:
        if setting.row.unit:
            assert setting.row.low <= setting.default <= setting.row.high, setting.name
        if setting.row.choices:
            assert setting.default in setting.row.choices, setting.name


def test_a_flag_wins_over_environment_profile_file_and_default(tmp_path: Path) -> None:
    file = toml(
        tmp_path,
        'region = "file"\nretention_days = 5\ndedup_hours = 5\nshutdown_s = 5\n'
        '[profile.tr]\nregion = "profile"\nretention_days = 6\ndedup_hours = 6\n',
    )
    environ = {"POSTBELL_REGION": "environment", "POSTBELL_RETENTION_DAYS": "7"}

    found = loaded({"region": "flag"}, environ, config=file, profile="tr").settings

    assert found.region == "flag"
    assert found.retention_days == 7
    assert found.dedup_hours == 6
    assert found.shutdown_s == 5
    assert found.max_connections == Settings().max_connections


def test_every_setting_is_read_from_its_variable() -> None:
    samples = {
        Path: ("some/path", Path("some/path")),
        Address: ("[::1]:80", Address("::1", 80)),
        int: ("77", 77),
        float: ("7.5", 7.5),
        bool: ("false", False),
    }
    special = {
        "database_url": ("sqlite:///other.db",) * 2,
        "public_url": ("https://p.example.com",) * 2,
        "url": ("https://p.example.com",) * 2,
        "operator_webhook": ("https://p.example.com",) * 2,
        "metrics_listen": ("127.0.0.1:9090",) * 2,
        "mta_lookup": ("127.0.0.1:10040",) * 2,
        "mta_lookup_networks": ("10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
        "smtp_url": ("smtps://user:word@mail.example.com",) * 2,
        "notice_from": ("bell@example.com",) * 2,
        "operator_email": ("ops@example.com",) * 2,
        "trusted_proxies": ("10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
        "hosts": ("a.example, b.example", ("a.example", "b.example")),
        "metrics_token": ("a-token-that-is-long",) * 2,
        "index": ("off", "off"),
        "second_factor": ("required", "required"),
        "http_head_bytes": ("2048", 2048),
        "http_heads_bytes": ("2097152", 2 << 20),
        "log_level": ("debug", "debug"),
        "log_format": ("json", "json"),
        "allow_networks": ("10.0.0.0/8, ::1/128", (ip_network("10.0.0.0/8"), ip_network("::1"))),
    }
    for setting in SETTINGS:
        if setting.name in TABLES:
            continue
        text, value = special.get(setting.name) or samples.get(setting.type, ("text", "text"))

        found = loaded(environ={setting.variable: text}).settings

        assert getattr(found, setting.name) == value, setting.name


def test_an_empty_variable_counts_as_unset() -> None:
    assert loaded(environ={"POSTBELL_RETENTION_DAYS": ""}).settings == Settings()


def test_an_unknown_variable_is_a_warning() -> None:
    found = loaded(environ={"POSTBELL_REGOIN": "x"})

    assert found.warnings == ["no setting is named POSTBELL_REGOIN; it has no effect"]


def test_policy_defaults_come_from_file_and_environment(tmp_path: Path) -> None:
    file = toml(tmp_path, "[policy.native]\nmax_wait_s = 1\ntimeout_s = 3\n")
    environ = {
        "POSTBELL_POLICY_NATIVE": '{"max_wait_s": 2}',
        "POSTBELL_POLICY_SENDPULSE_BULK": '{"max_events": 9}',
    }

    found = loaded(environ=environ, config=file).settings.policy

    assert found == {
        "native": {"max_wait_s": 2, "timeout_s": 3},
        "sendpulse-bulk": {"max_events": 9},
    }


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"POSTBELL_RETENTION_DAYS": "0"},
            "retention_days is '0' (from POSTBELL_RETENTION_DAYS); 0.01 to 3,650 days expected",
        ),
        (
            {"POSTBELL_RETENTION_DAYS": "nan"},
            "retention_days is 'nan' (from POSTBELL_RETENTION_DAYS); 0.01 to 3,650 days expected",
        ),
        (
            {"POSTBELL_MAX_CONNECTIONS": "many"},
            "max_connections is 'many' (from POSTBELL_MAX_CONNECTIONS);"
            " 1 to 100,000 connections expected",
        ),
        (
            {"POSTBELL_LOG_LEVEL": "loud"},
            "log_level is 'loud' (from POSTBELL_LOG_LEVEL);"
            " debug | info | warning | error expected",
        ),
        (
            {"POSTBELL_LISTEN": "::1:80"},
            "listen is '::1:80' (from POSTBELL_LISTEN);"
            " an IPv6 address stands in brackets, as in [::1]:8025",
        ),
        (
            {"POSTBELL_ALLOW_NETWORKS": "10.0.0.1/8"},
            "allow_networks is '10.0.0.1/8' (from POSTBELL_ALLOW_NETWORKS);"
            " '10.0.0.1/8' names an address inside of a network; write 10.0.0.0/8 for all of that,"
            " or 10.0.0.1 for the address alone",
        ),
        (
            {"POSTBELL_TRUSTED_PROXIES": "10.0.0.0/8 proxy.example.net"},
            "trusted_proxies is '10.0.0.0/8 proxy.example.net' (from POSTBELL_TRUSTED_PROXIES);"
            " 'proxy.example.net' is no network; write it like 10.0.0.0/8, or an address like"
            " 192.0.2.7",
        ),
        (
            {"POSTBELL_SIGN_IN": "maybe"},
            "sign_in is 'maybe' (from POSTBELL_SIGN_IN); true | false expected",
        ),
        (
            {"POSTBELL_DATABASE_URL": "oracle://bell:hidden@db/x?password=hidden"},
            "database_url is 'oracle://db/***' (from POSTBELL_DATABASE_URL);"
            " no engine 'oracle'; known: postgresql://HOST/DATABASE, sqlite:///FILE",
        ),
        (
            {"POSTBELL_METRICS_LISTEN": "9090"},
            "metrics_listen is '9090' (from POSTBELL_METRICS_LISTEN);"
            " HOST:PORT with a port of 0 to 65535 expected",
        ),
        (
            {"POSTBELL_SMTP_URL": "mail.example.com"},
            "smtp_url is 'mail.example.com' (from POSTBELL_SMTP_URL);"
            " smtp://HOST:PORT or smtps://HOST:PORT expected",
        ),
        (
            {"POSTBELL_SMTP_URL": "smtp://user:p%C3%A4ss@mail.example.com:25"},
            "smtp_url is 'smtp://mail.example.com:25' (from POSTBELL_SMTP_URL);"
            " SMTP takes a user and a password of ASCII characters only",
        ),
        (
            {"POSTBELL_OPERATOR_WEBHOOK": "ftp://user:pass@ops.example.com/token"},
            "operator_webhook is 'ftp://ops.example.com/***' (from POSTBELL_OPERATOR_WEBHOOK);"
            " an http or https URL expected",
        ),
        (
            {"POSTBELL_OPERATOR_WEBHOOK": f"https://{'ü' * 80}.example.com/"},
            f"operator_webhook is 'https://{'ü' * 80}.example.com' (from"
            " POSTBELL_OPERATOR_WEBHOOK); an http or https URL expected",
        ),
        (
            {"POSTBELL_PUBLIC_URL": "https://user:word@bell.example.com"},
            "public_url is 'https://bell.example.com' (from POSTBELL_PUBLIC_URL);"
            " an http or https URL without user, query and fragment expected",
        ),
        (
            {"POSTBELL_PUBLIC_URL": "https://bell.example.com/?key=word"},
            "public_url is 'https://bell.example.com/***' (from POSTBELL_PUBLIC_URL);"
            " an http or https URL without user, query and fragment expected",
        ),
        (
            {"POSTBELL_PUBLIC_URL": "https://bell.example.com/#"},
            "public_url is 'https://bell.example.com' (from POSTBELL_PUBLIC_URL);"
            " an http or https URL without user, query and fragment expected",
        ),
        (
            {"POSTBELL_URL": "https://shop:word@bell.example.com"},
            "url is 'https://bell.example.com' (from POSTBELL_URL);"
            " an http or https URL without user, query and fragment expected",
        ),
        (
            {"POSTBELL_SIGN_IN": "false", "POSTBELL_SECOND_FACTOR": "operators"},
            "second_factor is 'operators', but sign_in is false: nobody is asked for anything;"
            " take one of the two away",
        ),
        (
            {"POSTBELL_OPERATOR_EMAIL": "Ops <ops@example.com>"},
            "operator_email is 'Ops <ops@example.com>' (from POSTBELL_OPERATOR_EMAIL);"
            " an e-mail address expected",
        ),
        (
            {"POSTBELL_SOURCE_MAIL": r'{"path": "/\ud800", "account": "a", "api_user": "b"}'},
            "source.mail from POSTBELL_SOURCE_MAIL is not JSON: JSON is malformed: unexpected end"
            " of escaped utf-16 surrogate pair (byte 17)",
        ),
        (
            {"POSTBELL_POLICY_NATIVE": '{"max_wait_s": -1}'},
            "policy.native from POSTBELL_POLICY_NATIVE: policy.max_wait_s is -1;"
            " 0 to 3600 seconds expected",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_range_and_origin(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        loaded(environ=environ)

    assert caught.value.message == said


def test_an_unknown_key_names_the_file_and_the_known_ones(tmp_path: Path) -> None:
    file = toml(tmp_path, "[profile.tr]\nregoin = 1\n")

    with pytest.raises(BadInput, match=r"unknown key 'regoin' in .*\[profile.tr\]; known: data_"):
        loaded(config=file, profile="tr")


def test_members_that_stand_in_no_table_are_named(tmp_path: Path) -> None:
    file = toml(tmp_path, '[source]\npath = "/var/log/mail.log"\n')

    with pytest.raises(BadInput, match=r"'path' of source in .* in no table \[source.NAME\]"):
        loaded(config=file)


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    file = toml(tmp_path, "[profile.sg]\n[profile.tr]\n")

    with pytest.raises(BadInput, match=r"no profile 'us' in .*; known: sg, tr"):
        loaded(config=file, profile="us")


def test_a_profile_without_a_file_is_refused() -> None:
    with pytest.raises(BadInput, match="no file has profiles"):
        loaded(environ={"POSTBELL_PROFILE": "tr"})


def test_the_reference_names_every_setting_by_key_flag_and_variable() -> None:
    page = reference()

    for setting in SETTINGS:
        assert f"| `{setting.name}` | `{setting.flag}" in page
