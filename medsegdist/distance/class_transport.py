"""Wasserstein distance between the images of classes: d_Y wherever a sample has a class (the paper's Eq. 4, 16)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from medsegdist.distance.fake_classes import numbered
from medsegdist.distance.transport import solve_transport


@dataclass(frozen=True, slots=True, eq=False)
class ClassedSamples:
    """Class and mass of every sample of one dataset.

    Args:
        classes: (n,) int64, 0 to the number of classes - 1.
        mass: (n,) float64, sums to 1.
    """

    classes: Tensor
    mass: Tensor

    def members(self) -> list[Tensor]:
        """For each class the indices of its samples."""
        return [(self.classes == c).nonzero()[:, 0] for c in range(int(self.classes.max()) + 1)]


def class_distances(source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, p: float) -> Tensor:
    """W_p between the images of the classes of every source and target sample.

    Exact optimal transport on the block of the image cost that belongs to each pair of classes.

    Args:
        source: n samples.
        target: m samples.
        image_cost: (n, m) float64.
        p: order >= 1 of the Wasserstein distance.

    Returns:
        (n, m) float64 in the unit of the image cost, constant within a pair of classes.
    """
    source_members, target_members = source.members(), target.members()
    between = image_cost.new_zeros((len(source_members), len(target_members)))
    for i, rows in enumerate(source_members):
        for j, columns in enumerate(target_members):
            block = image_cost[rows][:, columns] ** p
            transport = solve_transport(block, source.mass[rows], target.mass[columns])
            between[i, j] = transport.value ** (1 / p)
    return between[source.classes][:, target.classes]


def drawn_classes(classes: Iterable[Tensor], weights: Tensor) -> list[ClassedSamples]:
    """The samples that are there under each of many weights, with their classes.

    Args:
        classes: r times the (n,) int64 classes of all samples.
        weights: (r, n) float64; a sample of weight 0 is not there.
    """
    found = []
    for of_sample, row in zip(classes, weights, strict=True):
        drawn = row > 0
        found.append(ClassedSamples(classes=numbered(of_sample[drawn]), mass=row[drawn] / row.sum()))
    return found
