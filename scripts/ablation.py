#!/usr/bin/env python
"""How much the paper's choices matter (its Sec. 6.2): components, clusters, features.

    python scripts/ablation.py [STUDY.yaml] --out FOLDER

Every source of the study is compared with every target again for each choice, all else as in the paper. `ablation.csv`
and `ablation.png` show what that does to the distances and to the order of the sources.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kendalltau

from medsegdist import (
    DatasetDistance,
    FakeClassMetric,
    GmmMetric,
    MaskMetric,
    load_samples,
    load_study,
)
from medsegdist.distance.image_cost import ImagePair, pair_images

Pair = tuple[str, str]


@dataclass(frozen=True)
class Variant:
    """One choice: its family, how it is called, and the metric. The first of a family is the paper's."""

    family: str
    name: str
    metric: MaskMetric[Any]


@dataclass(frozen=True)
class Outcome:
    """What a choice does; a row of ablation.csv."""

    family: str
    choice: str
    kendall_tau: float
    change_percent: float
    mask_change_percent: float
    seconds: float


def variants(seed: int, quick: bool) -> Iterator[Variant]:
    gmm, classes = GmmMetric(seed=seed), FakeClassMetric(seed=seed)
    if quick:
        gmm = replace(gmm, components=2)
    numbers = (1,) if quick else (1, 2, 3, 4, 6, 7, 8, 9, 10, "bic", "elbow", "silhouette")
    for number in (gmm.components, *numbers):
        yield Variant("gmm3d: components", str(number), replace(gmm, components=number))
    for number in (3, 2) if quick else (3, 2, 4, 5, 6, 7, 8, "elbow", "bic", "gap"):
        yield Variant("fake classes: number", str(number), replace(classes, classes=number))
    groups = (("shape", "location"), ("shape",), ("location",), ("texture",), ("shape", "texture"))
    for names in (*groups, ("shape", "location", "texture"))[: 2 if quick else None]:
        yield Variant("fake classes: features", " + ".join(names), replace(classes, features=names))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo = Path(__file__).parents[1] / "data_manifests" / "demo.yaml"
    parser.add_argument("study", type=Path, nargs="?", default=demo, help="default: the demo's")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"), help="folder for the table and the figure")
    parser.add_argument("--cache", type=Path, help="folder for prepared samples; default: OUT/samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few choices, to see whether it runs")
    options = parser.parse_args(arguments)

    study = load_study(options.study)
    cache = options.cache or options.out / "samples"
    samples = {
        manifest.name: load_samples(manifest, study.preprocessing, cache=cache)
        for manifest in track(study.datasets, "Reading", transient=True)
    }
    pairs = [(source, target) for target in study.targets for source in study.sources_of(target)]
    images = {pair: pair_images(samples[pair[0]], samples[pair[1]]) for pair in pairs}

    outcomes: list[Outcome] = []
    reference: dict[Pair, tuple[float, float]] = {}
    family = ""
    for variant in track(list(variants(options.seed, options.quick)), "Comparing", transient=True):
        start = perf_counter()
        found = compare(variant.metric, samples, images)
        seconds = perf_counter() - start
        if variant.family != family:
            family, reference = variant.family, found
        outcomes.append(outcome(variant, found, reference, seconds))
    options.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([asdict(one) for one in outcomes]).to_csv(options.out / "ablation.csv", index=False)
    figure(outcomes).savefig(options.out / "ablation.png", dpi=150)
    console = Console()
    console.print(table(outcomes))
    console.print(f"{options.out / 'ablation.csv'} and {options.out / 'ablation.png'}", soft_wrap=True, markup=False)


def compare(
    metric: MaskMetric[Any], samples: Mapping[str, Any], images: Mapping[Pair, ImagePair]
) -> dict[Pair, tuple[float, float]]:
    """Distance and mask term of every pair."""
    distance = DatasetDistance(metric)
    needed = dict.fromkeys(name for pair in images for name in pair)
    summaries = {name: metric.summarize(samples[name]) for name in needed}
    found = {}
    for (source, target), side_by_side in images.items():
        mask_cost = metric.compare(summaries[source], summaries[target], side_by_side.image_cost)
        solved = distance.from_costs(side_by_side, mask_cost)
        found[source, target] = solved.value, solved.mask_term
    return found


def outcome(
    variant: Variant,
    found: Mapping[Pair, tuple[float, float]],
    reference: Mapping[Pair, tuple[float, float]],
    seconds: float,
) -> Outcome:
    taus = []
    for wanted in dict.fromkeys(target for _, target in found):
        of_target = [pair for pair in found if pair[1] == wanted]
        orders = ([side[pair][0] for pair in of_target] for side in (found, reference))
        taus.append(float(kendalltau(*orders).statistic))
    changes = [
        statistics.median(100 * (found[pair][term] / reference[pair][term] - 1) for pair in found) for term in (0, 1)
    ]
    return Outcome(variant.family, variant.name, statistics.fmean(taus), *changes, seconds)


def table(outcomes: Sequence[Outcome]) -> Table:
    shown = Table("Choice", title="Against the first of each family, which is the paper's", title_justify="left")
    for heading in ("Kendall tau", "Distance", "Mask term", "Seconds"):
        shown.add_column(heading, justify="right")
    family = ""
    for one in outcomes:
        if one.family != family:
            family = one.family
            shown.add_section()
            shown.add_row(f"[bold]{family}[/bold]")
        shown.add_row(
            f"  {one.choice}",
            f"{one.kendall_tau:.2f}",
            f"{one.change_percent:+.1f}%",
            f"{one.mask_change_percent:+.1f}%",
            f"{one.seconds:.1f}",
        )
    return shown


def figure(outcomes: Sequence[Outcome]) -> Figure:
    """One row per family: agreement of the rankings, change of the distance, and seconds."""
    families = list(dict.fromkeys(one.family for one in outcomes))
    panels = {"Kendall tau": "kendall_tau", "change of the distance in %": "change_percent", "seconds": "seconds"}
    drawn = Figure(figsize=(12, 2.6 * len(families)), layout="constrained")
    for row, family in zip(drawn.subplots(len(families), len(panels), squeeze=False), families, strict=True):
        chosen = [one for one in outcomes if one.family == family]
        for axes, (title, value) in zip(row, panels.items(), strict=True):
            axes.barh([one.choice for one in chosen], [getattr(one, value) for one in chosen], color="tab:blue")
            axes.invert_yaxis()
            axes.set_xlabel(title)
            axes.axvline(0, color="black", linewidth=0.8)
        row[0].set_title(family, loc="left")
        for axes in row[1:]:
            axes.tick_params(labelleft=False)
    return drawn


if __name__ == "__main__":
    main()
