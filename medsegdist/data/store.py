"""Samples on disk: two memory-mapped arrays and a JSON file, complete or not there at all."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from medsegdist.data.case_tally import CaseTally
from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError

_IMAGES, _MASKS, _DESCRIPTION = "images.npy", "masks.npy", "samples.json"


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["medsegdist samples"] = "medsegdist samples"
    version: Literal[1] = 1
    name: str
    shape: Annotated[list[PositiveInt], Field(min_length=3, max_length=4)]
    case_ids: list[str]
    patient_ids: list[str]
    weights: list[float]
    preprocessing: str
    skipped: list[str]
    cases: PositiveInt | None = None
    without_sample: dict[str, str] = Field(default_factory=dict)
    classes: Annotated[list[str], Field(min_length=1)] | None = None


def save_samples(
    samples: SegmentationSamples | MulticlassSamples,
    directory: Path,
    *,
    skipped: Sequence[str] = (),
    tally: CaseTally | None = None,
) -> None:
    """Store samples in a directory that appears only when everything in it is written and synced.

    Args:
        samples: what to store.
        directory: must not exist yet, or be empty; its parents are made.
        skipped: what was wrong with cases that were left out, to be told again when the samples are loaded.
        tally: which cases gave no sample, likewise; None where that is not known.

    Raises:
        FileExistsError: `directory` holds something already.
        OSError: the disk is full or not writable; nothing is left behind.
    """
    check_vacant(directory)
    description = _Description(
        name=samples.name,
        shape=list(samples.images.shape),
        case_ids=list(samples.case_ids),
        patient_ids=list(samples.patient_ids),
        weights=samples.weights.tolist(),
        preprocessing=samples.preprocessing,
        skipped=list(skipped),
        cases=None if tally is None else tally.cases,
        without_sample={} if tally is None else dict(tally.without_sample),
        classes=list(samples.classes) if isinstance(samples, MulticlassSamples) else None,
    )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _appearing(directory) as partial:
        _write_array(partial / _IMAGES, samples.images.cpu().numpy())
        _write_array(partial / _MASKS, samples.masks.cpu().numpy())
        with (partial / _DESCRIPTION).open("w", encoding="utf-8") as file:
            file.write(description.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())


def load_samples(directory: Path) -> SegmentationSamples:
    """The samples of a directory, memory-mapped: pixels are read when they are used.

    Writing to the tensors changes them in memory, never on disk. Pickled samples are the name of the directory, and
    are mapped anew where they are unpickled: without what was written to the tensors.

    Args:
        directory: what :func:`save_samples` or :func:`~medsegdist.data.collect.collect` wrote.

    Raises:
        DataError: there is no such directory, it is damaged, or its samples have classes.
    """
    samples = _load(directory)
    if isinstance(samples, MulticlassSamples):
        raise DataError(
            f"{directory}: expected samples with one foreground, found the classes {', '.join(samples.classes)}; "
            "load them with load_multiclass_samples."
        )
    return samples.with_origin(_Stored(directory.absolute(), samples.name, samples.preprocessing, len(samples)))


def load_multiclass_samples(directory: Path) -> MulticlassSamples:
    """The samples with classes of a directory, memory-mapped as by :func:`load_samples`.

    Args:
        directory: what :func:`save_samples` or :func:`~medsegdist.data.collect.collect_classes` wrote.

    Raises:
        DataError: there is no such directory, it is damaged, or its samples have no classes.
    """
    samples = _load(directory)
    if isinstance(samples, SegmentationSamples):
        raise DataError(
            f"{directory}: expected samples with classes, found one foreground; load them with load_samples."
        )
    return samples


@dataclass(frozen=True, slots=True)
class _Stored:
    """Samples that lie in a directory which other processes see, too.

    Args:
        directory: absolute path.
        name: of the dataset.
        preprocessing: fingerprint of the samples.
        count: how many samples there are.
        index: which of them are meant; None means all.
        device: where their tensors are.
    """

    directory: Path
    name: str
    preprocessing: str
    count: int
    index: tuple[int, ...] | None = None
    device: str = "cpu"

    def load(self) -> SegmentationSamples:
        if not self.directory.is_dir():
            raise DataError(
                f"dataset '{self.name}': expected its stored samples in {self.directory} on {platform.node()}, found "
                "no such folder; keep samples where every worker sees them at the same path."
            )
        samples = load_samples(self.directory)
        found, expected = (
            (one.name, one.preprocessing, count) for one, count in ((samples, len(samples)), (self, self.count))
        )
        if found != expected:
            raise DataError(
                f"dataset '{self.name}': expected the samples {expected} in {self.directory} on {platform.node()}, "
                f"found {found}; they are others than those that were loaded before."
            )
        chosen = samples if self.index is None else samples.take(self.index)
        return chosen if self.device == "cpu" else chosen.to(self.device)

    def take(self, indices: Sequence[int]) -> _Stored:
        return replace(self, index=tuple(indices if self.index is None else (self.index[k] for k in indices)))

    def to(self, device: str) -> _Stored:
        return replace(self, device=device)


def load_skipped(directory: Path) -> tuple[str, ...]:
    """What was wrong with cases that were left out of stored samples.

    Args:
        directory: as for :func:`load_samples`.

    Raises:
        DataError: there is no such directory, or it is damaged.
    """
    return tuple(_read_description(directory).skipped)


def load_tally(directory: Path) -> CaseTally | None:
    """Which cases gave no sample when the samples of a directory were collected; None where that is not known.

    Args:
        directory: what :func:`save_samples` wrote.

    Raises:
        DataError: there is no such directory, or it is damaged.
    """
    description = _read_description(directory)
    return None if description.cases is None else CaseTally(description.cases, description.without_sample)


def check_vacant(directory: Path) -> None:
    """Refuse a directory that holds something already.

    Args:
        directory: where samples are to be stored.

    Raises:
        FileExistsError: it is a file or is not empty.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(errno.EEXIST, "expected a new or empty directory; delete it or choose another", directory)


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A directory to write in, which becomes `directory` at the end, or vanishes on any error."""
    prefix = f".{directory.name}.partial-"
    _remove_leftovers(directory.parent, prefix)
    partial, lock = _locked_directory(directory.parent, prefix)
    try:
        yield partial
        os.fsync(lock)
        try:
            partial.rename(directory)
        except OSError:
            # Another process may have been first.
            check_vacant(directory)
            raise
        parent = os.open(directory.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _locked_directory(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new directory and a lock on it, which the system lets go of when this process ends, however it ends."""
    while True:
        # Not by tempfile.mkdtemp, which makes it private: the published directory follows the umask like any other.
        partial = parent / f"{prefix}{secrets.token_hex(8)}"
        partial.mkdir()
        with suppress(FileNotFoundError):
            lock = os.open(partial, os.O_RDONLY)
            # Waits for a process that takes it for a leftover, and finds it gone then. Some network disks have no
            # locks; leftovers are never removed there.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if partial.is_dir():
                return partial, lock
            os.close(lock)
        # Another process took it for a leftover before it was locked.


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove what processes left behind that were killed while writing: nobody holds a lock on it."""
    for leftover in [path for path in parent.iterdir() if path.name.startswith(prefix)]:
        with suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover)
            finally:
                os.close(lock)


def _write_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file row by row, so that a memory-mapped array never stands in memory as a whole."""
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in array:
            file.write(np.ascontiguousarray(row).data)
        file.flush()
        os.fsync(file.fileno())


