"""What a mask metric is: two functions and a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


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
        """What is computed once per dataset.

        Args:
            samples: n samples of one dataset.

        Returns:
            Whatever `compare` needs of them, of whatever type.
        """
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


@runtime_checkable
class PairwiseMetric(Protocol):
    """A mask metric whose d_Y(k, l) depends on the samples k and l alone.

    Where patients are drawn anew, d_Y is then a choice of rows and columns, and nothing is compared again.
    """

    @property
    def pairwise(self) -> Literal[True]:
        """Says so."""
        ...


@runtime_checkable
class BlockwiseMetric(Protocol):
    """A mask metric that compares in blocks, whose size bounds the memory."""

    def in_blocks_of(self, block_bytes: int) -> MaskMetric[Any]:
        """The same metric with blocks that take no more than `block_bytes`."""
        ...


@runtime_checkable
class RepeatableMetric(Protocol[S_contra]):
    """A mask metric that compares replicates of two datasets in a cheaper way."""

    def repeated(self, source: S_contra, target: S_contra, /) -> Callable[[Any, Any], Tensor]:
        """What compares replicates of two datasets as :meth:`MaskMetric.compare` does, to a (1, 1) number on the CPU.

        It may be coarser, for of replicates only the differences count.

        Args:
            source: summary of the one dataset, with all of its patients.
            target: summary of the other one.
        """
        ...


@runtime_checkable
class DemandingMetric(Protocol):
    """A mask metric that takes memory while it compares, however small its blocks are."""

    def least_bytes(self, grid: Sequence[int]) -> int:
        """What `compare` takes at most, besides its blocks, its (n, m) result and two more such matrices.

        Args:
            grid: size of the samples, ([slices,] rows, columns).
        """
        ...


@runtime_checkable
class ResamplingMetric(Protocol[S]):
    """A mask metric that knows a short way to the summaries of a dataset whose patients are drawn anew.

    Without it, every replicate is summarized like a dataset of its own.
    """

    def resummarize(self, samples: SegmentationSamples, summary: S, weights: Tensor, /) -> Sequence[S]:
        """Summaries of the same samples under other weights.

        Args:
            samples: n samples.
            summary: `summarize(samples)`.
            weights: (r, n) float64 on the CPU; a sample of weight 0 is not there.

        Returns:
            r summaries, each of the samples that are there.
        """
        ...
