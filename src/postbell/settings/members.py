"""Every setting, once: a member of `Settings` is its type, default, range and help.

From it come the command-line flag (`--retention-days`), the environment variable
(`POSTBELL_RETENTION_DAYS`), the TOML key (`retention_days`) and the reference page.
A flag wins over the environment, over the file's profile, over the file, over the default.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec

from postbell.errors import BadInput
from postbell.settings import tables
from postbell.settings.limits import PeerLimits
from postbell.settings.reaching import DatabaseLimits
from postbell.settings.tables import CheckMembers
from postbell.settings.values import (
    CHECKS,
    PREFIX,
    READERS,
    About,
    Address,
    Names,
    Setting,
    shown,
)
from postbell.text import small_files
from postbell.text.encodings import is_utf8
from postbell.text.networks import LOOPBACK, Networks


class Settings(DatabaseLimits, frozen=True, kw_only=True):
    """The settings in force; what limits the listener is in `limits`, a database in `reaching`."""

    data_dir: Annotated[Path, About("folder of the database and the secret key", "storage")] = Path(
        "postbell-data"
    )
    database_url: Annotated[
        str, About("database; a relative path is inside the data folder", "storage")
    ] = "sqlite:///postbell.db"
    secret_key_file: Annotated[
        Path,
        About(
            "file of the key that seals secrets at rest; made on the first start;"
            " a relative path is inside the data folder",
            "storage",
        ),
    ] = Path("secret.key")
    listen: Annotated[Address, About("address of the HTTP server; port 0 picks a free one")] = (
        Address("127.0.0.1", 8025)
    )
    public_url: Annotated[str, About("base URL under which customers reach this service")] = ""
    hosts: Annotated[
        Names,
        About(
            "further names that requests may ask for; names of others are refused where this is"
            " given, or sign_in is false"
        ),
    ] = ()
    region: Annotated[str, About("name of this data centre")] = ""
    allow_networks: Annotated[
        Networks, About("networks that webhooks may reach although they are inside", "storage")
    ] = ()
    ca_file: Annotated[
        str, About("file of certificates to trust instead of the built-in ones", "outgoing")
    ] = ""
    retention_days: Annotated[
        float, About("how long events and attempts are kept", "service", "days", 0.01, 3650)
    ] = 30.0
    trail_days: Annotated[
        float,
        About(
            "how long the audit trail is kept; never shorter than events are",
            "service",
            "days",
            0,
            36_500,
        ),
    ] = 0.0
    index: Annotated[
        str,
        About("whether the worker keeps the index for search and figures", choices=("on", "off")),
    ] = "on"
    dedup_hours: Annotated[
        float, About("how long duplicates are recognised", "service", "hours", 0, 8760)
    ] = 72.0
    dedup_ids: Annotated[
        int, About("how many of the newest ids are recognised", "service", "ids", 0, 2_000_000_000)
    ] = 50_000_000
    max_connections: Annotated[
        int,
        About("connections of a process to receivers in all", "service", "connections", 1, 100_000),
    ] = 512
    max_connections_per_host: Annotated[
        int,
        About(
            "connections of a process to one host for one account",
            "service",
            "connections",
            1,
            10_000,
        ),
    ] = 64
    max_connections_per_account: Annotated[
        int,
        About(
            "connections of a process to receivers of one account",
            "service",
            "connections",
            1,
            100_000,
        ),
    ] = 128
    max_webhooks_per_account: Annotated[
        int, About("webhooks that an account may have", "storage", "webhooks", 1, 1_000_000)
    ] = 1000
    max_api_users_per_account: Annotated[
        int, About("api users that an account may have", "storage", "api users", 1, 100_000)
    ] = 1000
    unique_urls: Annotated[
        bool,
        About("whether EngageLab's API refuses a second webhook of an account for a URL (30708)"),
    ] = False
    sign_in: Annotated[
        bool,
        About(
            "whether pages ask who is there; false makes everybody who can reach them an operator"
        ),
    ] = True
    second_factor: Annotated[
        str,
        About(
            "who must sign in with a one-time code, too; optional lets each person choose",
            choices=("optional", "operators", "required"),
        ),
    ] = "optional"
    tls_cert_file: Annotated[
        str, About("file of the server's certificate and its chain (PEM); read again at SIGHUP")
    ] = ""
    tls_key_file: Annotated[str, About("file of the certificate's private key (PEM)")] = ""
    trusted_proxies: Annotated[
        Networks,
        About("networks of proxies whose Forwarded and X-Forwarded-* headers are believed"),
    ] = ()
    metrics_listen: Annotated[
        str, About("address of a listener of its own for /metrics, as HOST:PORT")
    ] = ""
    metrics_token: Annotated[
        str,
        About("token that /metrics is answered to on the main listener; to nobody without one"),
    ] = ""
    mta_lookup: Annotated[
        str,
        About(
            "address of a listener where Postfix asks whether an address is suppressed, as"
            " HOST:PORT"
        ),
    ] = ""
    mta_lookup_account: Annotated[
        str, About("account whose list it is where the login names no api user")
    ] = ""
    mta_lookup_networks: Annotated[Networks, About("networks of who may ask there")] = LOOPBACK
    smtp_url: Annotated[
        str,
        About("mail server, as smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the start"),
    ] = ""
    notice_from: Annotated[str, About("address that mails of this service come from")] = ""
    operator_email: Annotated[str, About("address that all notices are mailed to")] = ""
    operator_webhook: Annotated[str, About("URL that all notices are posted to, as JSON")] = ""
    lag_limit_s: Annotated[
        float,
        About(
            "longest wait of an event since it could be sent that makes no notice; 0 for none",
            "service",
            "seconds",
            0,
            31_536_000,
        ),
    ] = 900.0
    silence_h: Annotated[
        float,
        About(
            "hours without an event of an account that make a notice; 0 for none",
            "service",
            "hours",
            0,
            8760,
        ),
    ] = 0.0
    support: Annotated[str, About("address or URL of your support, shown below every page")] = ""
    default_dialect: Annotated[
        str, About("format that the form of an account's first webhook begins with")
    ] = "native"
    shutdown_s: Annotated[
        float, About("wait for what is in flight when stopping", "service", "seconds", 0, 600)
    ] = 30.0
    log_format: Annotated[
        str,
        About(
            "lines of the log; auto is text on a terminal, else json",
            "log",
            choices=("auto", "text", "json"),
        ),
    ] = "auto"
    log_level: Annotated[
        str,
        About("least level of the log", "log", choices=("debug", "info", "warning", "error")),
    ] = "info"
    policy: Annotated[
        dict[str, dict[str, Any]],
        About("policy defaults of a dialect for the installation"),
    ] = {}
    source: Annotated[
        dict[str, dict[str, Any]],
        About("a source of events, by its name: its kind and what that needs"),
    ] = {}
    url: Annotated[str, About("server that commands of a customer talk to", "client")] = ""
    api_user: Annotated[str, About("api user that they talk as", "client")] = ""
    api_key: Annotated[str, About("its key", "client")] = ""

    @property
    def secret_key_path(self) -> Path:
        return self.data_dir / self.secret_key_file

    @property
    def server_url(self) -> str:
        """Return the URL that client commands use: the server's, else where this one would be."""
        return (self.url or self.public_url or f"http://{self.listen}").rstrip("/")


