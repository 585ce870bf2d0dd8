"""What an import loads, and which way the imports of the house may go."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"matplotlib", "monai", "numpy", "pandas", "plotly", "pylidc", "torch"}
FILE_FORMATS = {"highdicom", "ignite", "matplotlib", "monai", "nibabel", "pydicom", "pylidc", "SimpleITK"}


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_medsegdist_loads_no_heavy_package() -> None:
    loaded = loaded_by("import medsegdist")
    assert "medsegdist" in loaded
    assert not loaded & HEAVY


def test_the_version_loads_no_heavy_package() -> None:
    assert not loaded_by("import medsegdist; medsegdist.__version__") & HEAVY


def test_the_command_line_starts_without_the_heavy_packages() -> None:
    loaded = loaded_by("import medsegdist.cli")
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_no_module_of_distance_loads_a_file_format_or_monai() -> None:
    loaded = loaded_by(
        "import importlib, pkgutil, medsegdist.distance as package\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert "torch" in loaded
    assert not loaded & FILE_FORMATS


def installed_tree(project_root: Path, folder: Path) -> Path:
    """A copy of the code with every package where an installation has it; import-linter sees it nowhere else."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project_root / "medsegdist", folder / "medsegdist", ignore=ignored)
    for package in ("transforms", "data_manifests"):
        shutil.copytree(project_root / package, folder / "medsegdist" / package, ignore=ignored)
    return folder


def lint(tree: Path, project_root: Path) -> tuple[int, str]:
    lint_imports = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", lint_imports, "--config", project_root / "pyproject.toml", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_contracts_hold(tmp_path: Path, project_root: Path) -> None:
    status, report = lint(installed_tree(project_root, tmp_path), project_root)
    assert status == 0, report
    assert "0 broken" in report


# A wrong import in a new module of a floor, by the contract that it breaks.
WRONG = {
    "Distance:": [
        ("distance", "from medsegdist.data.layouts import folder", "medsegdist.data.layouts.folder"),
        ("distance", "from medsegdist.transforms import BinarizeLabel", "medsegdist.transforms"),
        ("distance", "def late():\n    import nibabel", "nibabel"),
        ("data/samples.py", "import ignite", "ignite"),
    ],
    "The house:": [
        ("distance", "from medsegdist.report import tables", "medsegdist.report.tables"),
        ("data", "from medsegdist.distance.transport import solve_transport", "medsegdist.distance.transport"),
        ("transforms", "from medsegdist.data.samples import SegmentationSamples", "medsegdist.data.samples"),
    ],
    "Transforms:": [
        ("data", "from medsegdist.transforms import BinarizeLabel", "medsegdist.transforms"),
    ],
}


@pytest.fixture(scope="module")
def broken(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a tree with all of these imports and a package that no contract names."""
    tree = installed_tree(project_root, tmp_path_factory.mktemp("wrong"))
    for contract, lines in WRONG.items():
        for k, (place, line, _) in enumerate(lines):
            name = place if place.endswith(".py") else f"{place}/wrong_{contract[0].lower()}{k}.py"
            with (tree / "medsegdist" / name).open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")
    (tree / "medsegdist" / "new_room.py").touch()
    status, report = lint(tree, project_root)
    assert status == 1, report
    titles = [row for row in report.splitlines() if row.rstrip().endswith("BROKEN")]
    assert [title.split()[0] for title in titles] == ["The", "Distance:", "Transforms:"]
    return report


@pytest.mark.parametrize(
    ("contract", "k"), [(contract, k) for contract, lines in WRONG.items() for k in range(len(lines))]
)
def test_a_wrong_import_breaks_its_contract(contract: str, k: int, broken: str) -> None:
    place, _, imported = WRONG[contract][k]
    importer = place.removesuffix(".py").replace("/", ".")
    importer += "" if place.endswith(".py") else f".wrong_{contract[0].lower()}{k}"
    assert f"medsegdist.{importer} -> {imported} " in broken


def test_a_package_that_no_contract_names_is_refused(broken: str) -> None:
    assert "new_room" in broken


def test_no_module_of_the_house_uses_the_public_names(project_root: Path) -> None:
    # They come from all floors, by a stub that the contracts do not see.
    files = [*project_root.glob("medsegdist/**/*.py"), *project_root.glob("transforms/*.py")]
    assert len(files) > 100
    pattern = re.compile(r"^\s*from medsegdist import (?!transforms)", flags=re.MULTILINE)
    assert [path for path in files if pattern.search(path.read_text(encoding="utf-8"))] == []


def test_monai_finds_ignite_under_the_warning_filters() -> None:
    # MONAI takes a warning that is an error, raised while it imports ignite, for a missing ignite, and says nothing.
    from monai.engines import SupervisedTrainer

    assert any(base.__module__ == "ignite.engine.engine" for base in SupervisedTrainer.__mro__)
