"""What `medsegdist rank` does where a dataset of the comparison is a card: all others are summarized, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medsegdist.cli.comparison import REPLICATES, Comparison
from medsegdist.cli.console import bar, progress_bars
from medsegdist.cli.reading import read_samples
from medsegdist.cli.report import save_run
from medsegdist.errors import MedSegDistError

if TYPE_CHECKING:
    from medsegdist.cards.card import Card
    from medsegdist.data.study import Study
    from medsegdist.distance.table import DistanceTable


def compare_cards(
    study: Study, asked: Comparison, targets: Sequence[str], cards: Sequence[str]
) -> tuple[DistanceTable, Mapping[str, Sequence[str]]]:
    """Distances of a study to its targets by cards, also as distances.csv, and study.json of what the cards hold.

    Datasets that are no cards are summarized as cards are made: with the study's preprocessing and options, the same
    seed, on the CPU, and rounded alike, but for exact counts. Their cards are nowhere written, and no dataset is too
    small, for what is made of it stays here; distances.csv, study.json and the report tell of it what its card would.

    Args:
        study: which study.
        asked: what to do; its device, which has no part in cards, is not used.
        targets: names of the datasets that sources are ranked for.
        cards: names of the compared datasets that are cards.

    Returns:
        The distances, and of each method that was left out, though nobody chose among them, which cards lack it.

    Raises:
        MedSegDistError: an option has no meaning for cards, a card does not fit the study, or a dataset is bad.
    """
    from medsegdist.cards.of_study import check_methods, check_options, study_card
    from medsegdist.cards.ranking import available, left_out, rank_cards
    from medsegdist.data.checking import refuse_shared_images
    from medsegdist.distance.table import DistanceTable
    from medsegdist.report.recording_cards import record_cards

    _refuse_options(asked, cards)
    check_options(study, cards)
    check_methods(
        asked.methods or study.methods or (), cards, "--method" if asked.methods else f"study '{study.name}': methods"
    )
    compared = study.compared(targets)
    found = {one.name: study_card(study, one, seed=asked.seed) for one in compared if one.is_card}
    chosen = asked.methods or study.methods
    lacking = {} if chosen else left_out(list(found.values()))
    methods = available(list(found.values()), chosen or None)
    refuse_shared_images(study.model_copy(update={"targets": tuple(targets)}))
    found |= {card.name: card for card in _summarized(study, asked, [one.name for one in compared if not one.is_card])}
    weights = {"image_weight": study.distance.image_weight, "mask_weight": study.distance.mask_weight}
    tables = [
        rank_cards(found[target], [found[name] for name in study.sources_of(target)], methods=methods, **weights)
        for target in targets
    ]
    table = DistanceTable(rows=tuple(row for one in tables for row in one.rows))
    record = record_cards(study, [found[one.name] for one in compared], table, cards=cards, left_out=lacking)
    save_run(table, record, asked.out)
    return table, lacking


def _refuse_options(asked: Comparison, cards: Sequence[str]) -> None:
    given = {
        "--bootstrap": asked.replicates != REPLICATES,
        "--dask": asked.dask is not None,
        "--thumbnails": asked.thumbnails,
    }
    named = [option for option, is_given in given.items() if is_given]
    if named:
        raise MedSegDistError(
            f"expected no {', '.join(named)}, which cards have no use for; leave it out, or put datasets with images "
            f"in the place of the cards {', '.join(cards)}."
        )


def _summarized(study: Study, asked: Comparison, names: Sequence[str]) -> list[Card]:
    from medsegdist.cards.summarizing import summarize_samples

    made = []
    for name in names:
        study.dataset(name).check_one_foreground()
    with progress_bars() as progress:
        cache = asked.cache or asked.out / "samples"
        for samples in read_samples(study, cache, asked.workers, progress, names, study_file=asked.study_file):
            advance = bar(progress, f"Summarizing {samples.name}")
            manifest = study.dataset(samples.name)
            made.append(
                summarize_samples(
                    samples,
                    modality=manifest.modality,
                    simulated=bool(manifest.simulated),
                    preprocessing=study.preprocessing,
                    fit=study.distance,
                    min_patients=1,
                    seed=asked.seed,
                    exact_counts=True,
                )
            )
            advance(1, 1)
    return made
