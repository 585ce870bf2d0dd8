#!/usr/bin/env python
"""Gaussian mixtures of segment pixels against scikit-learn, and MW2 against POT.

    python scripts/bench_mixtures.py [--quick] [--repeats 3] [--pixels-2d MILLIONS] [--pixels-3d MILLIONS]

Ours searches among many starts; scikit-learn makes one fit of one start, with its default tolerance of 1e-3. A step of
it takes time in proportion to the pixels, so it fits every tenth pixel, and "there" is ten times what that took. The
likelihoods are of these pixels, the ones it fitted. The least of some runs counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import ot.gmm
import torch
from _bench import lesions, one_thread, seconds_of, show
from sklearn.mixture import GaussianMixture as ScikitMixture

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.fit import fit_mixture
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wasserstein
from medsegdist.distance.mixture.pixel_counts import PixelCounts, count_pixels

PART = 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind")
    parser.add_argument("--pixels-2d", type=float, default=20, help="segment pixels in millions")
    parser.add_argument("--pixels-3d", type=float, default=5, help="segment pixels in millions")
    options = parser.parse_args(arguments)
    rows, mixtures = [], []
    with one_thread():
        for intensity, millions, target in ((False, options.pixels_2d, 100), (True, options.pixels_3d, 20)):
            samples = _samples(0.02 if options.quick else millions)
            found, row = _fits(samples, intensity, target, options.repeats)
            mixtures.append(found)
            rows.append(row)
        rows.append(_transports(mixtures[1], _samples(0.02 if options.quick else 1, center=(0.4, 0.6))))
    show("Mixtures of 5 components, processor seconds", rows, ("scikit-learn", "POT"))


def _samples(millions: float, center: tuple[float, float] = (0.5, 0.5)) -> SegmentationSamples:
    """256 x 256 slices with about so many segment pixels in all."""
    one = lesions("probe", n=40, rows=256, radius=40, seed=0, center=center)
    return lesions(
        "lesions",
        n=max(8, round(40 * millions * 1e6 / int(one.masks.sum()))),
        rows=256,
        radius=40,
        seed=1,
        center=center,
    )


def _fits(
    samples: SegmentationSamples, intensity: bool, target: int, repeats: int
) -> tuple[GaussianMixture, tuple[object, ...]]:
    def ours() -> GaussianMixture:
        return fit_mixture(count_pixels(samples, intensity=intensity), 5, seed=0).mixture

    points = samples.masks.nonzero()[:, 1:].double()
    if intensity:
        points = torch.cat([points, samples.images[samples.masks].double()[:, None]], 1)
    pixels, points = len(points), points[::PART].clone()
    runs = [(seconds_of(ours), seconds_of(lambda: _scikit(points))) for _ in range(repeats)]
    (mixture, here), (scikit, there) = (min(side, key=lambda run: run[1]) for side in zip(*runs, strict=True))
    there *= pixels / len(points)
    theirs = GaussianMixture(*(torch.from_numpy(x) for x in (scikit.weights_, scikit.means_, scikit.covariances_)))
    counts = PixelCounts(points, torch.ones(len(points), dtype=torch.float64))
    better = mixture.log_likelihood(counts) - theirs.log_likelihood(counts)
    work = (
        f"{'3D' if intensity else '2D'} fit, {pixels / 1e6:.3g} M pixels, against {PART} times one scikit-learn fit of "
        f"{len(points) / 1e6:.3g} M ({scikit.n_iter_} steps; mean log-likelihood {better:+.2g})"
    )
    return mixture, (work, f"{here:.2f} s", f"{there:.1f} s", f"{there / here:.1f}x", f">= {target}x")


def _scikit(points: torch.Tensor) -> ScikitMixture:
    return ScikitMixture(5, random_state=0).fit(points.numpy())


def _transports(one: GaussianMixture, samples: SegmentationSamples) -> tuple[object, ...]:
    other = fit_mixture(count_pixels(samples, intensity=True), 5, seed=0).mixture
    arrays = [getattr(m, n).numpy() for n in ("means", "covariances", "weights") for m in (one, other)]
    times = 200
    ours, here = seconds_of(lambda: [mixture_wasserstein(one, other) ** 2 for _ in range(times)])
    theirs, there = seconds_of(lambda: [float(ot.gmm.gmm_ot_loss(*arrays)) for _ in range(times)])
    work = f"MW2 squared, 5 and 5 components, against ot.gmm (relative difference {abs(ours[0] / theirs[0] - 1):.1g})"
    return work, f"{1e3 * here / times:.2f} ms", f"{1e3 * there / times:.2f} ms", f"{there / here:.1f}x", "equal"


if __name__ == "__main__":
    main()
