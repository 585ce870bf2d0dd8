#!/usr/bin/env python
"""Whether cards rank sources as the datasets themselves do: Kendall's tau of both orders, per target and method.

    python scripts/card_agreement.py STUDY.yaml --out FOLDER

`card_agreement.csv` has a row per target and method, for the whole distance and for its image term alone. The cards
are made of datasets of any size (a minimum of 1 patient), and thrown away. Of the study's `distance`, `p` and
`normalize` are left out: cards do not know them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kendalltau

from medsegdist import DatasetDistance, DistanceTable, compare_all, load_samples, load_study
from medsegdist.cards.card import summarize_samples
from medsegdist.cards.ranking import CARD_METHODS, rank_cards
from medsegdist.distance.metrics import make_metric, with_options


@dataclass(frozen=True)
class Agreement:
    """How well the ranking from cards agrees with the full one; a row of card_agreement.csv."""

    target: str
    method: str
    sources: int
    kendall_tau: float
    kendall_tau_images: float
    same_nearest: bool
    image_term_ratio: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/cards"), help="folder for the table")
    parser.add_argument("--cache", type=Path, help="folder for prepared samples; default: OUT/samples")
    parser.add_argument(
        "--all-targets", action="store_true", help="every dataset in turn; default: the study's targets"
    )
    parser.add_argument("--workers", type=int, help="processes; default: as many as save time")
    options = parser.parse_args(arguments)

    study = load_study(options.study)
    cache = options.cache or options.out / "samples"
    samples = [
        load_samples(manifest, study.preprocessing, cache=cache, workers=options.workers)
        for manifest in track(study.datasets, "Reading", transient=True)
    ]
    targets = [one.name for one in samples] if options.all_targets else list(study.targets)
    weights = {"image_weight": study.distance.image_weight, "mask_weight": study.distance.mask_weight}
    masks = study.distance.of_masks()
    metrics = {method: with_options(make_metric(method), masks) for method in CARD_METHODS}
    distances = {method: DatasetDistance(metric, **weights) for method, metric in metrics.items()}
    full = compare_all(samples, distances, targets=targets, sources=study.sources, workers=options.workers)
    cards = {
        one.name: summarize_samples(
            one,
            modality=manifest.modality,
            simulated=bool(manifest.simulated),
            preprocessing=study.preprocessing,
            fit=study.distance,
            min_patients=1,
        )
        for one, manifest in zip(track(samples, "Summarizing", transient=True), study.datasets, strict=True)
    }
    found = []
    for target in targets:
        sources = [cards[name] for name in study.sources_of(target)]
        found += list(compare(full, rank_cards(cards[target], sources, **weights)))
    options.out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame([asdict(one) for one in found])
    frame.to_csv(options.out / "card_agreement.csv", index=False)
    console = Console()
    console.print(shown(found))
    for method, of_method in frame.groupby("method", sort=False):
        tau, images = of_method["kendall_tau"].mean(), of_method["kendall_tau_images"].mean()
        nearest, ratio = of_method["same_nearest"].sum(), of_method["image_term_ratio"].median()
        console.print(
            f"{method}: mean tau {tau:.2f} ({images:.2f} of images alone); the same nearest source for {nearest} of "
            f"{len(of_method)} targets; image terms {ratio:.2f} times the full ones (median)."
        )


def compare(full: DistanceTable, of_cards: DistanceTable) -> Iterator[Agreement]:
    """The two tables for the target of the cards, method by method."""
    (target,) = of_cards.targets
    for method in of_cards.methods:
        ours, theirs = ({row.source: row for row in table.ranking(target, method)} for table in (of_cards, full))
        pairs = [(row, theirs[source]) for source, row in ours.items()]
        whole = kendalltau(*zip(*((a.distance, b.distance) for a, b in pairs), strict=True)).statistic
        images = kendalltau(*zip(*((a.image_term, b.image_term) for a, b in pairs), strict=True)).statistic
        nearest = {min(rows.values(), key=lambda row: row.distance).source for rows in (ours, theirs)}
        ratios = pd.Series([a.image_term / b.image_term for a, b in pairs if b.image_term > 0], dtype="float64")
        yield Agreement(
            target, method, len(pairs), float(whole), float(images), len(nearest) == 1, float(ratios.median())
        )


def shown(found: Sequence[Agreement]) -> Table:
    table = Table("Target", title="Kendall's tau of cards against full distances (images alone)", title_justify="left")
    methods = list(dict.fromkeys(one.method for one in found))
    for method in methods:
        table.add_column(method, justify="right")
    for target in dict.fromkeys(one.target for one in found):
        by_method = {one.method: one for one in found if one.target == target}
        cells = [by_method[method] for method in methods]
        table.add_row(target, *(f"{one.kendall_tau:.2f} ({one.kendall_tau_images:.2f})" for one in cells))
    return table


if __name__ == "__main__":
    main()
