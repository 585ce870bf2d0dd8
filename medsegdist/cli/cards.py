"""`medsegdist cards`: summaries of datasets whose images may not travel, and rankings of such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsegdist.cli.console import missing_root_explained, reported_errors, say
from medsegdist.cli.options import AsJson, Command, Group, KeptSamples, NoReport, Out, Workers
from medsegdist.cli.report import show
from medsegdist.errors import ManifestError, PreprocessingMismatchError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress, track

if TYPE_CHECKING:
    from medsegdist.cards.card import Card
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.data.study import Preparation

cards = typer.Typer(
    help="Datasets whose images may not travel: summaries of them, and rankings.", no_args_is_help=True, cls=Group
)

LIKE = "YAML with the `preprocessing` and `distance` that all cards have in common: a study, or these keys alone."


@cards.command(cls=Command)
def make(
    file: Annotated[
        Path,
        typer.Argument(help="Dataset, or study for a card of each dataset.", metavar="STUDY_OR_DATASET.yaml"),
    ],
    like: Annotated[
        Path | None, typer.Option("--like", help=LIKE, show_default="the study itself", metavar="STUDY.yaml")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Name of a dataset in the study, repeatable.", show_default="all"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for a card of each dataset, NAME.json.", file_okay=False)
    ] = Path("cards"),
    min_patients: Annotated[
        int,
        typer.Option(help="Smaller datasets are refused; parts with fewer patients are left out.", min=1),
    ] = 10,
    cache: KeptSamples = None,
    seed: Annotated[int, typer.Option(help="Random seed (clustering, mixture fits, subsampling), of all cards.")] = 0,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write a card of a dataset: aggregates of at most 64 KiB, to be ranked where its images may not go.

    Aggregates are no proof of privacy; the README says what they may still reveal.
    """
    from medsegdist.cards.card import write_card
    from medsegdist.cards.ranking import available

    with reported_errors():
        check_writable(out, folder=True)
        manifests, preparation = _described(file, dataset or (), like)
        made = _made([(file, one) for one in manifests], preparation, cache, workers, min_patients, seed)
        paths = [out / f"{card.name}.json" for card in made]
        written = [(path, write_card(card, path), available([card])) for path, card in zip(paths, made, strict=True)]
    if as_json:
        rows = [{"card": str(path), "bytes": size, "methods": held} for path, size, held in written]
        typer.echo(json.dumps(rows, indent=2))
        return
    for path, size, held in written:
        say(f"{path}: {size:,} bytes, for {', '.join(held)}.")
        if "fake_class_gmm" not in held:
            say(f"fake_class_gmm is left out: a fake class has fewer than {min_patients} patients.")


