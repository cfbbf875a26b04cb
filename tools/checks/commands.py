"""Commands in Markdown: what a reader is told to type exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from tools.checks.tracked import files
from tools.pages.cli import commands

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELLS = {"", "sh", "bash", "console"}
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "#"}


def unknown(root: Path) -> Iterator[str]:
    """Yield a complaint for each `postbell` or `./do` line that names no command or option."""
    known = dict(commands())
    own = set(re.findall(r"^        (\w+)\)", (root / "do").read_text(), re.MULTILINE))
    for page in files(root):
        if page.suffix != ".md":
            continue
        for line in lines(page.read_text(encoding="utf-8")):
            for problem in _wrong(line, known, own):
                yield f"{page.relative_to(root)}: {problem}: {line}"


def lines(text: str) -> Iterator[str]:
    """Yield the lines of shell blocks, continued ones joined, prompts removed."""
    for fence in _FENCE.finditer(text):
        if fence[1] in _SHELLS:
            for line in fence[2].replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ")


def _wrong(line: str, known: dict[str, click.Command], own: set[str]) -> Iterator[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    ends = [at for at, word in enumerate(words) if word in _ENDS]
    words = words[: ends[0]] if ends else words
    if words[:1] == ["./do"] and words[1:2] and words[1] not in own:
        yield f"./do has no command {words[1]!r}"
    if words[:1] == ["./do"] and words[1:2] == ["run"]:
        words = ["postbell", "demo", *words[2:]]
    if words[:1] != ["postbell"]:
        return
    path, rest = _command(words, known)
    if isinstance(known[path], click.Group) and rest and not rest[0].startswith("-"):
        yield f"{path} has no command {rest[0]!r}"
        return
    options = {"--help", "-h"} | _options(known[path]) | _options(known["postbell"])
    for word in rest:
        name = word.partition("=")[0]
        if re.match(r"--?[a-z]", name) and name not in options:
            yield f"{path} has no option {name}"


def _command(words: list[str], known: dict[str, click.Command]) -> tuple[str, list[str]]:
    """Return the longest command that *words* begin with, and what follows."""
    at = len(words)
    while " ".join(words[:at]) not in known:
        at -= 1
    return " ".join(words[:at]), words[at:]


def _options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