def _map_array(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path.parent, error) from error
    if array.shape != shape or array.dtype != dtype:
        raise _damaged(
            path.parent, f"{path.name}: expected {np.dtype(dtype)} {shape}, found {array.dtype} {array.shape}"
        )
    return array.view(np.ndarray)


def _load(directory: Path) -> SegmentationSamples | MulticlassSamples:
    description = _read_description(directory)
    shape, classes = tuple(description.shape), description.classes
    mask_shape = shape if classes is None else (*shape[:1], len(classes), *shape[1:])
    images = _map_array(directory / _IMAGES, shape, np.float32)
    masks = _map_array(directory / _MASKS, mask_shape, np.bool_)
    fields: dict[str, Any] = {
        "name": description.name,
        "images": torch.from_numpy(images),
        "masks": torch.from_numpy(masks),
        "case_ids": tuple(description.case_ids),
        "patient_ids": tuple(description.patient_ids),
        "weights": torch.tensor(description.weights, dtype=torch.float64),
        "preprocessing": description.preprocessing,
    }
    try:
        if classes is None:
            return SegmentationSamples(**fields)
        return MulticlassSamples(classes=tuple(classes), **fields)
    except DataError as error:
        raise _damaged(directory, error) from error


def _read_description(directory: Path) -> _Description:
    if not directory.is_dir():
        raise DataError(f"{directory}: there are no stored samples here; collect them first.")
    try:
        return _Description.model_validate_json((directory / _DESCRIPTION).read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(directory, error) from error


def _damaged(directory: Path, what: object) -> DataError:
    return DataError(f"{directory}: the stored samples are damaged ({what}); delete this directory and collect again.")
