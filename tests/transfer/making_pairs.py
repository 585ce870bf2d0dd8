"""Pairs and files for the tests of agreement."""

import numpy as np

from medsegdist.transfer.gains import TransferPair


def pairs_of(distances, gains, *, targets=None, sources=None):
    """Pairs from columns; every pair has a source of its own unless sources are given."""
    n = len(distances)
    targets = targets or ["target"] * n
    sources = sources or [f"source {k}" for k in range(n)]
    return [
        TransferPair(source, target, float(distance), float(gain))
        for source, target, distance, gain in zip(sources, targets, distances, gains, strict=True)
    ]


def random_pairs(n=12, *, seed=0, slope=-2.0, noise=1.0):
    rng = np.random.default_rng(seed)
    distance = rng.uniform(1, 5, n)
    return pairs_of(distance, 10 + slope * distance + noise * rng.normal(size=n))


def crossed_pairs(sources=5, targets=2, *, seed=0, slope=-2.0, noise=1.0):
    """Every source with every target."""
    rng = np.random.default_rng(seed)
    rows = [(f"s{i}", f"t{j}") for j in range(targets) for i in range(sources)]
    distance = rng.uniform(1, 5, len(rows))
    gain = 10 + slope * distance + noise * rng.normal(size=len(rows))
    return pairs_of(distance, gain, targets=[t for _, t in rows], sources=[s for s, _ in rows])


def write_csv(path, text):
    path.write_text(text.strip() + "\n", encoding="utf-8")
    return path
