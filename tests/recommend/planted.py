"""A library whose order of sources follows from two features, and its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from medsegdist.distance.characteristics import CHARACTERISTICS
from medsegdist.recommend.library import Library
from medsegdist.recommend.pair_features import pair_features

NAMES = [f"d{k}" for k in range(12)]
FAMILIES = pd.Series({name: f"d{k // 2 * 2}" for k, name in enumerate(NAMES)})
METHODS = ("euclidean", "gmm3d", "fingerprint", "patches", "boundary")


def characteristics(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 2.0, (len(NAMES), len(CHARACTERISTICS)))
    table = pd.DataFrame(values, index=NAMES, columns=list(CHARACTERISTICS))
    return table.assign(samples=rng.integers(20, 200, len(NAMES)).astype(float), image_contrast=1.0)


def distances(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for target in NAMES:
        for source in NAMES:
            if source == target:
                continue
            image = rng.uniform(50, 100)
            for method in METHODS:
                mask = rng.uniform(1, 4)
                rows.append((source, target, method, image + mask, image, mask))
    return pd.DataFrame(rows, columns=["source", "target", "method", "distance", "image_term", "mask_term"])


def library(
    *,
    near: float = 0.1,
    contrast: float = 0.05,
    effect: float = 0.0,
    noise: float = 0.01,
    repetitions: int = 3,
    seed: int = 0,
) -> Library:
    """Sources gain by small terms of `boundary`, by contrast of their own, and by an effect of their own."""
    means, far = characteristics(seed), distances(seed)
    features = pair_features(far, means)
    rng = np.random.default_rng(seed + 1)
    of_source = pd.Series(rng.normal(size=len(NAMES)), index=NAMES)
    sources = features.index.get_level_values("source")
    signal = (
        0.5
        - near * features["term boundary"]
        + contrast * features["own contrast"]
        + effect * of_source[sources].to_numpy()
    )
    dice = pd.DataFrame(
        {k: signal + noise * rng.normal(size=len(signal)) for k in range(repetitions)}, index=features.index
    ).clip(0.01, 0.99)
    targets = features.index.unique("target")
    return Library(
        features=features,
        dice=dice,
        scratch=pd.Series(0.4, index=targets),
        pooled=pd.Series(0.5, index=targets),
        families=FAMILIES,
        characteristics=means,
        distances=far,
        step=100,
        scores=pd.DataFrame(columns=["source", "target", "method", "distance"]),
    )


def write(folder: Path, found: Library) -> None:
    """The files that `medsegdist rank` and `medsegdist transfer` would have written."""
    folder.mkdir(parents=True, exist_ok=True)
    table = found.distances.assign(
        low=None, high=None, noise_floor=None, rank=1, tied=False, n_source=10, n_target=10, optimality_gap=0.0
    )
    table.to_csv(folder / "distances.csv", index=False)
    means = found.characteristics.drop(columns="samples")
    long = means.rename_axis("dataset").reset_index().melt("dataset", var_name="characteristic", value_name="mean")
    long["family"] = found.families[long["dataset"]].to_numpy()
    long["samples"] = found.characteristics["samples"][long["dataset"]].to_numpy()
    long.assign(patients=5, unit="", deviation=0.0).to_csv(folder / "characteristics.csv", index=False)
    curves = []
    for step, share in ((50, 0.9), (100, 1.0)):
        for (target, source), row in found.dice.iterrows():
            curves += [(source, target, seed, step, share * dice, 0.4) for seed, dice in row.items()]
        curves += [("pooled", target, 0, step, share * dice, 0.4) for target, dice in found.pooled.items()]
    columns = ["source", "target", "seed", "step", "dice", "dice_baseline"]
    pd.DataFrame(curves, columns=columns).to_csv(folder / "learning_curves.csv", index=False)
