"""The one type that every distance reads, and how it is saved and loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from medsegdist.errors import DataError
from medsegdist.files import new_folder, read_bytes, sha256_of
from medsegdist.words import counted, listed, printable

SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-100, 1e100
"""Squares of other weights, or their sums, are infinite or vanish."""


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What became of the cases of a dataset when it was read."""

    cases: int  # how many were read
    # Why, by the name of each such case that could be read.
    without_sample: Mapping[str, str] = field(default_factory=dict)
    not_drawn: tuple[str, ...] = ()  # cases that have samples, none of which was drawn for `max_samples`
    skipped: tuple[str, ...] = ()  # what is wrong with each case that was left out
    doubtful: int = 0  # how many cases have files that leave something open, which were read as they stand

    @property
    def reasons(self) -> dict[str, int]:
        """How many cases have no sample for each reason; no case is named."""
        return dict(Counter(self.without_sample.values()))

    def sentence(self, dataset: str) -> str:
        """Which cases have no sample, on one line; empty if all have one."""
        by_reason: dict[str, list[str]] = {}
        for case, reason in self.without_sample.items():
            by_reason.setdefault(reason, []).append(printable(case))
        parts = [f"{listed(cases, 3)} ({reason})" for reason, cases in by_reason.items()]
        if self.not_drawn:
            parts.append(f"{listed([*map(printable, self.not_drawn)], 3)} (not drawn for max_samples)")
        missing = len(self.without_sample) + len(self.not_drawn)
        verb = "has" if missing == 1 else "have"
        cases = counted(self.cases, "case")
        return f"{dataset}: {missing} of {cases} {verb} no sample: {'; '.join(parts)}." if parts else ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabeledImages:
    """Images of one dataset on a common grid, each with its masks: what samples of one class and of several share.

    A grid is (rows, columns) for slices or (slices, rows, columns) for volumes.

    Args:
        name: the dataset's name, for tables and messages.
        images: (n, *grid) float32 intensities.
        masks: (n, ..., *grid) bool.
        case_ids: (n,) the case each sample was taken from.
        patient_ids: (n,) patient of each sample.
        weights: (n,) float64, positive; only their ratios matter.
        preprocessing: fingerprint of how the samples were made; datasets with different ones cannot be compared.
        case_summary: which cases gave no sample; None if that is not known.
    """

    name: str
    images: Tensor
    masks: Tensor
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    weights: Tensor
    preprocessing: str
    case_summary: CaseSummary | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        facts = ", ".join(f"{key} {value}" for key, value in self._facts().items())
        return f"{type(self).__name__}({self.name!r}: {facts})"

    def _repr_html_(self) -> str:
        facts = {"dataset": self.name, **self._facts()}
        rows = "".join(f"<tr><th>{key}</th><td>{escape(str(value))}</td></tr>" for key, value in facts.items())
        return f"<table>{rows}</table>"

    def _facts(self) -> dict[str, object]:
        """What a notebook shows; no pixel is read."""
        grid = " x ".join(map(str, self.grid))
        patients, cases = len(self.patients), len(set(self.case_ids))
        return {"samples": len(self), "cases": cases, "patients": patients, "grid": grid}

    @property
    def grid(self) -> tuple[int, ...]:
        """(rows, columns) or (slices, rows, columns)."""
        return tuple(self.images.shape[1:])

    @property
    def patients(self) -> tuple[str, ...]:
        """Each patient once, in the order of their first samples."""
        return tuple(dict.fromkeys(self.patient_ids))

    @property
    def mass(self) -> Tensor:
        """(n,) float64 weights that sum to 1."""
        return self.weights / self.weights.sum()

    def to(self, device: torch.device | str) -> Self:
        """The same samples with their tensors on `device`."""
        if self.images.device == torch.device(device):
            return self
        tensors = {name: getattr(self, name).to(device) for name in ("images", "masks", "weights")}
        return replace(self, **tensors)

    def take(self, indices: Sequence[int]) -> Self:
        """The samples at `indices`, in that order."""
        index = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        return replace(
            self,
            images=self.images[index],
            masks=self.masks[index],
            case_ids=tuple(self.case_ids[k] for k in indices),
            patient_ids=tuple(self.patient_ids[k] for k in indices),
            weights=self.weights[index],
        )

    def spread(self, k: int, *, seed: int = 0) -> Self:
        """At most `k` >= 1 samples, spread evenly over the patients; the samples themselves if there are no more."""
        if len(self) <= k:
            return self
        return self.take(spread_over_patients(self.patient_ids, k, seed))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SegmentationSamples(LabeledImages):
    """Images and binary masks of one dataset on a common grid, ready to be compared.

    Use :meth:`from_arrays` for arrays of one's own: it checks values too, where this constructor looks at shapes only
    (the arrays may be memory-mapped).

    Args:
        masks: (n, *grid) bool, True on the foreground.

    Raises:
        DataError: shapes or types are not as said, or a weight is not positive and finite.
    """

    # Where `load` mapped these samples from. What is made from them, as by dataclasses.replace, has none.
    _folder: Path | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) not in (3, 4) or shape[0] == 0:
            raise self._error(
                f"expected images of shape (n, rows, columns) or (n, slices, rows, columns) with n >= 1, found {shape}."
            )
        if tuple(self.masks.shape) != shape:
            raise self._error(f"images have shape {shape} but masks {tuple(self.masks.shape)}.")
        if self.images.dtype != torch.float32 or self.masks.dtype != torch.bool:
            found = f"{self.images.dtype} and {self.masks.dtype}"
            raise self._error(f"expected float32 images and bool masks, found {found}.")
        if self.weights.dtype != torch.float64:
            raise self._error(f"expected float64 weights, found {self.weights.dtype}.")
        lengths = {"case_ids": self.case_ids, "patient_ids": self.patient_ids, "weights": self.weights}
        for what, values in lengths.items():
            if len(values) != shape[0]:
                raise self._error(f"{shape[0]} samples but {len(values)} {what}.")
        if not bool(torch.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise self._error("every weight must be positive and finite.")
        if not SMALLEST_WEIGHT <= float(self.weights.min()) <= float(self.weights.max()) <= LARGEST_WEIGHT:
            raise self._error(
                f"expected weights between {SMALLEST_WEIGHT:g} and {LARGEST_WEIGHT:g}, found others; ratios matter."
            )

    def _error(self, problem: str) -> DataError:
        return DataError(problem, dataset=self.name)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        images: np.ndarray | Tensor,
        masks: np.ndarray | Tensor,
        *,
        case_ids: Sequence[str] | None = None,
        patient_ids: Sequence[str] | None = None,
        weights: np.ndarray | Tensor | Sequence[float] | None = None,
        preprocessing: str = "unspecified",
    ) -> SegmentationSamples:
        """Samples from arrays, with every value checked.

        Args:
            name: the dataset's name.
            images: (n, *grid) of any real dtype; converted to float32.
            masks: (n, *grid) bool, or numbers that are only 0 and 1.
            case_ids: (n,) names; by default the index.
            patient_ids: (n,) names; by default the case ids.
            weights: (n,) positive numbers; by default all equal.
            preprocessing: fingerprint of how the arrays were made.

        Raises:
            DataError: shapes differ, an intensity is NaN or infinite, a mask is not binary or is empty.
        """
        image_tensor = torch.as_tensor(images).to(torch.float32)
        mask_tensor = torch.as_tensor(masks)
        n = len(image_tensor)
        cases = tuple(case_ids) if case_ids is not None else tuple(str(k) for k in range(n))
        samples = cls(
            name=name,
            images=image_tensor,
            masks=_as_binary(mask_tensor, name),
            case_ids=cases,
            patient_ids=tuple(patient_ids) if patient_ids is not None else cases,
            weights=torch.as_tensor([1.0] * n if weights is None else weights, dtype=torch.float64),
            preprocessing=preprocessing,
        )
        for k in range(n):
            if not bool(torch.isfinite(samples.images[k]).all()):
                raise DataError("the image holds NaN or infinite values.", dataset=name, case=cases[k])
            if not bool(samples.masks[k].any()):
                raise DataError("the mask is empty", "every sample needs a segment", dataset=name, case=cases[k])
        return samples

    @classmethod
    def load(cls, folder: str | Path) -> SegmentationSamples:
        """The samples of a folder, memory-mapped: pixels are read when they are used.

        Writing to the tensors changes them in memory, never on disk. Pickled samples are the path of the folder.

        Args:
            folder: what :meth:`save` wrote.

        Raises:
            DataError: there is no such folder, or it is damaged.
        """
        return cls._map(Path(folder).absolute(), compare_checksums=True)

    @classmethod
    def _map(cls, folder: Path, *, compare_checksums: bool = False) -> SegmentationSamples:
        """The samples of a folder; where another process has compared the checksums, this need not be done again."""
        if not folder.is_dir():
            problem = f"{folder}: there are no stored samples here"
            raise DataError(problem, "save them first, where every process that loads them sees the same path")
        try:
            stored = _Stored.model_validate_json(read_bytes(folder / "samples.json"))
            images, masks = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "masks"))
            samples = cls(
                name=stored.name,
                images=torch.from_numpy(images.view(np.ndarray)),
                masks=torch.from_numpy(masks.view(np.ndarray)),
                case_ids=tuple(stored.case_ids),
                patient_ids=tuple(stored.patient_ids),
                weights=torch.tensor(stored.weights, dtype=torch.float64),
                preprocessing=stored.preprocessing,
            )
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise _damaged_samples(folder, error) from error
        # Samples of before have no checksums.
        compared = stored.checksums.items() if compare_checksums else ()
        if any(sha256_of(folder / name) != checksum for name, checksum in compared):
            raise _damaged_samples(folder, "a checksum differs")
        object.__setattr__(samples, "_folder", folder)
        return samples

    def save(self, folder: str | Path) -> None:
        """Store the samples in a folder that appears only when everything in it is written.

        Args:
            folder: must not exist yet, or be empty; its parents are made.

        Raises:
            FileExistsError: `folder` holds something already.
            OSError: the disk is full or not writable; nothing is left behind.
        """
        stored = _Stored(
            name=self.name,
            case_ids=list(self.case_ids),
            patient_ids=list(self.patient_ids),
            weights=self.weights.tolist(),
            preprocessing=self.preprocessing,
        )
        with new_folder(folder) as partial:
            np.save(partial / "images.npy", self.images.cpu().numpy())
            np.save(partial / "masks.npy", self.masks.cpu().numpy())
            stored.checksums = {name: sha256_of(partial / name) for name in ("images.npy", "masks.npy")}
            (partial / "samples.json").write_text(stored.model_dump_json(indent=1), encoding="utf-8")

    def reweighted(self, weights: Tensor) -> SegmentationSamples:
        """The samples under other weights; those of weight 0 are left out.

        Args:
            weights: (n,) float64, >= 0.
        """
        left = weights.nonzero()[:, 0]
        return replace(self.take(left.tolist()), weights=weights[left].to(self.weights.device))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (SegmentationSamples._map, (self._folder,)) if self._folder else object.__reduce_ex__(self, protocol)


