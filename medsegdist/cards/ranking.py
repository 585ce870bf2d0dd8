"""Sources ranked by their cards: the formula of Eq. 2, 3 where no two samples are ever side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medsegdist.cards.card import Card
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.options import DistanceOptions
from medsegdist.data.study import Preparation
from medsegdist.distance.dataset_distance import Distance
from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric, make_metric, with_options
from medsegdist.distance.mixture.gaussian import mixture_wassersteins, squared_bures_wasserstein
from medsegdist.distance.order import DistanceRow, rank_rows
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import DistanceTable
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError, ManifestError, PreprocessingMismatchError
from medsegdist.report.describe import UNITS, options_of, plane_mixture, versions
from medsegdist.report.record import DatasetRecord, MethodRecord, StudyRecord
from medsegdist.words import check_choice

CARD_METHODS = ("gmm2d", "gmm3d", "fake_class_gmm")  # methods whose mask term a card holds
SIMULATED = "in whole or in part, as its card says"  # what is said of a card that says so


_FINGERPRINT = "fingerprint of the preprocessing"


def settings_of(made: Card | Preparation, seed: int = 0) -> dict[str, Any]:
    """What all cards of a ranking have in common, by its place in a study: that of a card, or of the preparation.

    The `seed` is that of cards which are made with the preparation.
    """
    if isinstance(made, Card):
        prepared, fingerprint, grid, fit, seed = made.prepared, made.preprocessing, made.grid, made.fit, made.seed
    else:
        prepared, fit = made.preprocessing, DistanceOptions(**made.distance.of_masks())
        fingerprint, grid = made.preprocessing.fingerprint, made.preprocessing.grid
    known: dict[str, Any] = {"grid": list(grid)}
    if prepared is not None:
        # A delta that is left out, and one that is given as it is anyway, are the same.
        known = {**prepared.model_dump(mode="json"), "delta": prepared.effective_delta}
    return {
        **{f"preprocessing.{name}": value for name, value in known.items()},
        _FINGERPRINT: fingerprint,
        **{f"distance.{name}": value for name, value in fit.model_dump(mode="json").items()},
        "seed": seed,
    }


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Every setting that both have and that differs, with both values."""
    unequal = [name for name in expected if name in found and expected[name] != found[name]]
    if any(name.startswith("preprocessing.") for name in unequal):
        # It follows from the other settings.
        unequal = [name for name in unequal if name != _FINGERPRINT]
    lines = []
    for name in unequal:
        ours, theirs = ("none" if one[name] is None else one[name] for one in (expected, found))
        lines.append(f"{name}: expected {ours}, found {theirs}")
        if name == _FINGERPRINT and all("preprocessing.intensity" in one for one in (expected, found)):
            lines.append("the settings are the same, by another version of medsegdist")
    return lines


def check_formula(distance: DistanceOptions) -> None:
    """Refuse options of the `distance` that cards cannot serve, all of them by name."""
    images, masks = distance.image_weight, distance.mask_weight
    if not 0 < images + masks < float("inf"):
        raise ManifestError(
            f"distance: expected finite weights that are not both 0, found image_weight {images} and mask_weight "
            f"{masks}",
            "give the one that counts",
        )
    possible = {"p": 1.0, "normalize": False, "feature_scale": "dataset"}
    found = {name: getattr(distance, name) or False for name in possible}
    wrong = [f"{name}: {found[name]} (expected {one})" for name, one in possible.items() if found[name] != one]
    if wrong:
        raise ManifestError(f"distance: {', '.join(wrong)} cannot be had of cards", "leave it out")


def left_out(cards: Sequence[Card]) -> dict[str, tuple[str, ...]]:
    """The methods that some cards lack, each with the names of these cards."""
    lacking = tuple(card.name for card in cards if card.fake_classes is None)
    return {"fake_class_gmm": lacking} if lacking else {}


def available(cards: Sequence[Card], methods: Sequence[str] | None = None) -> list[str]:
    """The methods by which cards can be compared, in the order of :data:`CARD_METHODS`; None takes all that can.

    One that a card lacks is refused by a DataError, one that is unknown by a ValueError.
    """
    lacking = left_out(cards)
    for method in methods or ():
        check_choice("a method of cards", method, CARD_METHODS)
        if method in lacking:
            raise DataError(
                f"expected cards that hold what '{method}' needs, found none of it in {', '.join(lacking[method])}, "
                "where a fake class has fewer patients than a card may show",
                "choose another method",
            )
    return [method for method in CARD_METHODS if method not in lacking and (methods is None or method in methods)]


