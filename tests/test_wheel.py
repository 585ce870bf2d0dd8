"""The wheel and the sdist hold the whole tree: every package and every data file, each in its place."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

# Folder of the checkout -> where its files lie in the wheel.
PLACES = {
    "medsegdist": "medsegdist",
    "transforms": "medsegdist/transforms",
    "data_manifests": "medsegdist/data_manifests",
}
BESIDE = ("pyproject.toml", "README.md", "LICENSE")
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "*.partial")


def copy_of(project_root: Path, target: Path) -> Path:
    for folder in PLACES:
        shutil.copytree(project_root / folder, target / folder, ignore=IGNORED)
    for file in BESIDE:
        shutil.copy(project_root / file, target)
    return target


def files_of(tree: Path) -> dict[str, bytes]:
    """Place in the wheel -> content, for every file of the three folders."""
    return {
        str(PurePosixPath(place, path.relative_to(tree / folder).as_posix())): path.read_bytes()
        for folder, place in PLACES.items()
        for path in (tree / folder).rglob("*")
        if path.is_file()
    }


def packages_of(tree: Path) -> set[str]:
    return {str(PurePosixPath(place).parent).replace("/", ".") for place in files_of(tree) if place.endswith(".py")}


def build(tree: Path, *options: str) -> Path:
    """Builds without the network, from setuptools as installed."""
    out = tree / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", out, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def wheel_of(out: Path) -> dict[str, bytes]:
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_every_package_of_the_tree_is_in_the_explicit_list(project_root: Path) -> None:
    setuptools = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert setuptools["packages"] == sorted(packages_of(project_root))
    assert {place.replace("/", "."): folder for folder, place in PLACES.items()} == setuptools["package-dir"]


def test_wheel_and_sdist_hold_the_tree(project_root: Path, tmp_path: Path) -> None:
    tree = copy_of(project_root, tmp_path)
    expected = files_of(tree)
    assert "medsegdist/transforms/__init__.py" in expected
    assert "medsegdist/data_manifests/paper.yaml" in expected
    out = build(tree)  # the sdist, and the wheel from that sdist alone
    assert wheel_of(out) == expected

    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    for folder in PLACES:
        assert {path.relative_to(tree).as_posix() for path in (tree / folder).rglob("*") if path.is_file()} <= members
    assert set(BESIDE) <= members
