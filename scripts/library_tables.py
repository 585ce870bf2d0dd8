#!/usr/bin/env python
"""The tables and the picture of `scripts/results/transfer_library/README.md`, from its CSV files.

    python scripts/library_tables.py [FOLDER] [--picture FILE.png]

Prints Markdown: how much choosing matters, how reliable that is, and how well every predictor orders the sources after
25, 50 and 100 steps of fine-tuning, at the study's learning rate and at the paper's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medsegdist.distance.metrics import PAPER_METHODS
from medsegdist.distance.order import CONSENSUS
from medsegdist.parallel import map_ordered
from medsegdist.recommend.library import Library, read_library
from medsegdist.recommend.predictors import (
    Judged,
    compare_predictors,
    distance_predictors,
    halves,
    intervals,
    judge,
    judge_predictors,
    learned_known,
    order_reliability,
)
from medsegdist.transfer.ranks import interval_of_means

FOLDER = Path(__file__).parent / "results" / "transfer_library"
STEPS = (25, 50, 100)
PAPER_RATE = "curves_at_1e-4.csv"
REGIMES = {
    "fine-tuning at 1e-4": PAPER_RATE,
    "2 patients": "curves_of_2_patients.csv",
    "16 patients": "curves_of_16_patients.csv",
}
RULES = ("consensus", "mean of the paper's five")
COMPARED = ("consensus", "learned, known sources", "learned, new families")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--picture", type=Path, help="where to draw predicted against measured ranks")
    options = parser.parse_args(arguments)
    libraries = {step: read_library(options.folder, step=step) for step in STEPS}
    print(overview(libraries), "\n")
    judged_after = {f"{step} steps": library for step, library in libraries.items()}
    if (options.folder / PAPER_RATE).exists():
        judged_after |= {
            f"{step} steps at 1e-4": read_library(options.folder, step=step, curves=PAPER_RATE) for step in STEPS
        }
    parts = map_ordered(judge_predictors, list(judged_after.values()), workers=None)
    for after, (judged, choices, _) in zip(judged_after, parts, strict=True):
        print(predictor_table(after, judged, choices), "\n")
        print(difference_table(after, judged), "\n")
    print(regime_table(options.folder))
    if options.picture is not None:
        draw(libraries[STEPS[-1]], options.picture)


def overview(libraries: dict[int, Library]) -> str:
    """How much choosing matters after each number of steps, and how far repetitions agree."""
    rows = []
    for step, library in libraries.items():
        dice = library.dice.mean(axis=1)
        of_target = dice.groupby(level="target")
        targets = list(library.targets)
        reliability = order_reliability(library)
        numbers = [
            of_target.max().mean(),
            of_target.mean().mean(),
            library.scratch[targets].mean(),
            library.pooled.reindex(targets).mean(),
        ]
        known = []
        if reliability is not None:
            known = [reliability.single, reliability.mean, reliability.of_half.ceiling]
        cells = [f"{100 * number:.1f}" for number in numbers] + [f"{number:.2f}" for number in known]
        rows.append(f"| {step} | {len(targets)} | {' | '.join(cells)} |")
    head = (
        "| steps | targets | best source | source at random | from scratch | all sources together "
        "| one repetition with another | mean of all | ceiling of a half |"
    )
    return "\n".join([head, "|" + "---|" * head.count(" | ") + "---|", *rows])


def regime_table(folder: Path) -> str:
    """How well distances order the sources in other regimes, judged by all their repetitions: nothing was learned."""
    rows = []
    there = {name: file for name, file in REGIMES.items() if (folder / file).exists()}
    for name, file in there.items():
        for step in STEPS:
            library = read_library(folder, step=step, curves=file)
            dice = library.dice.mean(axis=1)
            of_target = dice.groupby(level="target")
            numbers = [of_target.max().mean(), of_target.mean().mean(), library.scratch[list(library.targets)].mean()]
            plain = distance_predictors(library)
            judged = intervals({one: judge(plain[one].loc[dice.index], dice) for one in RULES})
            cells = [f"{100 * number:.1f}" for number in numbers]
            for one in RULES:
                row = judged.loc[one]
                cells.append(f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]")
            reliability = order_reliability(library)
            cells += [f"{judged.loc['consensus', 'regret']:.1f}", f"{reliability.ceiling:.2f}" if reliability else ""]
            rows.append(f"| {name} | {step} | {len(library.targets)} | {' | '.join(cells)} |")
    head = (
        "| regime | steps | targets | best source | source at random | from scratch | consensus "
        "| mean of the paper's five | regret of the consensus | ceiling |"
    )
    return "\n".join([head, "|" + "---|" * (head.count(" | ") + 1), *rows])


def predictor_table(after: str, judged: Judged, choices: Judged) -> str:
    """Every predictor, the best correlated first, and what choices that rank nothing would have brought."""
    table = compare_predictors(judged, choices)
    rows = []
    for name, row in table.iterrows():
        ranks = not np.isnan(row["spearman"]) and name != "a source at random"
        order = f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]" if ranks else ""
        kendall = f"{row['weighted_kendall']:.2f}" if ranks else ""
        regret = f"{row['regret']:.1f} [{row['regret_low']:.1f}, {row['regret_high']:.1f}]"
        rows.append(
            f"| {name} | {order} | {kendall} | {regret} | {100 * row['within_1']:.0f} | {100 * row['within_2']:.0f} |"
        )
    head = f"| after {after} | Spearman | weighted Kendall | regret | within 1, % | within 2, % |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def gain_over(judged: Judged, better: str) -> pd.DataFrame:
    """How much more than every other predictor one of them correlates, with a 95 % interval over targets."""
    rows = {}
    for name, frame in judged.items():
        # The control's rows are no targets.
        same = frame.index.isin(judged[better].index).all()
        if name != better and same and frame["spearman"].notna().all():
            values = (judged[better][["spearman"]] - frame[["spearman"]]).to_numpy()
            low, high = interval_of_means(values)
            rows[name] = (float(values.mean()), float(low[0]), float(high[0]))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high"])


def difference_table(after: str, judged: Judged) -> str:
    """How much more two of the predictors correlate than each distance by itself."""
    columns = {name: gain_over(judged, name) for name in COMPARED}
    rows = []
    for method in (*PAPER_METHODS, "mean of the paper's five", *CONSENSUS, "consensus"):
        cells = []
        for found in columns.values():
            row = found.loc[method] if method in found.index else None
            cells.append("" if row is None else f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")
        rows.append(f"| {method} | {' | '.join(cells)} |")
    head = f"| after {after}, more than | {' | '.join(columns)} |"
    return "\n".join([head, "|---" * (1 + len(columns)) + "|", *rows])


def draw(library: Library, path: Path) -> None:
    """Measured Dice against predicted rank of every source, a panel per target, of other repetitions."""
    of_rest, measured = halves(library)[0]
    predicted = learned_known(of_rest)
    found = judge(predicted, measured)["spearman"].sort_values(ascending=False)
    columns = 6
    figure = Figure(figsize=(12, 2.2 * -(-len(found) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(found) // columns), columns, squeeze=False)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    for ax, (target, spearman) in zip(axes.flat, found.items(), strict=False):
        ax.scatter(predicted[target].rank(), 100 * measured[target].loc[predicted[target].index], s=9, color="#1f6feb")
        ax.set_title(f"{target} ({spearman:.2f})", fontsize=8)
        ax.tick_params(labelsize=7)
    figure.supxlabel("predicted rank of the source, best on the right", fontsize=9)
    figure.supylabel("test Dice after fine-tuning, %", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
