"""Each check of `./do check` complains about the defect that it is there for."""

import subprocess
from pathlib import Path

import pytest
from tools.checks import architecture, commands, floors, links, records, tracked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of its own, tracked by git."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "do").write_text("        run) true ;;\n        bench) true ;;\n")
    (tmp_path / "docs" / "decisions").mkdir(parents=True)
    return tmp_path


def test_a_link_to_a_missing_file_is_a_complaint(root: Path) -> None:
    (root / "a.md").write_text("[here](b.md) and [there](c.md)\n")
    (root / "b.md").write_text("# B\n")

    assert list(links.broken(root)) == ["a.md links to c.md, which does not exist"]


def test_a_link_to_a_missing_heading_is_a_complaint(root: Path) -> None:
    (root / "a.md").write_text("[x](b.md#how-it-works) [y](b.md#what-for)\n")
    (root / "b.md").write_text("## How it works\n")

    assert list(links.broken(root)) == ["a.md links to b.md#what-for, which is no heading there"]


def test_links_in_code_and_to_other_sites_are_left_alone(root: Path) -> None:
    (root / "a.md").write_text("`[x](y)` [z](https://example.com/q)\n\n```\n[v](w)\n```\n")

    assert list(links.broken(root)) == []


@pytest.mark.parametrize(
    "line",
    [
        "postbell webhoks list",
        "postbell webhooks lst",
        "postbell serve --no-such-option",
        "./do rum",
        "POSTBELL_LISTEN=127.0.0.1:0 postbell serve --prot 1 | cat",
    ],
)
def test_a_command_that_does_not_exist_is_a_complaint(root: Path, line: str) -> None:
    (root / "a.md").write_text(f"```sh\n{line}\n```\n")

    assert len(list(commands.unknown(root))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "postbell serve --listen 127.0.0.1:9000 --role api",
        "$ postbell accounts create acme --json",
        "./do run --help",
        "./do bench --json ingest-1",
        "curl --no-such-option http://127.0.0.1:8025/",
        "postbell --version",
    ],
)
def test_a_command_that_exists_is_none(root: Path, line: str) -> None:
    (root / "a.md").write_text(f"```sh\n{line}\n```\n")

    assert list(commands.unknown(root)) == []


def test_a_machine_path_and_a_registry_host_are_complaints(root: Path) -> None:
    (root / "a.txt").write_text(
        "see /" + "work/main\nfine: a/work/b\nfrom https://pypi" + ".org/\n"
    )

    assert list(tracked.traces(root)) == [
        "a.txt:1 names a path of one machine",
        "a.txt:3 names a package registry's host",
    ]


def test_a_file_that_git_ignores_may_name_them(root: Path) -> None:
    (root / ".gitignore").write_text("a.txt\n")
    (root / "a.txt").write_text("/" + "work/main\n")

    assert list(tracked.traces(root)) == []


def test_a_long_file_is_a_complaint(root: Path) -> None:
    (root / "a.py").write_text("x = 1\n" * 401)
    (root / "b.py").write_text("x = 1\n" * 400)
    (root / "tests").mkdir()
    (root / "tests" / "test_c.py").write_text("x = 1\n" * 401)

    assert list(tracked.too_long(root)) == ["a.py has 401 lines; at most 400, split it"]


def test_a_page_that_a_module_names_and_nobody_has_is_a_complaint(root: Path) -> None:
    (root / "src").mkdir()
    (root / "docs" / "here.md").write_text("# Here\n")
    (root / "src" / "a.py").write_text('"""See docs/here.md and `taxonomy.md`, section 6."""\n')

    assert list(links.unheld(root)) == ["src/a.py names taxonomy.md, which does not exist"]


