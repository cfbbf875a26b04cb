"""Settings: every row of `settings.py` with its spellings."""

from postbell.settings.members import POLICY_PREFIX, SETTINGS
from postbell.settings.values import Setting


def settings() -> str:
    """Return the reference page of the settings, in Markdown."""
    rows = [
        "| " + " | ".join((f"`{setting.name}`", *_spelled(setting), setting.row.help)) + " |"
        for setting in SETTINGS
    ]
    return "\n".join((_REFERENCE_HEAD, *rows)) + "\n"


def _spelled(setting: Setting) -> tuple[str, ...]:
    is_policy = setting.name == "policy"
    default = setting.default
    return (
        "`--policy DIALECT=JSON`" if is_policy else f"`{setting.flag}`",
        f"`{POLICY_PREFIX}<DIALECT>`" if is_policy else f"`{setting.variable}`",
        setting.values.replace("|", "\\|"),
        f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default else "",
    )


_REFERENCE_HEAD = """# Settings

Generated from `src/postbell/settings/members.py`. `postbell serve` works with none of them set.

A flag wins over the environment variable, that over the chosen profile of the file, that over
the file, that over the default. Name the file with `--config FILE` or `POSTBELL_CONFIG`, a
profile in it (a table `[profile.NAME]`, one for each data centre) with `--profile NAME` or
`POSTBELL_PROFILE`. An empty variable counts as unset. The policy defaults of a dialect are a
table `[policy.DIALECT]` in the file, with the members that [dialects](dialects.md#policy) have.

| key in the file | flag | variable | values | default | meaning |
|---|---|---|---|---|---|"""
