"""scripts/demo and scripts/test install once, and again only when they must: watched by a Python that takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Understands the calls of scripts/_environment.sh. It notes every `pip install`, and what the scripts finally run.
NOTING_PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c import sys; print"*) echo 3.11.0 ;;
    "-c "*) exit "${OLD_PYTHON:-0}" ;;
    "-m venv")
        for folder in "$@"; do :; done
        [ "$3" = --without-pip ] || exit_code=${NO_ENSUREPIP:-0}
        mkdir -p "$folder/bin"
        cp "$0" "$folder/bin/python"
        printf '#!/bin/sh\\necho "medsegdist in $PWD: $*" >>"$NOTES"\\n' >"$folder/bin/medsegdist"
        chmod +x "$folder/bin/medsegdist"
        exit "${exit_code:-0}" ;;
    "-m pip")
        case " $* " in
            *" --version "*) exit "${NO_ENSUREPIP:-0}" ;;
            *) echo "pip: $*" >>"$NOTES"; exit "${BROKEN_PIP:-0}" ;;
        esac ;;
    "-m pytest") echo "pytest in $PWD: $*" >>"$NOTES" ;;
    *) echo "not foreseen: $*" >&2; exit 99 ;;
esac
"""


class Checkout:
    """A copy of the scripts in a folder whose name holds a space, and a machine with one Python."""

    def __init__(self, project_root: Path, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.elsewhere = folder / "elsewhere"
        self.notes = folder / "notes"
        shutil.copytree(project_root / "scripts", self.root / "scripts")
        for file in ("pyproject.toml", "constraints.txt"):
            shutil.copy(project_root / file, self.root)
        self.elsewhere.mkdir()
        self.python = folder / "bin" / "python3"
        self.python.parent.mkdir()
        self.python.write_text(NOTING_PYTHON, encoding="utf-8")
        self.python.chmod(0o755)

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.python.parent}{os.pathsep}{os.defpath}"
        return subprocess.run(
            [self.root / "scripts" / script, *arguments],
            cwd=self.elsewhere,
            env={"PATH": path, "NOTES": str(self.notes), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def noted(self) -> list[str]:
        return self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []

    def installations(self) -> list[str]:
        return [line for line in self.noted() if line.startswith("pip: ")]


@pytest.fixture
def checkout(project_root: Path, tmp_path: Path) -> Checkout:
    return Checkout(project_root, tmp_path)


def test_the_demo_installs_the_constrained_project_once_and_runs_where_it_was_called(checkout: Checkout) -> None:
    for _ in range(3):
        assert checkout.run("demo", "--out", "my folder").returncode == 0
    (installation,) = checkout.installations()
    assert f"--constraint {checkout.root}/constraints.txt --editable {checkout.root}" in installation
    assert "[test]" not in installation
    assert checkout.noted()[1:] == [f"medsegdist in {checkout.elsewhere}: demo --out my folder"] * 3


def test_the_tests_add_their_extra_to_the_demo_and_both_stay_installed(checkout: Checkout) -> None:
    for script in ("demo", "test", "demo", "test"):
        assert checkout.run(script).returncode == 0
    assert ["[test]" in line for line in checkout.installations()] == [False, True]


def test_an_installation_that_failed_is_done_again(checkout: Checkout) -> None:
    assert checkout.run("test").returncode == 0
    with (checkout.root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# new\n")
    failed = checkout.run("test", BROKEN_PIP="1")
    assert failed.returncode == 1
    assert "test: the installation failed; the messages above say why." in failed.stderr
    assert checkout.run("test").returncode == 0
    assert len(checkout.installations()) == 3


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_is_installed(file: str, checkout: Checkout) -> None:
    checkout.run("demo")
    with (checkout.root / file).open("a", encoding="utf-8") as opened:
        opened.write("# new\n")
    checkout.run("demo")
    checkout.run("demo")
    assert len(checkout.installations()) == 2


def test_a_checkout_that_moved_is_installed_again(checkout: Checkout) -> None:
    checkout.run("demo")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("demo").returncode == 0
    assert checkout.installations()[1].endswith(f"--editable {checkout.root}")


def test_an_old_python_is_refused(checkout: Checkout) -> None:
    for name in ("python", "python3.11", "python3.12", "python3.13", "python3.14"):
        shutil.copy(checkout.python, checkout.python.with_name(name))
    refused = checkout.run("demo", OLD_PYTHON="1")
    assert refused.returncode == 1
    assert "demo: expected Python >= 3.11 on the path, found" in refused.stderr
    assert "PYTHON=/path/to/python3.11" in refused.stderr
    assert not (checkout.root / ".venv").exists()


def test_a_broken_environment_is_named_and_left_alone(checkout: Checkout) -> None:
    python = checkout.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/no/such/python")
    refused = checkout.run("demo")
    assert refused.returncode == 1
    assert f"{checkout.root}/.venv holds no Python >= 3.11 that runs; remove that folder" in refused.stderr
    assert python.is_symlink()
