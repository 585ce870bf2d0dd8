#!/usr/bin/env python
"""The five methods together against each alone, the price of a bootstrap, and how the time grows.

python scripts/bench_methods.py [--quick] [--samples N] [--rows ROWS] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from _bench import lesions, machine, one_thread, seconds_of, show

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PAPER_METHODS, make_metric
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all

METHODS = {name: DatasetDistance(make_metric(name)) for name in PAPER_METHODS}
FACTORS = {"samples": (1, 2, 4), "pixels": (1, 2, 4), "datasets": (1, 2)}
Growth = dict[str, list[tuple[float, float]]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--samples", type=int, default=200, help="of each dataset")
    parser.add_argument("--rows", type=int, default=128, help="of a square slice")
    parser.add_argument("--replicates", type=int, default=200, help="of the bootstrap")
    parser.add_argument("--plot", type=Path, help="where to draw how the time grows")
    options = parser.parse_args(arguments)
    n, rows, replicates = (16, 32, 3) if options.quick else (options.samples, options.rows, options.replicates)
    with one_thread():
        compare_all(_datasets(2, 8, 32), {"euclidean": METHODS["euclidean"]})  # libraries are loaded once
        pair = _datasets(2, n, rows)
        alone = {name: _seconds(pair, {name: method}) for name, method in METHODS.items()}
        together = _seconds(pair, METHODS)
        resampled = {name: _seconds(pair, {name: method}, Bootstrap(replicates)) for name, method in METHODS.items()}
        growth = _growth(n // 2, rows // 2, options.quick)
    slowest = max(alone, key=lambda name: alone[name])
    table = [
        (
            f"all five against the slowest ({slowest})",
            f"{together:.1f} s",
            f"{alone[slowest]:.1f} s",
            f"{together / alone[slowest]:.2f}",
            "<= 1.5",
        ),
        (
            "all five against the sum of each alone",
            f"{together:.1f} s",
            f"{sum(alone.values()):.1f} s",
            f"{together / sum(alone.values()):.2f}",
            "",
        ),
        *(
            (
                f"{name}, with {replicates} replicates and noise floors, against one distance",
                f"{resampled[name]:.1f} s",
                f"{alone[name]:.1f} s",
                f"{resampled[name] / alone[name]:.1f}",
                "<= 20",
            )
            for name in METHODS
        ),
        *(
            (f"all five, grows with {what}: {_sizes(points)}", "", "", f"power {_power(points):.2f}", "")
            for what, points in growth.items()
        ),
    ]
    title = f"Two datasets of {n} slices of {rows} x {rows}, processor seconds"
    show(title, table, ("scikit-learn", "POT"), ratio="here / there")
    if options.plot is not None:
        _draw(growth, options.plot)


def _datasets(count: int, n: int, rows: int) -> list[SegmentationSamples]:
    centers = np.linspace(0.35, 0.65, count)
    return [
        lesions(f"d{k}", n=n, rows=rows, radius=rows / 12, seed=k, center=(center, center))
        for k, center in enumerate(centers.tolist())
    ]


def _seconds(
    datasets: Sequence[SegmentationSamples],
    methods: Mapping[str, DatasetDistance],
    bootstrap: Bootstrap | None = None,
) -> float:
    return seconds_of(lambda: compare_all(datasets, methods, bootstrap=bootstrap))[1]


def _growth(n: int, rows: int, quick: bool) -> Growth:
    """Seconds of all five methods by samples, by pixels and by datasets."""
    found: Growth = {}
    for what, factors in FACTORS.items():
        found[what] = []
        for factor in factors[:1] if quick else factors:
            count = 2 * factor if what == "datasets" else 2
            samples = n * factor if what == "samples" else n
            side = rows * factor if what == "pixels" else rows
            size = {"samples": samples, "pixels": side**2, "datasets": count}[what]
            found[what].append((size, _seconds(_datasets(count, samples, side), METHODS)))
    return found


def _sizes(points: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{size:g} in {seconds:.1f} s" for size, seconds in points)


def _power(points: Sequence[tuple[float, float]]) -> float:
    if len(points) < 2:
        return float("nan")
    size, seconds = np.log(np.array(points)).T
    return float(np.polyfit(size, seconds, 1)[0])


def _draw(growth: Growth, file: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, (what, points) in zip(figure.subplots(1, len(growth), sharey=True), growth.items(), strict=True):
        sizes, seconds = zip(*points, strict=True)
        axes.loglog(sizes, seconds, marker="o")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axes.set(xlabel=what, title=f"grows as {what} ** {_power(points):.2f}")
    figure.supylabel("processor seconds, five methods")
    figure.text(0, -0.04, machine(()), fontsize=7)
    figure.savefig(file, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