def rank_cards(
    target: Card,
    sources: Sequence[Card],
    *,
    methods: Sequence[str] | None = None,
    image_weight: float = 1.0,
    mask_weight: float = 1.0,
) -> DistanceTable:
    """The sources in order of their distance to one target, by their cards.

    The image term is the Wasserstein-2 distance of Gaussians of projected images (Gelbrich's formula), in the unit of
    d_X. It sees how means and spreads of the images differ. A coupling of single images sees also how far apart two
    images of one dataset are, which makes the term of the full form larger, more so for small datasets. For
    `fake_class_gmm` fake classes are coupled in the place of samples.

    Rows have no interval, noise floor and certificate. Counts of samples are those of the cards, which are coarse.

    Raises:
        PreprocessingMismatchError: two datasets were not prepared, or their mixtures not fitted, alike.
        DataError: a card does not hold what a method needs, or a name stands twice.
        ValueError: a method is unknown, or the weights are negative or both 0.
    """
    if not (image_weight >= 0 and mask_weight >= 0 and 0 < image_weight + mask_weight < float("inf")):
        raise ValueError(f"expected finite weights >= 0 that are not both 0, found {image_weight} and {mask_weight}.")
    cards = [target, *sources]
    names = [card.name for card in cards]
    if len(set(names)) < len(names):
        raise DataError(f"expected cards of different datasets, found the names {', '.join(names)}.")
    for source in sources:
        unequal = differences(settings_of(target), settings_of(source))
        if unequal:
            raise PreprocessingMismatchError(
                f"the cards '{source.name}' and '{target.name}' were not made alike, so that their distance would "
                f"measure how they were made ({'; '.join(unequal)})",
                "make both with one `--like` and one `--seed`",
            )
    rows: list[DistanceRow] = []
    for method in available(cards, methods):
        found = []
        for source in sources:
            terms = _terms(source, target, method, image_weight, mask_weight)
            sizes = source.samples, target.samples
            found.append(Distance(source.name, target.name, method, sum(terms), *terms, *sizes, optimality_gap=None))
        rows += rank_rows(found, method, None, Bootstrap().level)
    return DistanceTable(rows=tuple(rows))


def _terms(source: Card, target: Card, method: str, image_weight: float, mask_weight: float) -> tuple[float, float]:
    """Image term and mask term, weights included."""
    if method == "fake_class_gmm":
        images = _gaussian_distances(
            (source.class_means, source.within_classes), (target.class_means, target.within_classes)
        )
        masks = mixture_wassersteins(source.class_mixtures, target.class_mixtures)
        powered = mask_weight * masks ** FakeClassGmmMetric().power
        plan = solve_transport(image_weight * images + powered, source.class_shares, target.class_shares).plan
        return image_weight * float((plan * images).sum()), float((plan * powered).sum())
    ours, theirs = (
        (torch.tensor([card.images.mean], dtype=torch.float64), card.images.matrix) for card in (source, target)
    )
    image_term = image_weight * float(_gaussian_distances(ours, theirs))
    metric = GmmMetric(intensity=method == "gmm3d")
    our_mixture, their_mixture = ((card.gmm3d if metric.intensity else card.gmm2d).mixture for card in (source, target))
    distance = metric.compare(our_mixture, their_mixture, torch.zeros((1, 1), dtype=torch.float64))
    return image_term, mask_weight * float(distance**metric.power)


def _gaussian_distances(source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """W2, not squared, between Gaussians with (c, d) and (c', d) means and a (d, d) covariance for all of a side."""
    sides = ((means, covariance.expand(len(means), -1, -1)) for means, covariance in (source, target))
    return squared_bures_wasserstein(*next(sides), *next(sides)).sqrt()


def record_cards(
    name: str,
    cards: Sequence[Card],
    table: DistanceTable,
    *,
    distance: DistanceOptions,
    here: Mapping[str, DatasetManifest] | None = None,
    left_out: Mapping[str, tuple[str, ...]] | None = None,
) -> StudyRecord:
    """How the distances of a ranking came about: what the cards hold, and nothing else.

    `distance` is how they were compared. `here` describes the datasets whose cards were made for this ranking, by name;
    the others came as cards. `left_out` is that of the cards.
    """
    here = here or {}
    prepared, seed = cards[0].prepared, cards[0].seed  # those of all, as the grid: others are not compared
    delta = -1.0 if prepared is None else prepared.effective_delta
    methods = tuple(
        MethodRecord(
            name=method,
            options=options_of(with_options(make_metric(method, delta=delta, seed=seed), distance.of_masks())),
            formula={"image_weight": distance.image_weight, "mask_weight": distance.mask_weight},
            optimality_gap=None,
        )
        for method in table.methods
    )
    unit = "" if prepared is None else UNITS[prepared.intensity]
    return StudyRecord(
        name=name,
        targets=table.targets,
        methods=methods,
        datasets=tuple(_record(card, here.get(card.name), unit) for card in cards),
        preprocessing={} if prepared is None else prepared.model_dump(mode="json"),
        fingerprint=cards[0].preprocessing,
        device="cpu",
        software=versions(),
        cards=tuple(card.name for card in cards if card.name not in here),
        left_out=dict(left_out or {}),
    )


def _record(card: Card, manifest: DatasetManifest | None, intensity_unit: str) -> DatasetRecord:
    try:
        mixture = plane_mixture(card.gmm2d.mixture)
    except ValueError:
        # Somebody else's covariance over slices, too: rounding that is little there may be much in their plane.
        mixture = None
    described = None if manifest is None else manifest.model_dump(include={"description", "license", "simulated"})
    return DatasetRecord(
        **{"simulated": SIMULATED if card.simulated else ""} | (described or {}),
        name=card.name,
        modality=card.modality,
        samples=card.samples,
        patients=card.patients,
        oriented=None if manifest is None else manifest.is_oriented(),
        histogram=card.segment_histogram,
        mixture=mixture,
        characteristics=tuple(
            one.model_copy(update={"unit": intensity_unit}) if one.unit == "intensity" else one
            for one in card.characteristics
        ),
    )
