"""Training that must prove itself: a network that learned nothing is no pre-training and no baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import ConvergenceError
from medsegdist.transfer.plan import Recipe
from medsegdist.transfer.splits import Split
from medsegdist.transfer.training import TrainingResult, train


@dataclass(frozen=True, slots=True, eq=False)
class ProvenResult:
    """A training and whether it learned anything.

    Args:
        training: the one that counts, which is the second one if there were two.
        converged: its own validation Dice reached the floor.
        hardened: it is the second one, with :func:`hardened` as its recipe.
    """

    training: TrainingResult
    converged: bool
    hardened: bool


def hardened(recipe: Recipe) -> Recipe:
    """The recipe with which a collapsed training is repeated.

    Dice alone has hardly any gradient where a network marks nothing at all; cross-entropy has, and batches with more
    foreground give it more to go by.
    """
    return replace(recipe, balanced=True, loss="dice_ce")


def train_proven(
    samples: SegmentationSamples,
    split: Split,
    recipe: Recipe,
    *,
    floor: float,
    seed: int,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    **options: Any,
) -> ProvenResult:
    """Train, and once more with a hardened recipe if the network did not learn.

    Args:
        samples: as for :func:`~medsegdist.transfer.training.train`.
        split: as for `train`.
        recipe: of the first training.
        floor: validation Dice that a network must reach.
        seed: of both.
        checkpoint: of the first training; that of the second one lies beside it.
        identity: as for `train`.
        options: as for `train`.

    Raises:
        ConvergenceError: the loss of the second training is not finite, too.
        MedSegDistError: as for `train`.
    """
    try:
        first = train(samples, split, recipe, seed=seed, checkpoint=checkpoint, identity=identity, **options)
    except ConvergenceError:
        first = None
    if first is not None and first.dice >= floor:
        return ProvenResult(first, converged=True, hardened=False)
    beside = None if checkpoint is None else second_checkpoint(checkpoint)
    again = train(samples, split, hardened(recipe), seed=seed, checkpoint=beside, identity=identity, **options)
    return ProvenResult(again, converged=again.dice >= floor, hardened=True)


def second_checkpoint(checkpoint: Path) -> Path:
    """Where the second training leaves its state."""
    return checkpoint.with_name(f"{checkpoint.stem}.second{checkpoint.suffix}")
