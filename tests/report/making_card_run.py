"""A ranking by cards, made by hand: the datasets of `tests/cards`, of which "target" has images."""

from __future__ import annotations

from collections.abc import Sequence

from medsegdist.cards.card import Card
from medsegdist.cards.ranking import rank_cards
from medsegdist.distance.table import DistanceTable
from medsegdist.report.record import StudyRecord
from medsegdist.report.recording_cards import record_cards
from tests.cards.making_cards import FIT, card
from tests.report.making_run import CENTERS, study_of

CARDS = ("near", "far")


def of_cards(changed: Sequence[Card] = ()) -> tuple[DistanceTable, StudyRecord]:
    """Table and record of the three datasets.

    Args:
        changed: cards in the place of those that have the same name.
    """
    found = {name: card(name) for name in CENTERS} | {one.name: one for one in changed}
    table = rank_cards(found["target"], [found[name] for name in CARDS])
    layouts = {name: {"kind": "card", "file": f"/{name}.json"} for name in CARDS}
    own = {"kind": "folder", "root": "/", "images": "a/*.nii.gz", "masks": "b/*.nii.gz"}
    bare = [{"name": name, "modality": "CT", "layout": layouts.get(name, own)} for name in CENTERS]
    study = study_of(datasets=bare, distance=FIT.model_dump(exclude_unset=True))
    return table, record_cards(study, list(found.values()), table, cards=CARDS)