OWN_VARIABLES = {"POSTBELL_CONFIG", "POSTBELL_PROFILE"}
Check = Callable[[Any], str]


class Loaded(NamedTuple):
    settings: Settings
    warnings: list[str]
    given: frozenset[str]


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    profile: str = "",
    check_policy: CheckMembers,
    check_source: CheckMembers,
    check_database: Check,
) -> Loaded:
    """Return the settings in force, warnings, and the names that somebody set.

    *config* and *profile* default to POSTBELL_CONFIG and POSTBELL_PROFILE; *check_policy* checks
    a dialect's policy members, *check_source* those of a source, *check_database* says what is
    wrong with a URL of one, "" for nothing.  Raises BadInput that names the key, the value, what is
    expected and where the value came from.
    """
    _check_variables(environ)
    config = config or (
        Path(environ["POSTBELL_CONFIG"]) if environ.get("POSTBELL_CONFIG") else None
    )
    profile = profile or environ.get("POSTBELL_PROFILE", "")
    found: dict[str, Any] = {}
    named: dict[str, dict[str, dict[str, Any]]] = {}
    warnings: list[str] = []
    checks = {**CHECKS, "database_url": check_database}
    member_checks = {"policy": check_policy, "source": check_source}
    for origin, values in (
        *_file_layers(config, profile),
        ("environment", _environment(environ, warnings)),
        ("flag", flags),
    ):
        for name, value in values.items():
            if name in tables.TABLES:
                things = named.setdefault(name, {})
                for thing, members in value.items():
                    where = _where(origin, tables.variable(name, thing), f"--{name}")
                    checked = tables.read(name, thing, members, where, member_checks[name])
                    things[thing] = things.get(thing, {}) | checked
            else:
                setting = BY_NAME[name]
                where = _where(origin, setting.variable, setting.flag)
                found[name] = _value(setting, value, where, checks.get(name))
    found |= named
    settings = Settings(**found)
    if settings.second_factor != "optional" and not settings.sign_in:
        raise BadInput(
            f"second_factor is {settings.second_factor!r}, but sign_in is false: nobody is asked"
            " for anything; take one of the two away",
            member="second_factor",
        )
    return Loaded(settings, warnings, frozenset(found))


