"""Prepared cases on disk: one file a case, whole or not there, so that a killed run goes on with what is there.

A file is a .npz without pickle; its checksums (CRC-32 of every array) are verified when it is read. Processes that
share a cache need no locks: a file takes its name when it is complete, and equal names hold equal samples.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medsegdist.data.itk import detached_data
from medsegdist.errors import DataError
from medsegdist.files import atomic_write

if TYPE_CHECKING:
    from medsegdist.data.case import Case
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.data.preprocessing import Preprocessing
    from medsegdist.data.problems import Problem


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCase:
    """The samples of one case, or what is wrong with it.

    Args:
        name: of the case.
        case_ids: (n,) of the samples; an item of somebody else's dataset may hold several cases.
        patient_ids: (n,) patient of each sample.
        grid: of the samples, also of those with too little foreground; None if there are none at all.
        sizes: foreground pixels in each channel of the label, of each sample, also of those with too little.
        labels: what its mask held before it was made binary; None if that was not recorded.
        images: (n, *grid) float32; None if they are in the cache only.
        masks: (n, *grid) bool, or (n, classes, *grid), without the classes that have too little foreground.
        problem: why the case cannot be used.
        observed: what was observed of the item before it was transformed.
    """

    name: str
    case_ids: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = ()
    grid: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, ...], ...] = ()
    labels: tuple[float, ...] | None = None
    images: np.ndarray | None = None
    masks: np.ndarray | None = None
    problem: Problem | None = None
    observed: Any = None


_TEXTS = ("name", "case_ids", "patient_ids", "grid", "sizes", "labels")


def save_case(case: PreparedCase, file: Path) -> None:
    """Store a case without problems.

    Raises:
        OSError: the disk is full or not writable.
    """
    text = json.dumps({name: getattr(case, name) for name in _TEXTS})
    empty = np.empty(0, dtype=np.float32)
    with atomic_write(file, binary=True) as stream:
        np.savez(
            stream,
            case=np.frombuffer(text.encode(), dtype=np.uint8),
            images=empty if case.images is None else case.images,
            masks=empty if case.masks is None else case.masks,
        )


def load_case(file: Path, *, pixels: bool) -> PreparedCase:
    """A case of the cache.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            fields = json.loads(arrays["case"].tobytes())
            case = PreparedCase(**{name: _as_tuples(fields[name]) for name in _TEXTS})
            return replace(case, images=arrays["images"], masks=arrays["masks"]) if pixels else case
    # A byte that has changed may make the archive fail in any way.
    except Exception as error:
        raise DataError(
            f"the cached case {file} is damaged ({type(error).__name__}: {error})",
            f"delete the folder {file.parent} and run again",
        ) from error


def cached_files(
    cache: Path, manifest: DatasetManifest, preprocessing: Preprocessing, cases: Sequence[Case]
) -> list[Path]:
    """Where each case is cached: under a name that no other content of manifest, preprocessing or files gets."""
    # Another version may prepare the same cases in another way. How many samples are drawn does not change a case.
    settings = preprocessing.model_copy(update={"max_samples": 1}).fingerprint
    content = [version("medsegdist"), manifest.model_dump(mode="json"), settings]
    folder = cache / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', manifest.name)}-{_digest(content)}"
    return [
        folder / f"{_digest([case.id, case.patient_id, source_stamp(case.image), source_stamp(case.label)])}.npz"
        for case in cases
    ]


def source_stamp(source: object) -> object:
    """What changes when the content of an image's source changes; a description that is no file is its own stamp."""
    if isinstance(source, Mapping):
        return {key: source_stamp(part) for key, part in source.items()}
    if isinstance(source, (list, tuple)):
        return [source_stamp(part) for part in source]
    if hasattr(source, "path"):
        return [repr(source), source_stamp(source.path)]
    if not isinstance(source, (str, os.PathLike)):
        return source
    path = Path(source)
    try:
        if path.is_dir():
            return [str(path), [source_stamp(part) for part in sorted(path.iterdir())]]
        status = path.stat()
    except OSError:
        return [str(path), None]
    # An .mhd is a header only, and its voxels change without it.
    data = detached_data(path)
    return [str(path), status.st_size, status.st_mtime_ns, *([] if data is None else [source_stamp(data)])]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()[:20]


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
