"""What a mask metric is: two functions and a name."""

from __future__ import annotations

from typing import Protocol, TypeVar

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples

S = TypeVar("S")


class MaskMetric(Protocol[S]):
    """d_Y of the paper's Eq. 3: how far apart the masks of two datasets are.

    Any object with these four members is one; nothing needs to be registered or inherited. Options belong to the
    object's own fields. `tests/laws.py` checks the laws that every metric has to obey.
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def power(self) -> float:
        """The power q that d_Y is raised to within the dataset distance; the paper uses 1 or 2."""
        ...

    def summarize(self, samples: SegmentationSamples, /) -> S:
        """What is computed once per dataset."""
        ...

    def compare(self, source: S, target: S, image_cost: Tensor, /) -> Tensor:
        """d_Y of every source and target sample, or one number for all of them.

        Args:
            source: summary of n samples.
            target: summary of m samples.
            image_cost: (n, m) float64, d_X of the same samples, for metrics that are built on it (the paper's Eq. 4).

        Returns:
            (n, m) or (1, 1) float64, >= 0, not raised to `power`.
        """
        ...
