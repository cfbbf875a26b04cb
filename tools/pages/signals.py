"""The page of the log's events."""

from postbell.signals import SIGNALS


def signals() -> str:
    """Return the reference page of the log, in Markdown."""
    rows = [
        f"| `{row.name}` | {row.level} | {row.meaning} | {', '.join(row.fields)} |"
        for row in SIGNALS
    ]
    return "\n".join((_HEAD, *rows)) + "\n"


_HEAD = """# Log events

Generated from `src/postbell/signals.py`. Lines go to stderr: JSON, or text on a terminal
(`POSTBELL_LOG_FORMAT`), from the level `POSTBELL_LOG_LEVEL` on.

| event | level | meaning | fields |
|---|---|---|---|"""
