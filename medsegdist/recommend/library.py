"""Transfers that were measured: what a ranking learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.recommend.pair_features import pair_features
from medsegdist.transfer.agreement import read_characteristics
from medsegdist.transfer.gains import read_distances
from medsegdist.transfer.outcomes import read_curve
from medsegdist.transfer.plan import POOLED

LEARNABLE = 0.2
"""A target on which no source reaches this mean Dice is left out: nothing is learned there, whatever the source."""

REMEDY = "run `medsegdist rank` and `medsegdist transfer` of one study into this folder"

FEWEST_SOURCES = 3  # a target with fewer sources says nothing of their order


@dataclass(frozen=True, slots=True)
class Library:
    """What pre-training on each source brought each target.

    Args:
        features: of :func:`~medsegdist.recommend.pair_features.pair_features`, a row per target and source.
        dice: (rows, seeds) test Dice of each repetition, NaN where one is missing; the rows of `features`.
        scratch: mean test Dice from scratch for as many steps, by target.
        pooled: that after pre-training on all sources together, by target; empty if it was not tried.
        families: the family of each dataset, by name.
        characteristics: a row per dataset.
        distances: columns source, target, method, distance, image_term and mask_term.
        step: steps of fine-tuning after which Dice was measured.
        scores: of the pre-trained networks, less is better: columns source, target, method and distance.
        unlearned: targets that were left out, since no source reaches a mean Dice of 0.2.
    """

    features: pd.DataFrame
    dice: pd.DataFrame
    scratch: pd.Series
    pooled: pd.Series
    families: pd.Series
    characteristics: pd.DataFrame
    distances: pd.DataFrame
    step: int
    scores: pd.DataFrame
    unlearned: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(map(str, self.features.index.unique("target")))

    @property
    def ranks(self) -> pd.Series:
        """Rank of each source's mean Dice within its target, from -1 for the worst to 1 for the best."""
        return ranks_of(self.dice.mean(axis=1))


def ranks_of(dice: pd.Series) -> pd.Series:
    """Rank of each source within its target, from -1 for the worst to 1 for the best."""
    by_target = dice.groupby(level="target")
    ranks: pd.Series = 2 * (by_target.rank() - 1) / (by_target.transform("size") - 1) - 1
    return ranks


def read_library(folder: str | Path, *, step: int | None = None, curves: str = "learning_curves.csv") -> Library:
    """The transfers of a folder that `medsegdist rank` and `medsegdist transfer` wrote.

    Args:
        folder: with distances.csv, characteristics.csv and learning_curves.csv; a scores.csv is read, too.
        step: of fine-tuning, one of those in learning_curves.csv; None takes the last.
        curves: the file with test Dice, where it is another one.

    Raises:
        DataError: a file is missing or damaged, there is no such step, or too little was measured to learn from.
    """
    folder = Path(folder)
    for name in ("distances.csv", "characteristics.csv", curves):
        if not (folder / name).exists():
            raise DataError(f"{folder / name}: expected a table, found no such file", REMEDY)
    points = pd.DataFrame(read_curve(folder / curves, step=step))
    means, datasets = read_characteristics(folder / "characteristics.csv")
    characteristics = means.assign(samples=datasets["samples"])
    distances = DistanceTable.load(folder / "distances.csv").to_frame()
    dice = points.pivot(index=["target", "source"], columns="seed", values="dice")
    pooled = dice[dice.index.get_level_values("source") == POOLED].mean(axis=1).droplevel("source")
    dice = dice[dice.index.get_level_values("source") != POOLED]
    best = dice.mean(axis=1).groupby(level="target").max()
    unlearned = tuple(str(name) for name in best.index[best < LEARNABLE])
    features = pair_features(distances, characteristics)
    rows = features.index.intersection(dice.index)
    targets = rows.get_level_values("target")
    counts = targets.value_counts().loc[targets].to_numpy()
    rows = rows[~targets.isin(unlearned) & (counts >= FEWEST_SOURCES)]
    if (found := rows.unique("target").size) < 2:
        raise DataError(
            f"{folder}: expected distances and Dice of at least 2 targets with {FEWEST_SOURCES} sources each, found "
            f"those of {found}",
            REMEDY,
        )
    # Features are centered within the sources that were measured.
    features = features.loc[rows]
    features = features - features.groupby(level="target").transform("mean")
    scores = read_distances(folder / "scores.csv") if (folder / "scores.csv").exists() else []
    return Library(
        features=features,
        dice=dice.loc[rows],
        scratch=points.groupby("target")["dice_baseline"].mean(),
        pooled=pooled,
        families=datasets["family"],
        characteristics=characteristics,
        distances=distances,
        step=int(points["step"].iloc[0]),
        unlearned=unlearned,
        scores=pd.DataFrame(scores, columns=["source", "target", "method", "distance"]),
    )


def read_libraries(folders: Sequence[str | Path], *, step: int | None = None) -> Library:
    """The transfers of several folders together; datasets of equal names are the same."""
    found = [read_library(folder, step=step) for folder in folders]
    steps = sorted({one.step for one in found})
    if len(steps) > 1:
        raise DataError(f"expected the same steps of fine-tuning, found {steps}", "choose some that all have by --step")
    together = {
        name: pd.concat([getattr(one, name) for one in found])
        for name in ("features", "dice", "scratch", "pooled", "families", "characteristics", "distances", "scores")
    }
    rows = together["features"].index
    if rows.has_duplicates:
        target, source = rows[rows.duplicated()][0]
        raise DataError(f"expected each source and target once, found '{source}' for '{target}' in two folders")
    # The first folder that describes a dataset is the one that counts.
    for name in ("scratch", "pooled", "families", "characteristics"):
        together[name] = together[name][~together[name].index.duplicated()]
    unlearned = tuple(name for one in found for name in one.unlearned)
    return Library(**together, step=steps[0], unlearned=unlearned)
