"""The page of the log's events."""

from postbell.log_lines import LINES_A_MINUTE, Signal
from postbell.signals import SIGNALS


def signals() -> str:
    """Return the reference page of the log, in Markdown."""
    rows = [
        f"| `{row.name}` | {row.level} | {row.meaning}{_often(row)} | {', '.join(row.fields)} |"
        for row in SIGNALS
    ]
    return "\n".join((_HEAD, *rows)) + "\n"


def _often(row: Signal) -> str:
    """Return how often a fault that lasts is a line."""
    if not row.every_s:
        return ""
    cause = " and ".join(f"`{field}`" for field in row.cause)
    return f". Once in {row.every_s:.0f} s for the same {cause}"


_HEAD = f"""# Log events

Generated from `src/postbell/signals.py`. Lines go to stderr: JSON, or text on a terminal
(`POSTBELL_LOG_FORMAT`), from the level `POSTBELL_LOG_LEVEL` on.

A fault that lasts, as a full disk, meets every webhook again and again. Where an event says how
often it is a line, that is for the whole process, however many webhooks meet it, and no more than
{LINES_A_MINUTE} lines of the event a minute, whatever the causes. `unlogged` counts those that were
no lines since the last one.

| event | level | meaning | fields |
|---|---|---|---|"""
