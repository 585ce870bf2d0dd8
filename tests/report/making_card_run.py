"""A ranking by cards, made by hand: the datasets of `tests/cards`, of which "target" has images."""

from __future__ import annotations

from collections.abc import Sequence

from medsegdist.cards.card import Card
from medsegdist.cards.ranking import rank_cards, record_cards
from medsegdist.data.manifest import DatasetManifest
from medsegdist.distance.table import DistanceTable
from medsegdist.report.record import StudyRecord
from tests.cards.making_cards import FIT, card
from tests.report.making_run import CENTERS

CARDS = ("near", "far")


def of_cards(changed: Sequence[Card] = ()) -> tuple[DistanceTable, StudyRecord]:
    """Table and record of the three datasets.

    Args:
        changed: cards in the place of those that have the same name.
    """
    found = {name: card(name) for name in CENTERS} | {one.name: one for one in changed}
    table = rank_cards(found["target"], [found[name] for name in CARDS])
    own = {"kind": "folder", "root": "/", "images": "a/*.nii.gz", "masks": "b/*.nii.gz"}
    here = DatasetManifest.model_validate({"name": "target", "modality": "CT", "layout": own})
    return table, record_cards("tiny study", list(found.values()), table, distance=FIT, here={"target": here})
