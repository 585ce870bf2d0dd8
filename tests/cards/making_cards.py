"""Cards of small datasets."""

from __future__ import annotations

from functools import cache

from medsegdist.cards.card import Card, summarize_samples
from medsegdist.data.options import DistanceOptions
from medsegdist.data.samples import SegmentationSamples
from tests.synthetic import blobs

FIT = DistanceOptions(components=1)
"""With the five components of the paper a card takes long, and obeys the same laws."""


@cache
def dataset(name: str) -> SegmentationSamples:
    """One of three datasets; "near" lies nearer to "target" than "far" does."""
    options = {
        "target": {"seed": 1},
        "near": {"seed": 2, "center": (0.45, 0.5), "radius": 6.0},
        "far": {"seed": 3, "center": (0.3, 0.35), "radius": 3.0, "brightness": 200.0},
    }
    return blobs(name, n=24, patients=12, **options[name])


@cache
def card(name: str) -> Card:
    """The card of one of them."""
    return summarized(dataset(name))


def summarized(samples: SegmentationSamples, min_patients: int = 2) -> Card:
    """A card of samples that fits the others."""
    return summarize_samples(samples, modality="CT", fit=FIT, min_patients=min_patients)