def test_a_decision_that_the_index_lacks_is_a_complaint(root: Path) -> None:
    folder = root / "docs" / "decisions"
    (folder / "README.md").write_text("[one](0001-one.md)\n")
    (folder / "0001-one.md").write_text("# One\n")
    (folder / "0002-two.md").write_text("# Two\n")

    assert list(records.unlisted(root)) == ["docs/decisions/README.md does not list 0002-two.md"]


def test_two_decisions_with_one_number_are_a_complaint(root: Path) -> None:
    folder = root / "docs" / "decisions"
    (folder / "README.md").write_text("[one](0001-one.md) [uno](0001-uno.md)\n")
    (folder / "0001-one.md").write_text("# One\n")
    (folder / "0001-uno.md").write_text("# Uno\n")

    assert list(records.unlisted(root)) == [
        "docs/decisions/0001-uno.md has the number of 0001-one.md"
    ]


def test_a_part_that_the_architecture_page_lacks_is_a_complaint(root: Path) -> None:
    lay_out(root, parts="| `wire` | sends |", drawn="cli\nwire | storage")

    assert list(architecture.drift(root)) == ["ARCHITECTURE.md has no row for the part storage"]


def test_layers_drawn_differently_are_a_complaint(root: Path) -> None:
    lay_out(root, parts="| `wire`, `storage` | sends |", drawn="cli\nwire\nstorage")

    assert list(architecture.drift(root)) == [
        "ARCHITECTURE.md draws other layers than the contract `layers` in pyproject.toml"
    ]


def lay_out(root: Path, *, parts: str, drawn: str) -> None:
    """Write a page and a project with the parts `wire` and `storage`."""
    (root / "ARCHITECTURE.md").write_text(f"{parts}\n\n```layers\n{drawn}\n```\n")
    (root / "pyproject.toml").write_text(
        '[[tool.importlinter.contracts]]\nid = "layers"\nlayers = ["cli", "(wire) | (storage)"]\n'
    )
    for name in ("wire", "storage"):
        (root / "src" / "postbell" / name).mkdir(parents=True)
        (root / "src" / "postbell" / name / "__init__.py").touch()


def project_with(root: Path, wanted: str, *pins: str) -> None:
    (root / "pyproject.toml").write_text(
        f'[project]\ndependencies = ["{wanted}"]\n'
        '[project.optional-dependencies]\nmore = ["extra>=3"]\n'
    )
    lines = [f"{pin} \\\n    --hash=sha256:00\n" for pin in ("extra==3", *pins)]
    (root / "requirements-dev.lock").write_text("".join(lines))


@pytest.mark.parametrize("wanted", ["web", "web>=1", "web>=1.9.9", "web>=2", "web<2"])
def test_a_floor_other_than_the_locked_release_is_a_complaint(root: Path, wanted: str) -> None:
    project_with(root, wanted, "web==1.10.0")

    [complaint] = floors.loose(root)

    assert complaint.startswith("pyproject.toml: web has the floor ")
    assert complaint.endswith('the lock 1.10.0; write "web>=1.10.0"')


@pytest.mark.parametrize("wanted", ["web>=1.10", "web>=1.10.0,<2", "web>=1.10 ; os_name != 'nt'"])
def test_a_floor_at_the_locked_release_is_none(root: Path, wanted: str) -> None:
    project_with(
        root, wanted, "web==1.10.0 ; python_version < '3.12'", "web==1.11 ; python_version > '3.11'"
    )

    assert list(floors.loose(root)) == []


def test_a_floor_of_an_extra_and_a_dependency_without_a_lock_are_complaints(root: Path) -> None:
    project_with(root, "lost>=1", "extra==3.1")

    assert list(floors.loose(root)) == [
        "pyproject.toml: lost is not in requirements-dev.lock; run ./do lock"
    ]

    project_with(root, "lost>=1", "lost==1")
    (root / "requirements-dev.lock").write_text("extra==3.1\nlost==1\n")

    assert list(floors.loose(root)) == [
        'pyproject.toml: extra has the floor 3, the lock 3.1; write "extra>=3.1"'
    ]
