"""Samples whose masks have several classes, and the binary dataset that each class is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.samples import LabeledImages, SegmentationSamples
from medsegdist.errors import DataError
from medsegdist.words import listed


@dataclass(frozen=True, eq=False, repr=False)
class MulticlassSamples(LabeledImages):
    """Images and one binary mask for each class, of one dataset on a common grid.

    Every class is a binary dataset of its own, one class against all others (Y_k in the paper's section 6.3): the
    samples that show it, with its masks. A class that is absent from some samples is normal. Use :meth:`from_arrays`
    for label maps of one's own.

    Args:
        masks: (n, k, *grid) bool, True on the class.
        classes: (k,) names of the classes, all different.

    Raises:
        DataError: shapes, types or weights are not as said, or a class has no name of its own.
    """

    classes: tuple[str, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        k, shape = len(self.classes), tuple(self.images.shape)
        if not k or len(set(self.classes)) < k:
            problem = f"expected at least one class, all named differently, found {k}: {list(self.classes)}."
            raise DataError(problem, dataset=self.name)
        if tuple(self.masks.shape) != (*shape[:1], k, *shape[1:]):
            raise DataError(
                f"expected masks (n, {k}, *grid) for images (n, *grid), one for each of the classes "
                f"{', '.join(self.classes)}, found {tuple(self.masks.shape)} and {shape}.",
                dataset=self.name,
            )
        # The rest is checked where it is checked for any dataset; no pixel is looked at.
        self._binary(self.name, self.masks[:, 0])

    @classmethod
    def from_arrays(
        cls,
        name: str,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor,
        classes: Mapping[str, int | Sequence[int]],
        **options: Any,
    ) -> MulticlassSamples:
        """Samples from label maps, with every value checked.

        Args:
            name: the dataset's name.
            images: (n, *grid) of any real dtype; converted to float32.
            labels: (n, *grid) label values.
            classes: label values of each class, by its name; all other values are background.
            **options: `case_ids`, `patient_ids`, `weights` and `preprocessing` of :class:`SegmentationSamples`.

        Raises:
            DataError: shapes differ, an intensity is NaN or infinite, a sample shows no class, or no sample a class.
        """
        label_maps = torch.as_tensor(labels)
        masks = [torch.isin(label_maps, torch.as_tensor(wanted).to(label_maps)) for wanted in classes.values()]
        if not masks:
            raise DataError("expected label values of at least one class, found none.", dataset=name)
        whole = SegmentationSamples.from_arrays(name, images, torch.stack(masks).any(0), **options)
        shared = (whole.case_ids, whole.patient_ids, whole.weights, whole.preprocessing)
        samples = cls(name, whole.images, torch.stack(masks, dim=1), *shared, classes=tuple(classes))
        samples.check_classes()
        return samples

    def _facts(self) -> dict[str, object]:
        return {**super()._facts(), "classes": listed(self.classes)}

    @cached_property
    def sizes(self) -> Tensor:
        """(n, k) int64 pixels of each class in each sample."""
        return torch.stack([mask.flatten(1).sum(1) for mask in self.masks])

    @property
    def shares(self) -> dict[str, float]:
        """How much of the foreground is of each class: its share of all classes' pixels, samples by their weights."""
        pixels = [float(self.mass @ size) for size in self.sizes.to(torch.float64).T.contiguous()]
        # fsum does not depend on the order of the classes.
        total = math.fsum(pixels)
        return {name: size / total for name, size in zip(self.classes, pixels, strict=True)}

    def check_classes(self) -> None:
        """Refuse a dataset that lacks one of its classes.

        Raises:
            DataError: a class is in no sample.
        """
        absent = ", ".join(repr(name) for name in self.classes if not len(self.shown(name)))
        if absent:
            problem = f"expected every class in some sample, found {absent} in none of {len(self)}"
            raise DataError(problem, "take more samples, or leave the class out", dataset=self.name)

    def shown(self, name: str) -> Tensor:
        """(s,) int64 indices of the samples that show the class `name`, in increasing order."""
        return (self.sizes[:, self.classes.index(name)] > 0).nonzero()[:, 0]

    @cached_property
    def by_class(self) -> dict[str, SegmentationSamples]:
        """The binary dataset of each class: the samples that show it, no copies where all do."""
        self.check_classes()
        found = {}
        for k, name in enumerate(self.classes):
            binary = self._binary(f"{self.name} ({name})", self.masks[:, k])
            shown = self.shown(name)
            found[name] = binary if len(shown) == len(self) else binary.take(shown.tolist())
        return found

    @cached_property
    def whole(self) -> SegmentationSamples:
        """All samples, with all classes as one foreground."""
        return replace(self._binary(self.name, self.masks.any(1)), case_summary=self.case_summary)

    def _binary(self, name: str, masks: Tensor) -> SegmentationSamples:
        return SegmentationSamples(
            name, self.images, masks, self.case_ids, self.patient_ids, self.weights, self.preprocessing
        )
