#!/usr/bin/env python
"""Whether two seeds fit the same mixtures, and how likely these are compared with scikit-learn's best of many starts.

    python scripts/mixture_seeds.py STUDY.yaml --out FOLDER

`mixture_seeds.csv` has a row per dataset, method and number of components:

- `seed_distance`: MW2 between the fits of the two seeds, as a share of the median MW2 to the other datasets.
- `likelihood_gap`: the mean log-likelihood of the first seed's fit less that of the second one's.
- `fit_spread`: the distance of the first fit to other optima that are nearly as likely, as the same share.
- `over_scikit_learn`: mean log-likelihood above the best of `--starts` fits of scikit-learn, both on `--points` points
  that are drawn from the pixels, each at a random place of its pixel and intensity bin.
- `seconds`: processor seconds of the first fit.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitLearnMixture

from medsegdist import load_samples, load_study
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.fit import MixtureFit, fit_mixture
from medsegdist.distance.mixture.gaussian import mixture_wasserstein
from medsegdist.distance.mixture.pixel_counts import PixelCounts, count_pixels
from medsegdist.parallel import map_ordered
from medsegdist.progress import show_progress

AGREE = 0.01
"""Share of the median distance that two seeds may differ by."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/mixture_seeds"), help="folder for the table")
    parser.add_argument("--cache", type=Path, help="folder for prepared samples; default: OUT/samples")
    parser.add_argument("--components", type=int, nargs="+", default=[3, 5, 8])
    parser.add_argument("--seeds", type=int, nargs=2, default=[0, 1])
    parser.add_argument("--starts", type=int, default=0, help="of scikit-learn; 0, the default, leaves it out")
    parser.add_argument("--points", type=int, default=2000, help="that are compared with scikit-learn")
    parser.add_argument("--workers", type=int, help="processes; default: as many as save time")
    options = parser.parse_args(arguments)

    study = load_study(options.study)
    with show_progress():
        samples = load_samples(study, cache=options.cache or options.out / "samples", workers=options.workers)
        tables = [
            compare_seeds(samples, intensity, components, options)
            for intensity in (False, True)
            for components in options.components
        ]
    table = pd.concat(tables, ignore_index=True)
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "mixture_seeds.csv", index=False)
    console = Console()
    console.print(table.to_string(index=False, float_format="{:.2g}".format))
    for (method, components), rows in table.groupby(["method", "components"], sort=False):
        apart = rows[rows["seed_distance"] > AGREE]
        behind = "" if options.starts == 0 else f"; {int((rows['over_scikit_learn'] < 0).sum())} below scikit-learn"
        console.print(
            f"{method}, {components} components: {len(apart)} of {len(rows)} datasets beyond {AGREE:.0%}{behind}."
        )


def compare_seeds(
    samples: Sequence[SegmentationSamples], intensity: bool, components: int, options: argparse.Namespace
) -> pd.DataFrame:
    """A row for each dataset, whose mixtures over (row, column) or (row, column, intensity) have so many components."""

    def of_dataset(one: SegmentationSamples) -> tuple[MixtureFit, MixtureFit, float, float | None]:
        pixels = count_pixels(one, intensity=intensity)
        start = time.process_time()
        first = fit_mixture(pixels, components, seed=options.seeds[0])
        seconds = time.process_time() - start
        second = fit_mixture(pixels, components, seed=options.seeds[1])
        ahead = over_scikit_learn(pixels, components, options.starts, options.points) if options.starts else None
        return first, second, seconds, ahead

    what = f"Mixtures of {components}, {'with' if intensity else 'without'} intensities"
    found = list(
        map_ordered(of_dataset, samples, workers=options.workers, description=what, name_of=lambda one: one.name)
    )
    rows = []
    for one, (first, second, seconds, ahead) in zip(samples, found, strict=True):
        others = [fits[0].mixture for fits in found if fits[0] is not first]
        usual = median(mixture_wasserstein(first.mixture, other) for other in others)
        rows.append(
            {
                "dataset": one.name,
                "method": "gmm3d" if intensity else "gmm2d",
                "components": components,
                "seed_distance": mixture_wasserstein(first.mixture, second.mixture) / usual,
                "likelihood_gap": first.log_likelihood - second.log_likelihood,
                "fit_spread": (first.mixture.fit_spread or 0.0) / usual,
                "over_scikit_learn": ahead,
                "seconds": seconds,
            }
        )
    return pd.DataFrame(rows)


def over_scikit_learn(pixels: PixelCounts, components: int, starts: int, count: int) -> float:
    """Mean log-likelihood of our fit above that of scikit-learn's best one, both on the same drawn points."""
    rng = np.random.default_rng(0)
    masses, widths = pixels.masses.cpu().numpy(), pixels.widths
    assert widths is not None  # PixelCounts sets them
    drawn = pixels.points.cpu().numpy()[rng.choice(len(pixels), size=count, p=masses)]
    points = drawn + rng.uniform(-0.5, 0.5, size=drawn.shape) * widths.cpu().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = ScikitLearnMixture(components, n_init=starts, tol=1e-5, max_iter=1000, random_state=0).fit(points)
    ours = fit_mixture(PixelCounts(torch.from_numpy(points), torch.ones(count, dtype=torch.float64)), components)
    return ours.log_likelihood - float(theirs.score(points))


if __name__ == "__main__":
    main()
