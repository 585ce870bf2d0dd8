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


@pytest.fixture
def installed_tree(project_root: Path, tmp_path: Path) -> Path:
    """A copy of the code with every package where an installation has it; import-linter sees it nowhere else."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(project_root / "medsegdist", tmp_path / "medsegdist", ignore=ignored)
    for package in ("transforms", "data_manifests"):
        shutil.copytree(project_root / package, tmp_path / "medsegdist" / package, ignore=ignored)
    return tmp_path


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


def test_the_contracts_hold(installed_tree: Path, project_root: Path) -> None:
    status, report = lint(installed_tree, project_root)
    assert status == 0, report
    assert "0 broken" in report


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("distance/image_cost.py", "from medsegdist.data.layouts import folder", "Distance:"),
        ("distance/image_cost.py", "from medsegdist.data import dataset", "Distance:"),
        ("distance/image_cost.py", "import medsegdist.data.manifest", "Distance:"),
        ("distance/image_cost.py", "from medsegdist.transforms import NeutralizeSegment", "Distance:"),
        ("distance/image_cost.py", "from monai.data import MetaTensor", "Distance:"),
        ("distance/image_cost.py", "def late():\n    import nibabel", "Distance:"),
        ("distance/image_cost.py", "import pydicom", "Distance:"),
        ("distance/image_cost.py", "import SimpleITK", "Distance:"),
        ("distance/image_cost.py", "import pylidc", "Distance:"),
        ("data/samples.py", "import monai", "Distance:"),
        ("distance/image_cost.py", "from medsegdist.report import tables", "The house:"),
        ("data/samples.py", "from medsegdist.distance.transport import solve_transport", "The house:"),
        ("report/tables.py", "import medsegdist.cli", "The house:"),
        ("new_room.py", "", "The house:"),
        ("transforms/grid.py", "from medsegdist.files import atomic_write", "The house:"),
        ("transforms/grid.py", "from medsegdist.data.samples import SegmentationSamples", "The house:"),
        ("data/samples.py", "from medsegdist.transforms import NeutralizeSegment", "Transforms:"),
        ("cli.py", "from medsegdist import transforms", "Transforms:"),
    ],
)
def test_a_wrong_import_breaks_its_contract(
    module: str, line: str, contract: str, installed_tree: Path, project_root: Path
) -> None:
    with (installed_tree / "medsegdist" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    status, report = lint(installed_tree, project_root)
    assert status == 1, report
    broken = [row for row in report.splitlines() if row.rstrip().endswith("BROKEN")]
    assert [row for row in broken if row.startswith(contract)], report


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
