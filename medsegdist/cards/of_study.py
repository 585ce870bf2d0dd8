"""The cards among a study's datasets: whether they fit it, and what of the study has no meaning for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medsegdist.cards.card import Card
from medsegdist.cards.card_file import read_card
from medsegdist.cards.making import Making, differences
from medsegdist.cards.ranking import CARD_METHODS
from medsegdist.data.card_content import MAKING
from medsegdist.data.layouts.card import CardLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.problems import Problem, problem_of
from medsegdist.data.study import Study
from medsegdist.errors import DataError, ManifestError, MedSegDistError, PreprocessingMismatchError


def study_card(study: Study, manifest: DatasetManifest, *, seed: int = 0) -> Card:
    """The card that stands in a study in the place of a dataset, under the name that the study gives it.

    Args:
        study: says how cards have to be made.
        manifest: which of its datasets.
        seed: of the ranking.

    Raises:
        DataError: the card cannot be read, or is none.
        ManifestError: the dataset is no card, or of another modality than its card says.
        PreprocessingMismatchError: it was made otherwise than the study says; every setting that differs is named.
    """
    if not isinstance(manifest.layout, CardLayout):
        raise ManifestError(f"dataset '{manifest.name}': expected a card, found a layout '{manifest.layout.kind}'.")
    file = manifest.layout.file
    try:
        card = read_card(file)
    except OSError as error:
        raise DataError(
            f"dataset '{manifest.name}': expected a card at {file}, found none that can be read ({error.strerror}); "
            f"correct the path, or make it: {MAKING}."
        ) from error
    if card.modality != manifest.modality:
        raise ManifestError(
            f"dataset '{manifest.name}': expected the modality '{card.modality}' of its card {file}, found "
            f"'{manifest.modality}'; correct the study."
        )
    found = differences(Making.of_study(study.preprocessing, study.distance, seed), Making.of_card(card))
    if found:
        raise PreprocessingMismatchError(
            f"dataset '{manifest.name}': the card {file} does not fit the study: {'; '.join(found)}; make it anew with "
            "`--like` this study (and the same `--seed`), or rank with the settings that all cards have."
        )
    return card.model_copy(update={"name": manifest.name})


def check_options(study: Study, cards: Sequence[str]) -> None:
    """Refuse what a study says of its distances and cards cannot do.

    Args:
        study: which study.
        cards: names of datasets that are cards, for the message.

    Raises:
        ManifestError: an option of `distance` has no meaning for cards; all such are named.
    """
    images, masks = study.distance.image_weight, study.distance.mask_weight
    if not 0 < images + masks < float("inf"):
        raise ManifestError(
            f"study '{study.name}': distance: expected finite weights that are not both 0, found image_weight {images} "
            f"and mask_weight {masks}; give the one that counts."
        )
    meant = {"p": 1.0, "normalize": False, "feature_scale": "dataset"}
    found = {name: getattr(study.distance, name) for name in meant}
    wrong = [f"{name}: {found[name]} (expected {meant[name]})" for name in meant if found[name] != meant[name]]
    if wrong:
        raise ManifestError(
            f"study '{study.name}': distance: {', '.join(wrong)} cannot be had of cards, and {_are(cards)}; leave it "
            "out."
        )


def check_methods(methods: Sequence[str], cards: Sequence[str], where: str) -> None:
    """Refuse methods that need images.

    Args:
        methods: names.
        cards: names of datasets that are cards, for the message.
        where: who asks for them, such as "--method".

    Raises:
        ManifestError: there are some; all are named.
    """
    unable = [method for method in methods if method not in CARD_METHODS]
    if unable:
        *most, last = CARD_METHODS
        raise ManifestError(
            f"{where}: expected methods that cards hold, {', '.join(most)} and {last}, found {', '.join(unable)}; "
            f"others need images, and {_are(cards)}; choose among the three (--method, or `methods` in the study)."
        )


def card_problems(study: Study, *, seed: int = 0) -> list[Problem]:
    """What is wrong with the cards of a study, as :func:`~medsegdist.data.checking.check_study` tells of the rest.

    Args:
        study: which study.
        seed: of the ranking.
    """
    problems = []
    for manifest in study.datasets:
        if manifest.is_card:
            try:
                study_card(study, manifest, seed=seed)
            except MedSegDistError as error:
                problems.append(problem_of(error, manifest.name, ""))
    compared = [manifest.name for manifest in study.compared(study.targets) if manifest.is_card]
    if compared:
        for objection in _objections(study, compared):
            problems.append(problem_of(objection, compared[0], ""))
    return problems


def _objections(study: Study, cards: Sequence[str]) -> Iterator[ManifestError]:
    try:
        check_options(study, cards)
    except ManifestError as error:
        yield error
    try:
        check_methods(study.methods or (), cards, f"study '{study.name}': methods")
    except ManifestError as error:
        yield error


def _are(cards: Sequence[str]) -> str:
    return f"{', '.join(cards)} {'is a card' if len(cards) == 1 else 'are cards'}"
