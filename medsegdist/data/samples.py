"""The one type that every distance reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medsegdist.errors import DataError


class Origin(Protocol):
    """Where samples can be had again from, in any process."""

    def load(self) -> SegmentationSamples:
        """The samples."""
        ...

    def take(self, indices: Sequence[int]) -> Origin:
        """Where the samples at `indices` can be had from."""
        ...

    def to(self, device: str) -> Origin:
        """Where the samples on `device` can be had from."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationSamples:
    """Images and binary masks of one dataset on a common grid, ready to be compared.

    A grid is (rows, columns) for slices or (slices, rows, columns) for volumes. Use :meth:`from_arrays` for arrays
    of one's own: it checks values too, where this constructor looks at shapes only (the arrays may be memory-mapped).

    Stored samples are pickled as the name of their directory, others as a whole.

    Args:
        name: the dataset's name, for tables and messages.
        images: (n, *grid) float32 intensities.
        masks: (n, *grid) bool, True on the foreground.
        case_ids: (n,) the case each sample was taken from.
        patient_ids: (n,) whom each sample shows.
        weights: (n,) float64, positive; only their ratios matter.
        preprocessing: fingerprint of how the samples were made; datasets with different ones cannot be compared.

    Raises:
        DataError: shapes or types are not as said, or a weight is not positive and finite.
    """

    name: str
    images: Tensor
    masks: Tensor
    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    weights: Tensor
    preprocessing: str
    _origin: Origin | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) not in (3, 4) or shape[0] == 0:
            raise DataError(
                f"dataset '{self.name}': expected images of shape (n, rows, columns) or (n, slices, rows, columns) "
                f"with n >= 1, found {shape}."
            )
        if tuple(self.masks.shape) != shape:
            raise DataError(f"dataset '{self.name}': images have shape {shape} but masks {tuple(self.masks.shape)}.")
        if self.images.dtype != torch.float32 or self.masks.dtype != torch.bool:
            raise DataError(
                f"dataset '{self.name}': expected float32 images and bool masks, "
                f"found {self.images.dtype} and {self.masks.dtype}."
            )
        if self.weights.dtype != torch.float64:
            raise DataError(f"dataset '{self.name}': expected float64 weights, found {self.weights.dtype}.")
        for what, found in (
            ("case_ids", len(self.case_ids)),
            ("patient_ids", len(self.patient_ids)),
            ("weights", self.weights.numel()),
        ):
            if found != shape[0]:
                raise DataError(f"dataset '{self.name}': {shape[0]} samples but {found} {what}.")
        if not bool(torch.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise DataError(f"dataset '{self.name}': every weight must be positive and finite.")

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
            weights=torch.ones(n, dtype=torch.float64)
            if weights is None
            else torch.as_tensor(weights, dtype=torch.float64),
            preprocessing=preprocessing,
        )
        for k in range(n):
            if not bool(torch.isfinite(samples.images[k]).all()):
                raise DataError(f"dataset '{name}', case '{cases[k]}': the image holds NaN or infinite values.")
            if not bool(samples.masks[k].any()):
                raise DataError(
                    f"dataset '{name}', case '{cases[k]}': the mask is empty; every sample needs a segment."
                )
        return samples

    def __len__(self) -> int:
        return len(self.images)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._origin is not None:
            return self._origin.load, ()
        return object.__reduce_ex__(self, protocol)

    def with_origin(self, origin: Origin | None) -> SegmentationSamples:
        """These samples, which `origin` gives again wherever they are unpickled."""
        samples = replace(self)
        object.__setattr__(samples, "_origin", origin)
        return samples

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

    def to(self, device: torch.device | str) -> SegmentationSamples:
        """The same samples with their tensors on `device`."""
        return SegmentationSamples(
            name=self.name,
            images=self.images.to(device),
            masks=self.masks.to(device),
            case_ids=self.case_ids,
            patient_ids=self.patient_ids,
            weights=self.weights.to(device),
            preprocessing=self.preprocessing,
        ).with_origin(None if self._origin is None else self._origin.to(str(device)))

    def take(self, indices: Sequence[int]) -> SegmentationSamples:
        """The samples at `indices`, in that order."""
        index = torch.as_tensor(list(indices), dtype=torch.int64, device=self.images.device)
        return SegmentationSamples(
            name=self.name,
            images=self.images[index],
            masks=self.masks[index],
            case_ids=tuple(self.case_ids[k] for k in indices),
            patient_ids=tuple(self.patient_ids[k] for k in indices),
            weights=self.weights[index],
            preprocessing=self.preprocessing,
        ).with_origin(None if self._origin is None else self._origin.take(indices))

    def spread(self, k: int, *, seed: int = 0) -> SegmentationSamples:
        """At most `k` samples, spread evenly over the patients; the samples themselves if there are no more.

        Args:
            k: the most samples, >= 1.
            seed: seed of the choice, >= 0.

        Raises:
            ValueError: k is less than 1.
        """
        if len(self) <= k:
            return self
        return self.take(spread_over_patients(self.patient_ids, k, seed))


def spread_over_patients(patient_ids: Sequence[str], k: int, seed: int) -> list[int]:
    """Indices of at most k samples, spread over the patients as evenly as their numbers allow.

    No patient gives two samples more than another one that still has some left. Which samples of a patient, and
    which patients where the number does not come out even, is random.

    Args:
        patient_ids: (n,) whom each sample shows.
        k: how many samples to choose, >= 1.
        seed: seed of the choice, >= 0.

    Returns:
        min(k, n) different indices in increasing order.

    Raises:
        ValueError: k < 1.
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
        raise DataError(f"dataset '{name}': expected masks of 0 and 1, found other values; binarize them first.")
    return binary
