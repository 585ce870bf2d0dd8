"""From the cards and distances of a ranking to its :class:`StudyRecord`: what the cards hold, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from medsegdist.cards.card import Card
from medsegdist.data.card_content import SIMULATED
from medsegdist.data.orientation import is_oriented
from medsegdist.data.study import Study
from medsegdist.distance.metrics import all_metrics, with_options
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.table import DistanceTable
from medsegdist.report.record import (
    Characteristic,
    DatasetRecord,
    MethodRecord,
    PlaneMixture,
    SegmentHistogram,
    StudyRecord,
)
from medsegdist.report.recording import UNITS, options_of, plane_mixture
from medsegdist.report.software import versions


def record_cards(
    study: Study,
    found: Sequence[Card],
    table: DistanceTable,
    *,
    cards: Sequence[str],
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> StudyRecord:
    """What a report says of a ranking by cards beside its distances.

    Args:
        study: describes the datasets.
        found: a card of each dataset that was compared, under its name in the study.
        table: the result.
        cards: names of those that came as cards; those of the others were made for this ranking.
        left_out: names of the cards that lack it, by the name of a method that was left out for that.
    """
    seed = found[0].seed  # that of all: others are not compared
    metrics = all_metrics(delta=study.preprocessing.effective_delta, seed=seed)
    masks = study.distance.of_masks()
    weights = {"image_weight": study.distance.image_weight, "mask_weight": study.distance.mask_weight}
    return StudyRecord(
        name=study.name,
        description=study.description,
        targets=tuple(name for name in study.targets if name in table.targets) or table.targets,
        methods=tuple(
            MethodRecord(
                name=name,
                options=options_of(with_options(metrics[name], masks)),
                formula=weights,
                optimality_gap=None,
            )
            for name in table.methods
        ),
        datasets=tuple(_dataset(study, card) for card in found),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        fingerprint=study.preprocessing.fingerprint,
        device="cpu",
        software=versions(),
        cards=tuple(cards),
        left_out={method: tuple(names) for method, names in (left_out or {}).items()},
    )


def _dataset(study: Study, card: Card) -> DatasetRecord:
    manifest = study.dataset(card.name)
    return DatasetRecord(
        name=manifest.name,
        modality=card.modality,
        samples=card.samples,
        patients=card.patients,
        description=manifest.description,
        license=manifest.license,
        simulated=manifest.simulated or (SIMULATED if card.simulated else ""),
        oriented=is_oriented(manifest),
        histogram=card_histogram(card),
        mixture=_mixture(card.gmm2d.mixture),
        characteristics=tuple(
            Characteristic(
                name=one.name,
                unit=UNITS[study.preprocessing.intensity] if one.unit == "intensity" else one.unit,
                mean=one.mean,
                deviation=one.deviation,
            )
            for one in card.characteristics
        ),
    )


def card_histogram(card: Card) -> SegmentHistogram:
    """Where the segments of a dataset lie by the cells that its card shows, seen along the slices.

    Args:
        card: of any dataset.
    """
    told = card.segment_histogram
    rows, columns = card.grid[-2:]
    cells = torch.tensor(told.shares, dtype=torch.float64).reshape(-1, *told.shape[-2:]).sum(0)
    total = cells.sum()
    # A card rounds its shares; here they sum to 1 again.
    mass = tuple(map(tuple, (cells / total).tolist())) if total > 0 else None
    return SegmentHistogram(extent=(rows, columns), mass=mass)


def _mixture(mixture: GaussianMixture) -> PlaneMixture | None:
    try:
        return plane_mixture(mixture)
    except ValueError:
        # Somebody else's covariance over slices, too: rounding that is little beside them may be much in their plane.
        return None
