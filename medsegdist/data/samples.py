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
        if self.not_drawn:
            by_reason["not drawn for max_samples"] = [*map(printable, self.not_drawn)]
        parts = [f"{listed(cases, 3)} ({reason})" for reason, cases in by_reason.items()]
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
        counts = {"samples": len(self), "cases": len(set(self.case_ids)), "patients": len(self.patients)}
        return {**counts, "grid": " x ".join(map(str, self.grid))}

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
        return replace(self, **{name: getattr(self, name).to(device) for name in ("images", "masks", "weights")})

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
        types = (self.images.dtype, self.masks.dtype, self.weights.dtype)
        lengths = {what: len(getattr(self, what)) for what in ("case_ids", "patient_ids", "weights")}
        problem = ""
        if len(shape) not in (3, 4) or shape[0] == 0:
            problem = f"images of shape (n, rows, columns) or (n, slices, rows, columns) with n >= 1, found {shape}"
        elif tuple(self.masks.shape) != shape:
            problem = f"masks of the images' shape, found {tuple(self.masks.shape)} and {shape}"
        elif types != (torch.float32, torch.bool, torch.float64):
            problem = f"float32 images, bool masks and float64 weights, found {', '.join(map(str, types))}"
        elif set(lengths.values()) != {shape[0]}:
            problem = f"as many as the {shape[0]} samples of each, found {lengths}"
        elif not bool(((self.weights >= SMALLEST_WEIGHT) & (self.weights <= LARGEST_WEIGHT)).all()):
            found = f"{float(self.weights.min()):g} to {float(self.weights.max()):g}"
            problem = f"weights between {SMALLEST_WEIGHT:g} and {LARGEST_WEIGHT:g}, found {found}; ratios matter"
        if problem:
            raise DataError(f"expected {problem}.", dataset=self.name)

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
        image_tensor, mask_tensor = torch.as_tensor(images).to(torch.float32), torch.as_tensor(masks)
        binary = mask_tensor != 0
        if not bool((mask_tensor[binary] == 1).all()):
            raise DataError("expected masks of 0 and 1, found other values", "binarize them first", dataset=name)
        n = len(image_tensor)
        cases = tuple(map(str, range(n)) if case_ids is None else case_ids)
        samples = cls(
            name=name,
            images=image_tensor,
            masks=mask_tensor if mask_tensor.dtype == torch.bool else binary,
            case_ids=cases,
            patient_ids=cases if patient_ids is None else tuple(patient_ids),
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
        """The samples of a `folder` that :meth:`save` wrote, memory-mapped: pixels are read when they are used.

        Writing to the tensors changes them in memory, never on disk. Pickled samples are the path of the folder.

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
            images, masks = (
                torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c").view(np.ndarray))
                for name in ("images", "masks")
            )
            ids = tuple(stored.case_ids), tuple(stored.patient_ids)
            weights = torch.tensor(stored.weights, dtype=torch.float64)
            if compare_checksums and stored.checksums != _checksums(folder):
                raise ValueError("a checksum differs")
            samples = cls(stored.name, images, masks, *ids, weights, stored.preprocessing)
        except (OSError, ValueError, TypeError, EOFError) as error:
            problem = f"{folder}: the stored samples are damaged ({error})"
            raise DataError(problem, "delete this folder and save them again") from error
        object.__setattr__(samples, "_folder", folder)
        return samples

    def save(self, folder: str | Path) -> None:
        """Store the samples in a new or empty `folder`, which appears only when everything in it is written.

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
            stored.checksums = _checksums(partial)
            (partial / "samples.json").write_text(stored.model_dump_json(indent=1), encoding="utf-8")

    def reweighted(self, weights: Tensor) -> SegmentationSamples:
        """The samples under other `weights`, (n,) float64 >= 0; those of weight 0 are left out."""
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


def _checksums(folder: Path) -> dict[str, str]:
    return {name: sha256_of(folder / name) for name in ("images.npy", "masks.npy")}


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
    checksums: dict[str, str] = {}
