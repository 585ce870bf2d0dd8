"""How a card was made, and in what two of them differ: only what was made alike can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medsegdist.cards.card import Card
from medsegdist.data.options import DistanceOptions
from medsegdist.data.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Making:
    """What all cards of a ranking must have in common.

    Args:
        fingerprint: of the preprocessing; the projection of the images follows from it and from the grid.
        grid: (rows, columns) or (slices, rows, columns).
        prepared: the preprocessing itself; None where it is not known.
        fit: options of mixtures and fake classes.
        seed: of the fits and of the choice of samples.
    """

    fingerprint: str
    grid: tuple[int, ...]
    prepared: Preprocessing | None
    fit: DistanceOptions
    seed: int

    @classmethod
    def of_card(cls, card: Card) -> Making:
        """How a card was made.

        Args:
            card: of any dataset.
        """
        return cls(card.preprocessing, card.grid, card.prepared, card.fit, card.seed)

    @classmethod
    def of_study(cls, preprocessing: Preprocessing, distance: DistanceOptions, seed: int) -> Making:
        """How cards of a study's datasets are made.

        Args:
            preprocessing: the study's.
            distance: the study's; what belongs to the formula does not matter.
            seed: of the ranking.
        """
        fit = DistanceOptions(**distance.of_masks())
        return cls(preprocessing.fingerprint, preprocessing.grid, preprocessing, fit, seed)


def differences(expected: Making, found: Making) -> list[str]:
    """Every setting that differs, by the place it has in a study, with both values; empty if all are the same.

    Args:
        expected: how it should be.
        found: how it is.
    """
    told = [
        *_of_preprocessing(expected, found),
        *_unequal("distance.", expected.fit.model_dump(mode="json"), found.fit.model_dump(mode="json")),
    ]
    return [*told, *_unequal("", {"seed": expected.seed}, {"seed": found.seed})]


def _of_preprocessing(expected: Making, found: Making) -> list[str]:
    if expected.prepared is not None and found.prepared is not None:
        told = _unequal("preprocessing.", _settings(expected.prepared), _settings(found.prepared))
    else:
        told = _unequal("preprocessing.", {"grid": list(expected.grid)}, {"grid": list(found.grid)})
    if told or expected.fingerprint == found.fingerprint:
        return told
    if expected.prepared is not None and found.prepared is not None:
        known = f"{expected.fingerprint} expected, {found.fingerprint} found"
        return [f"preprocessing: the same settings by another version of medsegdist (fingerprints: {known})"]
    return [f"preprocessing: expected the fingerprint {expected.fingerprint}, found {found.fingerprint}"]


def _settings(preprocessing: Preprocessing) -> dict[str, Any]:
    # A delta that is left out, and one that is given as it is anyway, are the same.
    return {**preprocessing.model_dump(mode="json"), "delta": preprocessing.effective_delta}


def _unequal(place: str, expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [
        f"{place}{name}: expected {_said(expected[name])}, found {_said(found[name])}"
        for name in expected
        if expected[name] != found[name]
    ]


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