def _check_variables(environ: Mapping[str, str]) -> None:
    for variable, text in environ.items():
        if variable.startswith(PREFIX) and not is_utf8(variable + text):
            raise BadInput(f"{variable} is not UTF-8; write it in UTF-8", member=variable)


def _file_layers(config: Path | None, profile: str) -> list[tuple[str, dict[str, Any]]]:
    if config is None:
        if profile:
            raise BadInput(
                f"profile {profile!r} is chosen, but no file has profiles; name one with --config",
                member="profile",
            )
        return []
    try:
        text = small_files.read(config, small_files.SETTINGS_BYTES).decode("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"cannot read {config}: {error.strerror}", member="config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{config} is not TOML: {error}", member="config") from None
    profiles = table.pop("profile", {})
    layers = [(str(config), table)]
    if profile:
        if not isinstance(profiles, dict) or not isinstance(profiles.get(profile), dict):
            known = ", ".join(sorted(profiles)) if isinstance(profiles, dict) else ""
            raise BadInput(
                f"no profile {profile!r} in {config}; known: {known or 'none'}", member="profile"
            )
        layers.append((f"{config} [profile.{profile}]", profiles[profile]))
    for origin, values in layers:
        unknown = sorted(set(values) - set(BY_NAME))
        if unknown:
            raise BadInput(
                f"unknown key {unknown[0]!r} in {origin}; known: {', '.join(BY_NAME)}",
                member=unknown[0],
            )
        for name in tables.TABLES:
            tables.check_table(name, values.get(name, {}), origin)
    return layers


def _environment(environ: Mapping[str, str], warnings: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    by_variable = {setting.variable: setting for setting in SETTINGS}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in OWN_VARIABLES or not text:
            continue
        setting, of_table = by_variable.get(variable), tables.named_by(variable)
        if setting is not None and setting.name not in tables.TABLES:
            values[setting.name] = text
        elif of_table is not None:
            values.setdefault(of_table[0], {})[of_table[1]] = text
        else:
            warnings.append(f"no setting is named {variable}; it has no effect")
    return values


def _where(origin: str, variable: str, flag: str) -> str:
    return {"environment": variable, "flag": flag}.get(origin, origin)


def _value(setting: Setting, value: Any, where: str, check: Check | None) -> Any:
    """Return *value* (text, or TOML's type) as the setting's type, inside its range."""
    try:
        converted = READERS[setting.type](value)
    except (TypeError, ValueError) as error:
        reason = str(error) if setting.type in (Networks, Names, Address) else ""
        raise _wrong(setting, value, where, reason) from None
    row = setting.row
    if row.choices and converted not in row.choices:
        raise _wrong(setting, value, where)
    if row.unit and not row.low <= converted <= row.high:
        raise _wrong(setting, value, where)
    if check is not None:
        reason = check(converted)
        if reason:
            raise _wrong(setting, value, where, reason)
    return converted


def _wrong(setting: Setting, value: Any, where: str, reason: str = "") -> BadInput:
    return BadInput(
        f"{setting.name} is {shown(setting.name, value)!r} (from {where});"
        f" {reason or setting.values + ' expected'}",
        member=setting.name,
    )


def _rows() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    defaults = msgspec.structs.fields(Settings)
    rows = []
    for field in defaults:
        kind, row = get_args(hints[field.name])
        default = field.default if field.default is not msgspec.NODEFAULT else {}
        rows.append(Setting(field.name, kind, default, row))
    last = (*DatabaseLimits.__annotations__, *PeerLimits.__annotations__)
    return tuple(sorted(rows, key=lambda s: last.index(s.name) if s.name in last else -1))


SETTINGS = _rows()
BY_NAME = {setting.name: setting for setting in SETTINGS}
