"""Bounces that real mail servers wrote, as the library for them ships them with its source: how
many are found, missed and taken for something else, of each kind of server, as the page says."""

import ast
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from postbell.errors import BadInput
from postbell.events import EventType
from tests.sources.mail.samples import read

LIBRARY = "flufl.bounce"
PAGE = Path("docs/explain/sources.md")


class Vector(NamedTuple):
    """A mail, the server that wrote it, and whom it is about; *is_delayed* where that one is still
    tried."""

    server: str
    name: str
    raw: bytes
    recipients: frozenset[str]
    is_delayed: bool


@pytest.fixture(scope="module")
def vectors(pytestconfig: pytest.Config) -> list[Vector]:
    """The mails, fetched from the package index once and kept in the cache of the tests."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(f"bounces-{version(LIBRARY)}")
    if not list(folder.glob("*.tar.gz")):
        wanted = f"{LIBRARY}=={version(LIBRARY)}"
        options = ("--no-deps", "--no-build-isolation", "--no-binary", ":all:")
        words = ("-m", "pip", "download", "--quiet", *options, "--dest", str(folder), wanted)
        subprocess.run((sys.executable, *words), check=True, timeout=120)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        return list(_vectors(packed))


def _vectors(packed: tarfile.TarFile) -> Iterator[Vector]:
    top = packed.getnames()[0].partition("/")[0]

    def content(name: str) -> bytes:
        file = packed.extractfile(f"{top}/tests/{name}")
        assert file is not None
        return file.read()

    seen = set()
    for node in ast.walk(ast.parse(content("test_detectors.py"))):
        if not (isinstance(node, ast.Tuple) and len(node.elts) == 4):
            continue
        try:
            server, name, recipients, is_delayed = ast.literal_eval(node)
        except ValueError:
            continue
        if str(name).endswith(".txt") and name not in seen:
            seen.add(name)
            whom = frozenset(each.decode().lower() for each in recipients)
            yield Vector(server, name, content(f"data/{name}"), whom, is_delayed)


def became(vector: Vector) -> str:
    """Return `found`, `missed`, `wrong`, or what else a mail about nobody became."""
    try:
        drafts = [each.draft for each in read(vector.raw, sender=None)]
    except BadInput:
        return "missed" if vector.recipients else "left"
    if not vector.recipients and {draft.type for draft in drafts} == {EventType.AUTO_RESPONSE}:
        return "left"
    is_delayed = {draft.type is EventType.DEFERRED for draft in drafts} == {True}
    is_right = {draft.recipient.lower() for draft in drafts} == vector.recipients
    return "found" if is_right and is_delayed == vector.is_delayed else "wrong"


def test_the_figures_are_those_of_the_page(vectors: list[Vector]) -> None:
    figures: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for vector in vectors:
        figures[vector.server][became(vector)] += 1

    rows = [
        f"| {server} | {sum(of.values())} | {of['found']} | {of['missed']} | {of['wrong']} |"
        f" {of['left']} |"
        for server, of in sorted(figures.items(), key=lambda each: -sum(each[1].values()))
    ]
    assert len(vectors) > 100
    missing = [row for row in rows if row not in PAGE.read_text().splitlines()]
    assert missing == [], "\n".join(rows)
