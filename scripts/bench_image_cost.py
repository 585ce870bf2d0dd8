#!/usr/bin/env python
"""The whole `euclidean` distance against two `ot.dist` and one `ot.emd2`, on the same slices with as many iterations.

    python scripts/bench_image_cost.py [--quick] [--samples N] [--rows ROWS]

GeomLoss and OTT-JAX, where they are installed, compute their regularized transports of the images alone; next to them
stands the exact one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import ot
import torch
from _bench import lesions, one_thread, peak_of, seconds_of, show

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import image_cost
from medsegdist.distance.metrics import EuclideanMetric
from medsegdist.distance.transport import MAX_ITERATIONS, solve_transport


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--samples", type=int, default=2000, help="n = m")
    parser.add_argument("--rows", type=int, default=256, help="of a square slice")
    options = parser.parse_args(arguments)
    n, rows = (30, 32) if options.quick else (options.samples, options.rows)
    a = lesions("a", n=n, rows=rows, radius=rows / 12, seed=0)
    b = lesions("b", n=n, rows=rows, radius=rows / 10, seed=1, center=(0.4, 0.55))
    distance = DatasetDistance(EuclideanMetric(), max_samples=n)
    with one_thread():
        ((found, here), peak_here) = peak_of(lambda: seconds_of(lambda: distance(a, b)))
        (_, cost_here), peak_cost = peak_of(lambda: seconds_of(lambda: image_cost(a.images, b.images)))
        ((expected, there), peak_there) = peak_of(lambda: seconds_of(lambda: _with_pot(a, b)))
        (_, cost_there), _ = peak_of(lambda: seconds_of(lambda: ot.dist(_flat(a), _flat(b), metric="euclidean")))
        regularized = _regularized(a, b)
    matrix = 8 * n * n / 2**20
    samples = (a.images.nbytes + b.images.nbytes + a.masks.nbytes + b.masks.nbytes) / 2**20
    text = f"whole distance (relative difference {abs(found.value / expected - 1):.1g}, gap {found.optimality_gap:.1g})"
    show(
        f"euclidean, n = m = {n} slices of {rows} x {rows}, processor seconds",
        [
            (text, f"{here:.1f} s", f"{there:.1f} s", f"{there / here:.2f}x", ">= 3x, <= 1e-6"),
            ("image cost alone", f"{cost_here:.1f} s", f"{cost_there:.1f} s", f"{cost_there / cost_here:.2f}x", ""),
            _memory("memory without the samples, whole", peak_here, peak_there, matrix),
            _memory("memory without the samples, image cost alone", peak_cost, None, matrix),
        ],
        ("POT",),
        [
            f"The samples take {samples:.0f} MiB, a cost matrix {matrix:.0f} MiB, a block of pixels 32 MiB.",
            *regularized,
        ],
    )


def _memory(work: str, here: float | None, there: float | None, matrix: float) -> tuple[object, ...]:
    text = ["" if peak is None else f"{peak:.0f} MiB" for peak in (here, there)]
    return work, *text, "" if here is None else f"{here / matrix:.1f} matrices", "<= 1.5 + block"


def _flat(samples: SegmentationSamples) -> np.ndarray:
    return samples.images.flatten(1).double().numpy()


def _with_pot(a: SegmentationSamples, b: SegmentationSamples) -> float:
    cost = ot.dist(_flat(a), _flat(b), metric="euclidean")
    segments = [torch.where(one.masks, one.images + 1, 0.0).flatten(1).double().numpy() for one in (a, b)]
    cost += ot.dist(*segments, metric="euclidean")
    mass = [one.mass.numpy() for one in (a, b)]
    return float(ot.emd2(*mass, cost, numItermax=MAX_ITERATIONS))


def _regularized(a: SegmentationSamples, b: SegmentationSamples) -> list[str]:
    """What other libraries make of the distance of the images alone, with a blur of 1 % of the mean cost."""

    def exactly() -> tuple[float, float]:
        cost = image_cost(a.images, b.images)
        return solve_transport(cost, a.weights, b.weights).value, 0.01 * float(cost.mean())

    (exact, blur), seconds = seconds_of(exactly)
    text = [f"Images alone, exact, here: {seconds:.1f} s."]
    for package, solve in (("geomloss", _with_geomloss), ("ott-jax", _with_ott)):
        try:
            found = version(package)
        except PackageNotFoundError:
            text.append(f"Images alone, {package}: not installed.")
            continue
        value, seconds = seconds_of(partial(solve, a, b, blur))
        text.append(f"Images alone, {package} {found}: {seconds:.1f} s, {value / exact - 1:+.2%} of the optimum.")
    return text


def _with_geomloss(a: SegmentationSamples, b: SegmentationSamples, blur: float) -> float:
    from geomloss import SamplesLoss

    loss = SamplesLoss("sinkhorn", p=1, blur=blur, backend="tensorized")
    return float(loss(*(part for one in (a, b) for part in (one.mass, one.images.flatten(1).double()))))


def _with_ott(a: SegmentationSamples, b: SegmentationSamples, blur: float) -> float:
    import jax
    from ott.geometry import costs, pointcloud
    from ott.solvers import linear

    with jax.enable_x64(True):
        cost = pointcloud.PointCloud(_flat(a), _flat(b), cost_fn=costs.Euclidean(), epsilon=blur)
        return float(linear.solve(cost, a.mass.numpy(), b.mass.numpy(), max_iterations=10_000).primal_cost)


if __name__ == "__main__":
    main()
