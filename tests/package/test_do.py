"""`./do` makes its environment once, and again when it must: shown with a Python that only notes
what it is asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PYTHON = """#!/usr/bin/env bash
# Stands in for Python: makes environments out of itself, notes what pip and pytest are told.
case "$*" in
    -c*) exit 0 ;;
    *"-m venv "*)
        echo made >>"$NOTES"
        mkdir -p "${@: -1}/bin"
        cp "$0" "${@: -1}/bin/python"
        echo home >"${@: -1}/pyvenv.cfg"
        ;;
    *"-m pip "*) echo "${@: -1}" >>"$NOTES" && [ ! -e "$NOTES.broken" ] ;;
    *"-m pytest"*) echo tested >>"$NOTES" ;;
esac
"""
FIRST = ["made", "requirements-dev.lock", ".", "tested"]


class Project:
    """A copy of `./do` with lock files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        shutil.copy(ROOT / "do", folder / "do")
        for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
            (folder / name).write_text("one\n")
        stand_in = folder / "python"
        stand_in.write_text(PYTHON)
        stand_in.chmod(0o755)
        for program in (
            "cc",
            "gencat",
            "php",
            "curl",
            "node",
            "npm",
            "chromium",
            "caddy",
            "haproxy",
            "nginx",
        ):
            (folder / program).symlink_to("/bin/true")

    def test(self) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        environ = {"PATH": path, "PYTHON": "python", "NOTES": str(self.notes)}
        self.notes.unlink(missing_ok=True)
        return subprocess.run(
            [self.folder / "do", "test"], env=environ, capture_output=True, text=True
        )

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_first_call_makes_the_environment_and_installs(project: Project) -> None:
    done = project.test()

    assert done.returncode == 0
    assert project.noted() == FIRST


def test_the_second_call_installs_nothing_and_says_nothing(project: Project) -> None:
    project.test()

    done = project.test()

    assert done.stdout + done.stderr == ""
    assert project.noted() == ["tested"]


def test_a_changed_lock_file_is_installed(project: Project) -> None:
    project.test()
    (project.folder / "requirements-dev.lock").write_text("two\n")

    project.test()

    assert project.noted() == ["requirements-dev.lock", ".", "tested"]


def test_a_changed_project_file_installs_the_project_alone(project: Project) -> None:
    project.test()
    (project.folder / "pyproject.toml").write_text("two\n")

    project.test()

    assert project.noted() == [".", "tested"]


def test_a_failed_installation_ends_the_command_and_is_tried_again(project: Project) -> None:
    broken = Path(f"{project.notes}.broken")
    broken.touch()
    failed = project.test()
    noted = project.noted()
    broken.unlink()

    project.test()

    assert failed.returncode != 0
    assert noted == ["made", "requirements-dev.lock"]
    assert project.noted() == ["requirements-dev.lock", ".", "tested"]


def test_an_environment_without_its_python_is_made_anew(project: Project) -> None:
    project.test()
    (project.folder / ".venv" / "bin" / "python").unlink()

    project.test()

    assert project.noted() == FIRST


def test_an_environment_of_another_folder_is_made_anew(project: Project, tmp_path: Path) -> None:
    project.test()
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in list(tmp_path.iterdir()):
        if path != moved:
            path.rename(moved / path.name)
    project.folder, project.notes = moved, moved / "notes"

    project.test()

    assert project.noted() == FIRST


def test_without_any_python_it_says_what_is_missing(project: Project) -> None:
    (project.folder / "python").write_text("#!/bin/sh\nexit 1\n")
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        shutil.copy(project.folder / "python", project.folder / name)

    done = project.test()

    assert done.returncode == 1
    assert "no Python 3.11 or newer found" in done.stderr


def test_an_unknown_command_is_refused_by_name(project: Project) -> None:
    done = subprocess.run([project.folder / "do", "tset"], capture_output=True, text=True)

    assert done.returncode == 1
    assert "no command 'tset'" in done.stderr
