"""What `medsegdist demo`, `rank` and `distances` have in common: from a study's file to tables, files and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.comparison import Comparison
from medsegdist.cli.console import bar, progress_bars
from medsegdist.cli.reading import read_samples
from medsegdist.cli.report import leave_report, save_run
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import did_you_mean, sentence

if TYPE_CHECKING:
    from medsegdist.data.case_tally import CaseTally
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study
    from medsegdist.distance.dataset_distance import DatasetDistance
    from medsegdist.distance.table import DistanceTable


def compare(comparison: Comparison, *, matrices: bool, rankings: bool, report: bool, as_json: bool) -> None:
    """Computes the distances of a study, saves them and prints them.

    Args:
        comparison: what to do.
        matrices: prints the distances of all pairs.
        rankings: prints the sources of each target in their order.
        report: leaves report.html.
        as_json: prints JSON instead of tables.
    """
    from medsegdist.data.study import load_study

    check_writable(comparison.out, folder=True)
    if comparison.replicates == 1:
        raise MedSegDistError("--bootstrap: expected 0, for no intervals, or at least 2 draws of patients, found 1.")
    study = load_study(comparison.study_file)
    targets = _targets(study, comparison.targets)
    compared = study.compared(targets)
    cards = [manifest.name for manifest in compared if manifest.is_card]
    if cards and not matrices:
        from medsegdist.cli.comparing_cards import compare_cards

        table, left_out = compare_cards(study, comparison, targets, cards)
    else:
        for manifest in study.datasets:
            if manifest in compared or not manifest.is_card:
                manifest.check_one_foreground()
        table, left_out = _distances(study, comparison, targets), {}
    _show(study, table, comparison.out, as_json, matrices=matrices, rankings=rankings, cards=cards, left_out=left_out)
    leave_report(comparison.out, wanted=report)


def _targets(study: Study, asked: Sequence[str] | None) -> Sequence[str]:
    names = [manifest.name for manifest in study.datasets]
    targets = study.targets if asked is None else asked or names
    for name in targets:
        if name not in names:
            hint = did_you_mean(name, names) or "."
            raise ManifestError(f"expected a target among the datasets {', '.join(names)}, found '{name}'{hint}")
    return targets


def _distances(study: Study, asked: Comparison, targets: Sequence[str]) -> DistanceTable:
    """Distances of a study to its targets, also as distances.csv."""
    from medsegdist.data.checking import refuse_shared_images
    from medsegdist.distance.metrics import PAPER_METHODS
    from medsegdist.distance.resampling import Bootstrap
    from medsegdist.distance.table import compare_all
    from medsegdist.parallel import dask_cluster
    from medsegdist.report.recording import record_study
    from medsegdist.report.thumbnails import draw_thumbnails

    # A card that is not compared has no images to be described.
    names = [manifest.name for manifest in study.datasets if not manifest.is_card]
    configured = configured_distances(asked.methods, study, asked.study_file, asked.seed, default=PAPER_METHODS)
    # Where all pairs are asked for, the study still says what is ranked for what.
    refuse_shared_images(study.model_copy(update={"targets": tuple(asked.targets or study.targets)}))
    bootstrap = Bootstrap(asked.replicates, seed=asked.seed) if asked.replicates else None
    tallies: dict[str, CaseTally] = {}

    with nullcontext() if asked.dask is None else dask_cluster(asked.dask):
        with progress_bars() as progress:
            samples = [
                one.to(asked.device)
                for one in read_samples(
                    study,
                    asked.cache or asked.out / "samples",
                    asked.workers,
                    progress,
                    names,
                    tallied=tallies.__setitem__,
                    study_file=asked.study_file,
                )
            ]
        if study.distance.feature_scale == "joint":
            configured = on_one_scale(configured, samples, study.distance.features)
        with show_progress():
            table = compare_all(
                samples,
                configured,
                targets=targets,
                sources=study.sources or names,
                bootstrap=bootstrap,
                workers=asked.workers,
            )
    with progress_bars() as progress:
        record = record_study(
            study,
            samples,
            configured,
            table,
            summaries=table.summaries,
            bootstrap=bootstrap,
            tallies=tallies,
            progress=bar(progress, "Describing"),
        )
    pictures = None
    if asked.thumbnails:
        pictures = draw_thumbnails(table, record.targets, table.matches, {one.name: one for one in samples})
    save_run(table, record, asked.out, pictures)
    for name, tally in tallies.items():
        if tally.without_sample:
            Console(stderr=True).print(escape(tally.sentence(name)), highlight=False, soft_wrap=True)
    alone = [one.name for one in samples if len(one.patients) < 2] if asked.replicates else []
    if alone:
        said = f"No interval for distances of {', '.join(alone)}: one patient does not tell how patients differ."
        Console(stderr=True).print(escape(said))
    return table


def configured_distances(
    methods: Sequence[str] | None, study: Study, study_file: Path, seed: int, *, default: Sequence[str] = ()
) -> dict[str, DatasetDistance]:
    """The distances of these names, with the options of the study's `distance`.

    Args:
        methods: names that somebody asked for; none takes the study's own.
        study: the study.
        study_file: its file, for messages.
        seed: of clusterings, fits and choices of samples.
        default: names where the study has none either.

    Raises:
        ManifestError: there is no method of a name, or an option of `distance` does not fit.
    """
    from medsegdist.distance.dataset_distance import DatasetDistance
    from medsegdist.distance.metrics import all_metrics, with_options

    metrics = all_metrics(delta=study.preprocessing.effective_delta, seed=seed)
    # A path without .. and the like, as in the other messages about a study.
    file = study_file.absolute()
    where = "" if methods else f"{file}: methods: "
    methods = methods or study.methods or default
    unknown = [
        f"{where}expected a method among {', '.join(metrics)}, found '{name}'{did_you_mean(name, metrics) or '.'}"
        for name in methods
        if name not in metrics
    ]
    if unknown:
        raise ManifestError("\n".join(unknown))
    try:
        of_masks, of_formula = study.distance.of_masks(), study.distance.of_formula()
        return {
            name: DatasetDistance(with_options(metrics[name], of_masks), seed=seed, **of_formula) for name in methods
        }
    except ValueError as error:
        raise ManifestError(sentence(f"{file}: distance: {error}")) from error


def on_one_scale(
    distances: Mapping[str, DatasetDistance], samples: Sequence[SegmentationSamples], features: Sequence[str] | None
) -> dict[str, DatasetDistance]:
    """The same distances, with the features of fake classes on one scale for all of the datasets."""
    from medsegdist.distance.feature_scale import joint_scale
    from medsegdist.distance.metrics import with_options

    scale = {"scale": joint_scale(samples, features)}
    return {
        name: replace(distance, metric=with_options(distance.metric, scale)) for name, distance in distances.items()
    }


def _show(
    study: Study,
    table: DistanceTable,
    out: Path,
    as_json: bool,
    *,
    matrices: bool,
    rankings: bool,
    cards: Sequence[str],
    left_out: Mapping[str, Sequence[str]],
) -> None:
    from medsegdist.cards.ranking import approximate, left_out_sentence
    from medsegdist.report.tables import distance_tables, mean_ranks, ranking_table
    from medsegdist.report.verdict import headline, verdict

    if as_json:
        by_target = {
            target: {
                "mean_ranks": mean_ranks(table, target),
                "headline": headline(table, target),
                "verdict": verdict(table, target),
            }
            for target in table.targets
        }
        of_cards = {"approximate": approximate(cards), "cards": cards, "left_out": left_out} if cards else {}
        content = {"study": study.name, **of_cards, "targets": by_target}
        typer.echo(json.dumps({**content, "distances": [asdict(row) for row in table.rows]}, indent=2))
        return
    console = Console()
    simulated = [f"{manifest.name}: {manifest.simulated}" for manifest in study.datasets if manifest.simulated]
    if matrices:
        for rendered in distance_tables(table):
            console.print(rendered)
    if rankings:
        for target in table.targets:
            console.print(ranking_table(table, target))
            console.print(f"[bold]{escape(headline(table, target))}[/bold]")
            console.print(escape(verdict(table, target)), "\n")
    if cards:
        console.print(f"[bold]{escape(approximate(cards))}[/bold]", "\n")
    if left_out:
        console.print(escape(left_out_sentence(left_out)), "\n")
    if simulated:
        console.print("Simulated here:", *(escape(line) for line in simulated), sep="\n  ")
    console.print(f"All distances: {escape(str(out / 'distances.csv'))}", soft_wrap=True)
