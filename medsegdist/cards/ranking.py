"""Sources ranked by their cards: the formula of Eq. 2, 3 where no two samples are ever side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medsegdist.cards.card import Card
from medsegdist.cards.making import Making, differences
from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric
from medsegdist.distance.mixture_transport import mixture_wassersteins, squared_bures_wasserstein
from medsegdist.distance.resampling import Bootstrap, rank_with_ties
from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError, PreprocessingMismatchError

CARD_METHODS = ("gmm2d", "gmm3d", "fake_class_gmm")
"""Methods whose mask term a card holds."""

APPROXIMATE = (
    "APPROXIMATE, from cards: mask terms of gmm2d and gmm3d are those of the datasets; image terms compare "
    "Gaussians of projected images, and are smaller than those between images. Nothing says how sure the order is."
)
"""What has to be said wherever distances of cards are shown."""


def left_out(cards: Sequence[Card]) -> dict[str, tuple[str, ...]]:
    """The methods that are not taken where none are asked for, each with the names of the cards that lack it.

    Args:
        cards: of the datasets to be compared.
    """
    lacking = {method: tuple(card.name for card in cards if not holds(card, method)) for method in CARD_METHODS}
    return {method: names for method, names in lacking.items() if names}


def left_out_sentence(methods: Mapping[str, Sequence[str]]) -> str:
    """What :func:`left_out` found, in words; empty if nothing is left out.

    Args:
        methods: names of the cards that lack it, by the name of the method.
    """
    return " ".join(
        f"{method} is left out, because {'the card' if len(names) == 1 else 'the cards'} {', '.join(names)} "
        f"{'lacks' if len(names) == 1 else 'lack'} it: a fake class has fewer patients than may be told of."
        for method, names in methods.items()
    )


def approximate(cards: Sequence[str]) -> str:
    """:data:`APPROXIMATE`, and which datasets were cards.

    Args:
        cards: names of the datasets that are cards; empty where that is not known.
    """
    return f"{APPROXIMATE} Cards: {', '.join(cards)}." if cards else APPROXIMATE


def rank_cards(
    target: Card,
    sources: Sequence[Card],
    *,
    methods: Sequence[str] | None = None,
    image_weight: float = 1.0,
    mask_weight: float = 1.0,
) -> DistanceTable:
    """The sources in order of their distance to one target, as far as their cards tell.

    The image term is the Wasserstein-2 distance of Gaussians of projected images (Gelbrich's formula), in the unit of
    d_X. It sees how means and spreads of the images differ. A coupling of single images sees also how far apart two
    images of one dataset are, which makes the term of the full form larger, more so for small datasets. For
    `fake_class_gmm` fake classes are coupled in the place of samples.

    Args:
        target: the dataset to train on in the end.
        sources: the datasets that could be pre-trained on.
        methods: names among :data:`CARD_METHODS`; None takes those that all cards hold.
        image_weight: w_x >= 0.
        mask_weight: w_y >= 0.

    Returns:
        Rows without interval, noise floor and certificate. Counts of samples are those of the cards, which are coarse.

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
        _check_alike(source, target)
    rows: list[DistanceRow] = []
    for method in available(cards, methods):
        terms = {source.name: _terms(source, target, method, image_weight, mask_weight) for source in sources}
        ranks = rank_with_ties({name: sum(found) for name, found in terms.items()}, {}, Bootstrap().level)
        for source in sources:
            image_term, mask_term = terms[source.name]
            rank, tied = ranks[source.name]
            rows.append(
                DistanceRow(
                    source=source.name,
                    target=target.name,
                    method=method,
                    distance=image_term + mask_term,
                    image_term=image_term,
                    mask_term=mask_term,
                    low=None,
                    high=None,
                    noise_floor=None,
                    rank=rank,
                    tied=tied,
                    n_source=source.samples,
                    n_target=target.samples,
                    optimality_gap=None,
                )
            )
    return DistanceTable(rows=tuple(rows))


def _check_alike(source: Card, target: Card) -> None:
    found = differences(Making.of_card(target), Making.of_card(source))
    if found:
        raise PreprocessingMismatchError(
            f"the cards '{source.name}' and '{target.name}' were not made alike, so that their distance would measure "
            f"how they were made ({'; '.join(found)}); make both with one `--like` and one `--seed`."
        )


def available(cards: Sequence[Card], methods: Sequence[str] | None = None) -> list[str]:
    """The methods by which cards can be compared, in the order of :data:`CARD_METHODS`.

    Args:
        cards: of the datasets to be compared.
        methods: which ones are wanted; None takes those that all cards hold.

    Raises:
        DataError: a card does not hold what a method needs.
        ValueError: a method is unknown.
    """
    lacking = left_out(cards)
    for method in methods or ():
        if method not in CARD_METHODS:
            raise ValueError(f"expected a method among {', '.join(CARD_METHODS)}, found '{method}'.")
        if method in lacking:
            raise DataError(
                f"expected cards that hold what '{method}' needs, found none of it in that of "
                f"{', '.join(lacking[method])}, where a fake class has fewer patients than may be told of; choose "
                "another method."
            )
    return [method for method in CARD_METHODS if method not in lacking and (methods is None or method in methods)]


def holds(card: Card, method: str) -> bool:
    """Whether a card holds what a method needs.

    Args:
        card: of any dataset.
        method: one of :data:`CARD_METHODS`.
    """
    return method != "fake_class_gmm" or card.fake_classes is not None


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
