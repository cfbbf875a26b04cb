"""Settings: every row of `settings.py` with its spellings."""

from postbell.settings.members import SETTINGS
from postbell.settings.tables import TABLES, prefix
from postbell.settings.values import Setting


def settings() -> str:
    """Return the reference page of the settings, in Markdown."""
    rows = [
        "| " + " | ".join((f"`{setting.name}`", *_spelled(setting), setting.row.help)) + " |"
        for setting in SETTINGS
    ]
    return "\n".join((_REFERENCE_HEAD, *rows)) + "\n"


def _spelled(setting: Setting) -> tuple[str, ...]:
    thing = TABLES.get(setting.name)
    default = setting.default
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    return (
        f"`{setting.flag} {thing}=JSON`" if thing else f"`{setting.flag}`",
        f"`{prefix(setting.name)}<{thing}>`" if thing else f"`{setting.variable}`",
        setting.values.replace("|", "\\|"),
        f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default else "",
    )


_REFERENCE_HEAD = """# Settings

Generated from `src/postbell/settings/members.py`. `postbell serve` works with none of them set.

A flag wins over the environment variable, that over the chosen profile of the file, that over
the file, that over the default. Name the file with `--config FILE` or `POSTBELL_CONFIG`, a
profile in it (a table `[profile.NAME]`, one for each data centre) with `--profile NAME` or
`POSTBELL_PROFILE`. An empty variable counts as unset. The policy defaults of a dialect are a
table `[policy.DIALECT]` in the file, with the members that [dialects](dialects.md#policy) have; a
source of events is a table `[source.NAME]`. In a variable or a flag each is a JSON object.

A source has these members: `kind` (`file`, the default, `postfix`, `mail` or `maildir`), `account`
and `api_user` (whose the events are), `rule` (a list of
[rules](../howto/tell-whose-mail-it-is.md) that give mail to others) and `unmatched` (what becomes
of mail that none of them fits: `default`, or `refuse`); a file `path` (absolute) and `format`
(`json-lines`, the default), the log of Postfix `path` or `journal`,
`from_start`, `zone` and `relays`; for mails
see [bounces by mail](../howto/bounces-by-mail.md).
[Follow a file](../howto/follow-a-file.md) and [take in Postfix](../howto/take-in-postfix.md) show
the others at work.

| key in the file | flag | variable | values | default | meaning |
|---|---|---|---|---|---|"""
