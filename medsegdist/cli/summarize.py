"""`medsegdist summarize`: what a dataset says of itself where its images may not go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import bar, progress_bars, reported_errors
from medsegdist.cli.options import AsJson
from medsegdist.cli.reading import root_told
from medsegdist.files import check_writable


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
    """Writes a card: a dataset in at most 64 KiB of aggregates, which `rank` takes where its images may not go.

    Aggregates are no proof of privacy; README says what they may still tell.
    """
    from medsegdist.cards.card_file import write_card
    from medsegdist.cards.ranking import CARD_METHODS, holds
    from medsegdist.cards.summarizing import summarize_samples
    from medsegdist.data.dataset import load_dataset_samples
    from medsegdist.data.manifest import load_dataset
    from medsegdist.data.preparation import load_preparation

    with reported_errors():
        check_writable(out)
        manifest, preparation = load_dataset(dataset_file), load_preparation(like)
        manifest.check_one_foreground()
        with progress_bars() as progress:
            advance = bar(progress, f"Reading {manifest.name}")
            with root_told(manifest, dataset_file):
                samples = load_dataset_samples(
                    manifest, preparation.preprocessing, cache=cache, progress=advance, workers=workers
                )
            card = summarize_samples(
                samples,
                modality=manifest.modality,
                simulated=bool(manifest.simulated),
                preprocessing=preparation.preprocessing,
                fit=preparation.distance,
                min_patients=min_patients,
                seed=seed,
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
