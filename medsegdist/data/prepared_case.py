"""From one item of a dataset to checked samples, and their file in the cache: one a case, so that a killed run goes on.

A file is a .npz without pickle; its checksums (CRC-32 of every array) are verified when it is read. Processes that
share a cache need no locks: a file takes its name when it is complete, and equal names hold equal samples.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.case_statistics import Foreground, PreparedCase, find_labels, grid_error
from medsegdist.data.itk import detached_data
from medsegdist.data.layouts.paths import case_names
from medsegdist.data.problems import case_problem
from medsegdist.errors import DataError
from medsegdist.files import atomic_write

if TYPE_CHECKING:
    from medsegdist.data.layouts.listing import Case
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.data.options import Preprocessing


class ItemDataset(Protocol):
    """Any dataset of MONAI or PyTorch, or a plain list, whose items are samples or lists of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class CaseTask:
    """Which case to read."""

    key: Any  # what its item is loaded by
    name: Any  # as far as it is known before it is read; see `shown_names`
    file: Path | None = None  # where its samples are kept; None gives them back


@dataclass(frozen=True, slots=True, eq=False)
class ReadCase:
    """Function that reads one case; whatever is wrong with it is in the result."""

    load: Callable[[Any], Any]  # from the key of a case to an item, or a list of items, with "image" and "label"
    dataset: str
    delta: float | None = None  # what segments will be neutralized by, below their intensities; None is not checked
    min_pixels: int = 1  # foreground that a sample needs, or each class of it
    classes: tuple[str, ...] | None = None  # in the order of the label's channels; None for one foreground
    foreground: Foreground = None  # looked for before any step
    steps: tuple[Callable[[Any], Any], ...] = ()  # from what `load` gives to samples
    sliced: bool = False  # whether a volume then stands for its slices, each a sample
    # Called with what `load` gives and with the labels found; the samples are then not given back.
    observe: Callable[[Any, tuple[float, ...]], Any] | None = None

    def __call__(self, task: CaseTask) -> PreparedCase:
        """Read one case; raised is only what no case is to blame for, such as a full disk."""
        if task.file is not None and task.file.is_file():
            return load_case(task.file, pixels=False)
        labels = observed = None
        doubts: tuple[tuple[str, str], ...] = ()
        try:
            item = self.load(task.key)
            if self.steps:
                labels, doubts = find_labels(item["label"], self.foreground), item["doubts"]
                observed = None if self.observe is None else self.observe(item, labels)
                # By themselves: a Compose looks for lazy operations at each step, 5 % of the time of a small volume.
                for step in self.steps:
                    item = step(item)
            case = self._prepare(item, task.name)
            case = replace(case, labels=labels, doubts=(*doubts, *case.doubts), observed=observed)
        # Any transform may fail in any way, and one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            return PreparedCase(task.name, problem=case_problem(error, self.dataset, task.name), observed=observed)
        if task.file is not None:
            save_case(case, task.file)
        return replace(case, images=None, masks=None) if task.file or self.observe else case

    def _prepare(self, item: Any, name: Any) -> PreparedCase:
        """The checked samples of a transformed item, which may be a list of such items."""
        parts = list(item) if isinstance(item, (list, tuple)) else [item]
        pairs = [self._images_and_masks(part) for part in parts]
        ids: list[Any] = []
        patients: list[Any] = []
        for part, (image, _) in zip(parts, pairs, strict=True):
            # What the item says of itself counts before its place.
            meta = getattr(part["image"], "meta", None) or part.get("image_meta_dict") or {}
            case_id = _name_of(part, meta.get("filename_or_obj"), name)
            if image.shape[1:] != pairs[0][0].shape[1:]:
                raise grid_error(image.shape[1:], pairs[0][0].shape[1:], shown_names(ids[:1])[ids[0]])
            ids += [case_id] * len(image)
            patients += [_given(part.get("patient_id")).strip() or case_id] * len(image)
        if not ids:
            return PreparedCase(name)
        images, masks = pairs[0] if len(pairs) == 1 else (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        pixels: np.ndarray = masks.reshape(*masks.shape[:2], -1)
        _check_intensities(images.reshape(len(ids), -1), pixels, self.delta)
        sizes = np.array([[np.count_nonzero(channel) for channel in sample] for sample in pixels])
        # What is read from files was brought to one place and orientation.
        axes, doubts = ("", ()) if self.steps else _lying(parts[0], images.shape[1:])
        large = sizes >= self.min_pixels
        kept = np.flatnonzero(large.any(1)).tolist()
        masks = masks[kept]
        masks[~large[kept]] = False
        return PreparedCase(
            name=ids[0],
            case_ids=tuple(ids[k] for k in kept),
            patient_ids=tuple(patients[k] for k in kept),
            grid=images.shape[1:],
            sizes=tuple(map(tuple, sizes.tolist())),
            images=images if len(kept) == len(ids) else images[kept],
            masks=masks[:, 0] if self.classes is None else masks,
            axes=axes,
            doubts=doubts,
        )

    def _images_and_masks(self, item: object) -> tuple[np.ndarray, np.ndarray]:
        """(n, *grid) float32 and (n, channels, *grid) bool."""
        if not isinstance(item, Mapping) or "image" not in item or "label" not in item:
            found = f"the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
            raise DataError(f'expected a dict with "image" and "label", found {found}', "rename or add the keys")
        image, label = _values(item["image"]), _values(item["label"])
        shape = tuple(image.shape)
        if image.ndim not in (3, 4) or shape[0] != 1:
            problem = f"expected an image of shape (1, rows, columns) or (1, slices, rows, columns), found {shape}"
            raise DataError(problem, "put the channel first and choose one")
        if not self.steps and image.ndim == 4 and shape[1] > shape[3] == 1:
            problem = f"expected a volume of shape (1, slices, rows, columns), found one column, {shape}"
            raise DataError(problem, "put the slices first, or leave out the last axis of a single slice")
        if label.shape != (1 if self.classes is None else len(self.classes), *shape[1:]):
            problem = f"the image has shape {shape} but its mask {tuple(label.shape)}"
            raise DataError(problem, "pair each image with the mask that was drawn on it")
        # By numpy, which looks for a value in a fraction of torch's time.
        values = label.numpy()
        mask = values.astype(bool)
        other = values[values != mask]
        if other.size:
            shown = ", ".join(f"{value:.7g}" for value in np.unique(other)[:5].tolist())
            raise DataError(f"expected a mask of 0 and 1, found {shown}", "binarize the labels first")
        # Another's dataset may give the same memory for every item.
        pixels = image.to(torch.float32, copy=not self.steps).numpy()
        return (pixels[0], mask.swapaxes(0, 1)) if self.sliced and image.ndim == 4 else (pixels, mask[None])


def _lying(item: Mapping[Any, Any], grid: Sequence[int]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The axes of an image by its affine, as "RAS"; and that its mask lies elsewhere, by more than a voxel."""
    image, label = _affine(item["image"]), _affine(item["label"])
    if image is None:
        return "", ()
    from nibabel.orientations import aff2axcodes

    axes = "".join(map(str, aff2axcodes(image)))  # type: ignore[no-untyped-call]
    corners = np.array([*product(*((0, size - 1) for size in (*grid, 1)[:3]), (1,))])
    gap = 0 if label is None else np.linalg.norm(corners @ (label - image).T, axis=1).max()
    if gap <= np.linalg.norm(image[:3, :3], axis=0).min():
        return axes, ()
    problem = f"expected image and mask at one place, found them {gap:.3g} mm apart by their affines; read as arrays"
    return axes, ((problem, "resample the mask to its image, or correct or drop the affine"),)


def _affine(array: Any) -> np.ndarray | None:
    """From voxels to mm in RAS+; None if an array does not say it."""
    affine = np.asarray(getattr(array, "affine", ()), dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return None
    in_lps = str(array.meta.get("space")).upper() in ("LPS", "LEFT-POSTERIOR-SUPERIOR")
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine if in_lps else affine


def case_tasks(dataset: ItemDataset) -> list[CaseTask]:
    """The items of a dataset of MONAI or PyTorch, or of a list, by their index; nothing is read."""
    # A SmartCacheDataset, as folds of others, has entries that are not its items'. To import MONAI takes seconds.
    is_of_monai = getattr(type(dataset).__getitem__, "__module__", "") == "monai.data.dataset"
    entries: Any = getattr(dataset, "data", None) if is_of_monai else dataset
    known = isinstance(entries, (list, tuple)) and len(entries) == len(dataset)
    items = [entry if isinstance(entry, Mapping) else {} for entry in (entries if known else [None] * len(dataset))]
    return [CaseTask(k, _name_of(item, item.get("image"), k)) for k, item in enumerate(items)]


def _name_of(item: Mapping[Any, Any], file: object, otherwise: Any) -> Any:
    """What a case is called until all are known: its id (str), its image's file (Path), or its index (int)."""
    if given := _given(item.get("case_id")):
        return given
    return Path(file).absolute() if isinstance(file, (str, Path)) and str(file) else otherwise


def shown_names(keys: Collection[Any]) -> dict[Any, str]:
    """A name for each of these ids, files and indices; no two have the same one.

    Cases called by s0001/ct.nii.gz and s0002/ct.nii.gz would otherwise be one patient.
    """
    names: dict[Any, str] = {key: key for key in keys if isinstance(key, str)}
    files = list(dict.fromkeys(key for key in keys if isinstance(key, Path)))
    names |= zip(files, case_names(files, taken=names), strict=True)
    taken = set(names.values())
    return names | {key: f"#{key}" if str(key) in taken else str(key) for key in keys if isinstance(key, int)}


def _given(value: Any) -> str:
    """An id as text, the same for 7, np.int64(7) and tensor(7); empty if it is missing, as None, NaN or ""."""
    if isinstance(value, str):
        return value if value.strip() else ""
    from pandas import isna

    value = np.asarray(value).item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # of a column that also has empty cells
    return "" if isna(value) else _given(str(value))


def _values(array: Any) -> Tensor:
    if isinstance(array, np.ma.MaskedArray):
        raise DataError("expected a plain array, found one with masked elements", "fill them")
    if isinstance(array, np.ndarray):
        # torch takes no array that is flipped, in the other order of bytes or not to be written to.
        array = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    # A MetaTensor first of all becomes a plain tensor: every step of it copies its metadata.
    values = array.as_subclass(Tensor) if isinstance(array, Tensor) else torch.as_tensor(array)
    if values.is_complex():
        raise DataError("expected real numbers, found complex ones", "take the magnitude")
    return values.detach().cpu()


def _check_intensities(images: np.ndarray, masks: np.ndarray, delta: float | None) -> None:
    """Refuse images that no distance can use: constant, not finite, or reaching down to delta in their mask."""
    # NaN and infinity show in the extremes.
    lows, highs = images.min(axis=1), images.max(axis=1)
    if not np.isfinite([lows, highs]).all():
        raise DataError("the image holds NaN or infinite values", "repair the image")
    if (lows == highs).any():
        low = lows[lows == highs][0]
        raise DataError(f"the image is constant, {low:g} everywhere", "check its window, and that it is not blank")
    if delta is None:
        return
    for k in np.flatnonzero(lows <= delta).tolist():
        inside = images[k][masks[k].any(0)]
        if inside.size and inside.min() <= delta:
            problem = f"expected intensities above delta = {delta:g} in the segment, found {inside.min():g}"
            raise DataError(problem, "lower delta, or clip the intensities")


_FORMAT = 3
_TEXTS = ("name", "case_ids", "patient_ids", "grid", "sizes", "labels", "doubts")


def save_case(case: PreparedCase, file: Path) -> None:
    """Store a case without problems."""
    text = json.dumps({name: getattr(case, name) for name in _TEXTS}).encode()
    empty = np.empty(0, dtype=np.float32)
    images, masks = (empty if pixels is None else pixels for pixels in (case.images, case.masks))
    parts: dict[str, Any] = {"case": np.frombuffer(text, dtype=np.uint8), "images": images, "masks": masks}
    with atomic_write(file, binary=True) as stream:
        np.savez(stream, **parts, digest=np.array(_digest_of(file, parts)))


def load_case(file: Path, *, pixels: bool) -> PreparedCase:
    """A case of the cache, or a DataError if its file is damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            fields = json.loads(arrays["case"].tobytes())
            case = PreparedCase(**{name: _as_tuples(fields[name]) for name in _TEXTS})
            if not pixels:
                return case
            parts = {name: arrays[name] for name in ("case", "images", "masks")}
            if arrays["digest"].item() != _digest_of(file, parts):
                raise ValueError("its digest differs: it was changed, or is another case's")
            return replace(case, images=parts["images"], masks=parts["masks"])
    # A byte that has changed may make the archive fail in any way.
    except Exception as error:
        problem = f"the cached case {file} is damaged ({type(error).__name__}: {error})"
        raise DataError(problem, f"delete the folder {file.parent} and run again") from error


def cached_files(
    cache: str | Path, manifest: DatasetManifest, preprocessing: Preprocessing, cases: Sequence[Case]
) -> list[Path]:
    """Where each case is cached: under a name that no other content of manifest, preprocessing or files gets."""
    # Another version may prepare the same cases in another way. How many samples are drawn does not change a case.
    settings = preprocessing.model_copy(update={"max_samples": 1}).fingerprint
    content = [version("medsegdist"), _FORMAT, manifest.model_dump(mode="json"), settings]
    folder = Path(cache) / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', manifest.name)}-{_digest(content)}"
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
    # Files that are exchanged by renaming keep the time of modification, but not that of change (on Windows: of
    # creation). The inode would differ each time that some disks of a network are mounted.
    times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    # An .mhd is a header only, and its voxels change without it.
    data = detached_data(path)
    return [os.path.realpath(path), *times, *([] if data is None else [source_stamp(data)])]


def _digest_of(file: Path, parts: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of a cached case, by its file's name, which no other case has, and the type of each array."""
    digest = hashlib.sha256(file.name.encode())
    for array in parts.values():
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()[:20]


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