@cards.command(cls=Command)
def rank(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Cards (.json), and YAML of datasets, or of studies, whose images are here.",
            metavar="CARD_OR_DATASET...",
        ),
    ],
    target: Annotated[list[str], typer.Option("--target", help="Name of a target among them, repeatable.")],
    like: Annotated[
        Path | None,
        typer.Option("--like", help=LIKE, show_default="those of the first card", metavar="STUDY.yaml"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="gmm2d, gmm3d or fake_class_gmm, repeatable.", show_default="all that cards hold"
        ),
    ] = None,
    out: Out = Path("out"),
    cache: KeptSamples = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the cards.", show_default="the first card's")] = None,
    workers: Workers = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Rank sources for a target by their cards: approximately, and without intervals.

    Datasets with images are summarized as the cards were; their own cards are not written.
    """
    from medsegdist.cards import ranking
    from medsegdist.cards.card import read_card
    from medsegdist.data.study import Preparation, load_datasets, load_preparation
    from medsegdist.distance.table import DistanceTable
    from medsegdist.report.results import Results

    with reported_errors():
        check_writable(out, folder=True)
        for name in method or ():
            if name not in ranking.CARD_METHODS:
                raise ManifestError(
                    f"--method: expected one that cards hold, {', '.join(ranking.CARD_METHODS)}, found {name}",
                    "rank datasets with images by `medsegdist rank`",
                )
        sent = {path: read_card(path) for path in files if path.suffix.lower() == ".json"}
        if not sent:
            raise ManifestError("expected at least one card, found datasets with images only", "use `medsegdist rank`")
        first = next(iter(sent.values()))
        if like is not None:
            preparation = load_preparation(like)
        elif first.prepared is not None:
            preparation = Preparation(preprocessing=first.prepared, distance=first.fit)
        else:
            raise ManifestError("expected a card that states its preprocessing, found one that does not", "give --like")
        distance = preparation.distance
        ranking.check_formula(distance)
        seed = first.seed if seed is None else seed
        settings = ranking.settings_of(preparation, seed)
        for path, card in sent.items():
            unequal = ranking.differences(settings, ranking.settings_of(card))
            if unequal:
                raise PreprocessingMismatchError(
                    f"the card {path} does not fit: {'; '.join(unequal)}",
                    "make it again with the same `--like` and `--seed`, or rank with the settings that all cards have",
                    dataset=card.name,
                )
        lacking = {} if method else ranking.left_out(list(sent.values()))
        methods = ranking.available(list(sent.values()), method or None)
        here = [(path, one) for path in files if path not in sent for one in load_datasets(path)]
        manifests = {one.name: one for _, one in here}
        names = [*(card.name for card in sent.values()), *manifests]
        for name in target:
            if name not in names:
                raise ManifestError(f"--target: expected one of {', '.join(names)}, found {name}")
        _refuse_shared(list(manifests.values()), preparation, target)
        made = _made(here, preparation, cache, workers, 1, seed, exact_counts=True)
        cards = [*sent.values(), *made]
        weights = {"image_weight": distance.image_weight, "mask_weight": distance.mask_weight}
        ranked = [
            ranking.rank_cards(card, [one for one in cards if one is not card], methods=methods, **weights)
            for wanted in target
            for card in cards
            if card.name == wanted
        ]
        table, name = DistanceTable(tuple(row for one in ranked for row in one.rows)), preparation.name or "cards"
        record = ranking.record_cards(name, cards, table, distance=distance, here=manifests, left_out=lacking)
        results = Results(name, table, record)
        results.save(out, report=not no_report)
        show(results, out, rankings=True, as_json=as_json)


def _described(file: Path, names: Sequence[str], like: Path | None) -> tuple[list[DatasetManifest], Preparation]:
    """The datasets of a study, or the one of a dataset's file, and how their cards are made."""
    from medsegdist.data.study import load_datasets, load_preparation
    from medsegdist.data.validation import read_yaml

    manifests = load_datasets(file, names)
    if like is None and "layout" in read_yaml(file.absolute()):
        raise ManifestError(
            f"{file}: expected a study, which says how cards are made, found the description of a dataset",
            "name a study by --like",
        )
    return manifests, load_preparation(file if like is None else like)


def _made(
    described: Sequence[tuple[Path, DatasetManifest]],
    preparation: Preparation,
    cache: Path | None,
    workers: int | None,
    min_patients: int,
    seed: int,
    *,
    exact_counts: bool = False,
) -> list[Card]:
    """A card of each dataset whose images are here."""
    from medsegdist.cards.card import summarize_samples
    from medsegdist.data.collect import load_samples

    made = []
    for _, manifest in described:
        manifest.check_one_foreground()
    with show_progress():
        for file, manifest in described:
            with missing_root_explained([manifest], file):
                samples = load_samples(manifest, preparation.preprocessing, cache=cache, workers=workers)
            for one in track([samples], f"Summarizing {manifest.name}"):
                card = summarize_samples(
                    one,
                    modality=manifest.modality,
                    simulated=bool(manifest.simulated),
                    preprocessing=preparation.preprocessing,
                    fit=preparation.distance,
                    min_patients=min_patients,
                    seed=seed,
                    exact_counts=exact_counts,
                )
                made.append(card)
    return made


def _refuse_shared(manifests: Sequence[DatasetManifest], preparation: Preparation, targets: Sequence[str]) -> None:
    """Refuse a source here with images or patients of a target here; of cards nobody knows."""
    from medsegdist.data.leakage import refuse_shared_images
    from medsegdist.data.study import Study

    here = tuple(name for name in targets if any(one.name == name for one in manifests))
    if here and len(manifests) > 1:
        known = dict(preparation) | {"name": preparation.name or "cards"}
        refuse_shared_images(Study(**known, datasets=tuple(manifests), targets=here))
