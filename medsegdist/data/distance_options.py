"""How the distances of a study are computed where that is to differ from the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, NonNegativeFloat, PositiveInt

from medsegdist.data.yaml_errors import nearest
from medsegdist.data.yaml_words import found_value

Feature = Literal[
    "shape",
    "location",
    "texture",
    "regions",
    "area",
    "perimeter",
    "centroid",
    "intensity_mean",
    "intensity_deviation",
    "intensity_entropy",
    "intensity_gradient",
]
"""Features of segments and groups of them; `medsegdist.distance.segment_features` defines each."""

COMPONENT_RULES = ("bic", "elbow", "silhouette")
CLASS_RULES = ("elbow", "bic", "gap")


def _number_or(rules: tuple[str, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if (isinstance(value, int) and not isinstance(value, bool) and value >= 1) or value in rules:
            return value
        said = ", ".join(rules)
        raise ValueError(f"expected a number >= 1 or one of {said}, found {found_value(value)}{nearest(value, rules)}")

    return check


class DistanceOptions(BaseModel):
    """Options of the distances; each one that is left out is as in the paper.

    Args:
        components: Gaussians of a mixture, or the rule that chooses their number per dataset.
        max_components: the most that a rule may choose.
        covariance: what the covariances of mixtures may look like.
        classes: fake classes per dataset, or the rule that chooses their number.
        max_classes: the most that a rule may choose.
        features: features, or groups of them, by which fake classes are clustered.
        feature_weights: factors of features, by name.
        feature_scale: what makes features run from 0 to 1: the samples of each dataset (the paper), or those of all
            datasets of the study together.
        image_weight: w_x, the weight of the images.
        mask_weight: w_y, the weight of the masks.
        p: how both are put together (Eq. 3).
        normalize: divides both by a scale that all pairs have in common, so that distances have no unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    components: Annotated[int | str, BeforeValidator(_number_or(COMPONENT_RULES))] = 5
    max_components: PositiveInt = 10
    covariance: Literal["full", "diag", "spherical", "tied"] = "full"
    classes: Annotated[int | str, BeforeValidator(_number_or(CLASS_RULES))] = 3
    max_classes: PositiveInt = 8
    features: Annotated[tuple[Feature, ...], Field(min_length=1)] | None = None
    feature_weights: dict[Feature, Annotated[FiniteFloat, Field(ge=0)]] | None = None
    feature_scale: Literal["dataset", "joint"] = "dataset"
    image_weight: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = 1.0
    mask_weight: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = 1.0
    p: Annotated[FiniteFloat, Field(ge=1)] = 1.0
    normalize: bool = False

    def of_formula(self) -> dict[str, Any]:
        """The options of the dataset distance, those that were given."""
        return {name: value for name, value in self._given().items() if name in OF_FORMULA}

    def of_masks(self) -> dict[str, Any]:
        """The options of mask metrics, those that were given."""
        return {name: value for name, value in self._given().items() if name not in OF_FORMULA}

    def _given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


OF_FORMULA = ("image_weight", "mask_weight", "p", "normalize")