def spread_over_patients(patient_ids: Sequence[str], k: int, seed: int) -> list[int]:
    """Indices of at most k >= 1 samples, in increasing order, spread over patients as evenly as their numbers allow.

    No patient gives two samples more than another one that still has some left. Which samples of a patient, and which
    patients where the number does not come out even, is random.
    """
    if k < 1:
        raise ValueError(f"expected k >= 1 samples to choose, found {k}.")
    keys = np.random.default_rng(seed).random(len(patient_ids))
    by_key = np.argsort(keys)
    turn: dict[str, int] = {}
    order = []
    for index in by_key.tolist():
        patient = patient_ids[index]
        turn[patient] = turn.get(patient, -1) + 1
        order.append((turn[patient], keys[index], index))
    return sorted(index for _, _, index in sorted(order)[:k])


def _as_binary(masks: Tensor, name: str) -> Tensor:
    if masks.dtype == torch.bool:
        return masks
    binary = masks != 0
    if not bool((masks[binary] == 1).all()):
        raise DataError("expected masks of 0 and 1, found other values", "binarize them first", dataset=name)
    return binary


def _damaged_samples(folder: Path, why: object) -> DataError:
    return DataError(f"{folder}: the stored samples are damaged ({why})", "delete this folder and save them again")


class _Stored(BaseModel):
    """samples.json next to the arrays of stored samples."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["medsegdist samples"] = "medsegdist samples"
    version: Literal[2] = 2
    name: str
    case_ids: list[str]
    patient_ids: list[str]
    weights: list[float]
    preprocessing: str
    checksums: dict[Literal["images.npy", "masks.npy"], str] = {}
