"""`medsegdist summarize` and `medsegdist rank-cards`: datasets compared by what their cards say of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.commands.console import bar, progress_bars, reported_errors
from medsegdist.commands.options import AsJson
from medsegdist.errors import MedSegDistError

if TYPE_CHECKING:
    from medsegdist.distance.distance_table import DistanceTable

cards = typer.Typer()

CardFile = Annotated[Path, typer.Argument(help="Card of the dataset to train on in the end.", metavar="TARGET.json")]
CardFiles = Annotated[
    list[Path], typer.Argument(help="Cards of datasets that could be pre-trained on.", metavar="SOURCE.json...")
]


@cards.command()
def summarize(
    dataset_file: Annotated[
        Path, typer.Argument(help="Dataset YAML: name, modality, layout, foreground.", metavar="DATASET.yaml")
    ],
    like: Annotated[
        Path,
        typer.Option(
            "--like",
            help="YAML whose `preprocessing` and `distance` all cards have in common: a study, whose datasets need "
            "not be here, or these keys alone.",
            metavar="STUDY.yaml",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The card.", dir_okay=False)] = Path("card.json"),
    min_patients: Annotated[
        int, typer.Option(help="Fewer patients than that are not told of; fewer in all are refused.", min=1)
    ] = 10,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder for prepared samples, images included. [default: none]", file_okay=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of clusterings, fits and choices of samples; the same for all cards.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes that read files. [default: as needed]", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Writes a card: a dataset in at most 64 KiB of aggregates, to be ranked where its images may not go.

    Aggregates are no proof of privacy; README says what they may still tell.
    """
    from medsegdist.cards.card_file import write_card
    from medsegdist.cards.ranking import CARD_METHODS, holds
    from medsegdist.cards.summarizing import summarize_samples
    from medsegdist.data.dataset import load_dataset_samples
    from medsegdist.data.manifest import load_dataset
    from medsegdist.data.preparation import load_preparation

    with reported_errors():
        manifest, preparation = load_dataset(dataset_file), load_preparation(like)
        manifest.check_one_foreground()
        with progress_bars() as progress:
            advance = bar(progress, f"Reading {manifest.name}")
            samples = load_dataset_samples(
                manifest, preparation.preprocessing, cache=cache, progress=advance, workers=workers
            )
            card = summarize_samples(
                samples, modality=manifest.modality, fit=preparation.distance, min_patients=min_patients, seed=seed
            )
        size = write_card(card, out)
    held = [method for method in CARD_METHODS if holds(card, method)]
    if as_json:
        typer.echo(json.dumps({"card": str(out), "bytes": size, "methods": held}, indent=2))
        return
    console = Console()
    console.print(f"{escape(str(out))}: {size:,} bytes, for {', '.join(held)}.", soft_wrap=True)
    if card.fake_classes is None:
        console.print(f"fake_class_gmm is left out: a fake class has fewer than {min_patients} patients.")


@cards.command("rank-cards")
def rank_by_cards(
    target_file: CardFile,
    source_files: CardFiles,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="gmm2d, gmm3d or fake_class_gmm, repeatable. [default: what all cards hold]"),
    ] = None,
    image_weight: Annotated[float, typer.Option(help="Weight of the images.", min=0)] = 1,
    mask_weight: Annotated[float, typer.Option(help="Weight of the masks.", min=0)] = 1,
    out: Annotated[Path, typer.Option("--out", help="Folder for distances.csv.", file_okay=False)] = Path("out"),
    as_json: AsJson = False,
) -> None:
    """Ranks datasets by their cards, nearest first: the approximate form of `rank`, without any image."""
    from medsegdist.cards.card_file import read_card
    from medsegdist.cards.ranking import rank_cards

    with reported_errors():
        target, sources = read_card(target_file), [read_card(file) for file in source_files]
        try:
            table = rank_cards(target, sources, methods=method, image_weight=image_weight, mask_weight=mask_weight)
        except ValueError as error:
            raise error if isinstance(error, MedSegDistError) else MedSegDistError(str(error)) from error
        table.save(out / "distances.csv")
    _show(table, target.name, out, as_json)


def _show(table: DistanceTable, target: str, out: Path, as_json: bool) -> None:
    from medsegdist.cards.ranking import APPROXIMATE
    from medsegdist.report.tables import mean_ranks, ranking_table, verdict

    said = verdict(table, target)
    if as_json:
        content = {
            "approximate": APPROXIMATE,
            "targets": {target: {"mean_ranks": mean_ranks(table, target), "verdict": said}},
            "distances": [asdict(row) for row in table.rows],
        }
        typer.echo(json.dumps(content, indent=2, allow_nan=False))
        return
    console = Console()
    console.print(ranking_table(table, target))
    console.print(escape(said), "\n")
    console.print(APPROXIMATE)
    console.print(f"All distances: {escape(str(out / 'distances.csv'))}", soft_wrap=True)
