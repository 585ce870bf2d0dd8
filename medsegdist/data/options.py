"""How a study prepares its datasets, computes distances and runs its transfer learning; defaults are the paper's."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from medsegdist.words import did_you_mean

PIPELINE_VERSION = 2
"""Raised whenever the same preprocessing begins to give other samples, so that old caches are not used."""

LARGEST_GRID = 2**28  # points of a sample at most

Intensity = Literal["window", "hounsfield", "zscore"]


def _check_upright(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError(f"the window is upside down; expected low < high, found {list(window)}")
    return window


Window = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_check_upright)]
"""(low, high) intensities with low < high."""

_DELTAS: dict[Intensity, float] = {"window": -1.0, "hounsfield": -2048.0, "zscore": -6.0}
# The least intensity each rule can give; raw HU have none, so collect() looks at the data.
_LEAST: dict[Intensity, float] = {"window": 0.0, "zscore": -5.0}


class Preprocessing(BaseModel, frozen=True, extra="forbid"):
    """How every dataset of a study is brought to one form, for distances and training alike.

    Args:
        dimensions: 2 compares axial slices (the paper's protocol), 3 whole volumes.
        grid: size of every sample in grid steps: (rows, columns), or (slices, rows, columns) in 3D.
        spacing: mm per grid step, in the order of `grid`, after which samples are padded or cropped about their
            center; None stretches each sample to the grid.
        intensity: "window" clips to a window and rescales it to [0, 255]; "hounsfield" keeps CT as it is; "zscore"
            brings each sample to mean 0 and standard deviation 1, clipped to [-5, 5].
        ct_window: (low, high) in HU, for CT.
        percentiles: (low, high) percentiles of the volume's own intensities that stand in for the window elsewhere.
        delta: the number that a segment is shifted by to neutralize it (paper Eq. 7), below every intensity; None
            is -1 for "window", -2048 for "hounsfield", -6 for "zscore".
        min_pixels: foreground pixels that a sample needs on the grid; smaller ones are left out.
        max_samples: the most samples of one dataset, spread evenly over its patients.
        max_per_case: the most slices of one case; None takes all.
        seed: seed of every random choice.
    """

    dimensions: Literal[2, 3] = 2
    grid: tuple[PositiveInt, ...]
    spacing: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] | None = None
    intensity: Intensity = "window"
    ct_window: Window = (-1000.0, 400.0)
    percentiles: tuple[FiniteFloat, FiniteFloat] = (0.5, 99.5)
    delta: FiniteFloat | None = None
    min_pixels: PositiveInt = 10
    max_samples: PositiveInt = 500
    max_per_case: PositiveInt | None = None
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        axes = "(rows, columns)" if self.dimensions == 2 else "(slices, rows, columns)"
        if len(self.grid) != self.dimensions:
            raise ValueError(f"grid: expected {axes} for {self.dimensions} dimensions, found {list(self.grid)}")
        if math.prod(self.grid) > LARGEST_GRID:
            raise ValueError(
                f"grid: expected at most {LARGEST_GRID:,} points in a sample, which take 1 GiB, found {list(self.grid)}"
            )
        if self.spacing is not None and len(self.spacing) != self.dimensions:
            raise ValueError(f"spacing: expected mm for each of {axes}, found {list(self.spacing)}")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles: expected 0 <= low < high <= 100, found {list(self.percentiles)}")
        least = _LEAST.get(self.intensity)
        if least is not None and self.effective_delta >= least:
            raise ValueError(
                f"delta: expected a number below {least:g}, the least intensity that '{self.intensity}' gives, "
                f"found {self.effective_delta:g}; leave it out for {_DELTAS[self.intensity]:g}"
            )
        return self

    @property
    def effective_delta(self) -> float:
        """`delta`, or the intensity rule's own where none was given."""
        return _DELTAS[self.intensity] if self.delta is None else self.delta

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are the same for equal preprocessing, and for no other."""
        content = {**self.model_dump(mode="json"), "delta": self.effective_delta, "version": PIPELINE_VERSION}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


_Group = Literal["shape", "location", "texture"]
_Shape = Literal["regions", "area", "perimeter", "centroid"]
_Intensity = Literal["intensity_mean", "intensity_deviation", "intensity_entropy", "intensity_gradient"]
Feature = Literal[_Group, _Shape, _Intensity]
"""Features of segments and groups of them; `medsegdist.distance.features` defines each."""

COMPONENT_RULES = ("bic", "elbow", "silhouette")
CLASS_RULES = ("elbow", "bic", "gap")


def _number_or(rules: tuple[str, ...]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if (isinstance(value, int) and not isinstance(value, bool) and value >= 1) or value in rules:
            return value
        hint = did_you_mean(value, rules)
        raise ValueError(f"expected a number >= 1 or one of {', '.join(rules)}, found {value!r}{hint}")

    return check


class DistanceOptions(BaseModel, frozen=True, extra="forbid"):
    """Options of the distances; each one that is left out is as in the paper.

    Args:
        components: Gaussians of a mixture, or the rule that chooses their number per dataset.
        max_components: the most that a rule may choose.
        classes: fake classes per dataset, or the rule that chooses their number.
        max_classes: the most that a rule may choose.
        features: features, or groups of them, by which fake classes are clustered.
        feature_weights: factors of features, by name.
        feature_scale: whose samples make features run from 0 to 1: each dataset's (the paper), or all of the study.
        image_weight: w_x, the weight of the images.
        mask_weight: w_y, the weight of the masks.
        p: how both are put together (Eq. 3).
        normalize: divides both by a scale that all pairs share; None does so in rankings, but not with `--paper`, and
            not of cards, which have no common scale.
    """

    components: Annotated[int | str, BeforeValidator(_number_or(COMPONENT_RULES))] = 5
    max_components: PositiveInt = 10
    classes: Annotated[int | str, BeforeValidator(_number_or(CLASS_RULES))] = 3
    max_classes: PositiveInt = 8
    features: Annotated[tuple[Feature, ...], Field(min_length=1)] | None = None
    feature_weights: dict[Feature, Annotated[FiniteFloat, Field(ge=0)]] | None = None
    feature_scale: Literal["dataset", "joint"] = "dataset"
    image_weight: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = 1.0
    mask_weight: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = 1.0
    p: Annotated[FiniteFloat, Field(ge=1)] = 1.0
    normalize: bool | None = None

    def of_formula(self) -> dict[str, Any]:
        """The options of the dataset distance, those that were given."""
        return self.model_dump(include=set(OF_FORMULA), exclude_unset=True)

    def of_masks(self) -> dict[str, Any]:
        """The options of mask metrics, those that were given."""
        return self.model_dump(exclude=set(OF_FORMULA), exclude_unset=True)


OF_FORMULA = ("image_weight", "mask_weight", "p", "normalize")


_Rate = Annotated[FiniteFloat, Field(gt=0, le=1)]
_Norm = Literal["batch", "group", "instance"]


class DeepLabOptions(BaseModel, frozen=True, extra="forbid"):
    """DeepLabV3+; as it stands here, the published one with a ResNet-50 encoder.

    Args:
        kind: which network this is.
        width: channels of the stem; the stages have 1, 2, 4 and 8 times as many, and 4 times that after bottlenecks.
        depths: blocks of each stage.
        block: "bottleneck" (ResNet-50 and deeper) or "basic" (ResNet-18, ResNet-34).
        stem_stride: 4 as published, or 2, without the pooling of the stem, for small grids.
        output_stride: 16 or 8: how much coarser than the image the encoder's last features are.
        atrous_rates: dilations of the three atrous branches; None is (6, 12, 18), doubled at output stride 8.
        aspp_channels: channels of the pyramid and of the decoder.
        norm: "batch" as published; "group" for batches of one or two samples.
        dropout: share of the pyramid's features that are dropped in training.
    """

    kind: Literal["deeplabv3plus"] = "deeplabv3plus"
    width: Annotated[int, Field(ge=4)] = 64
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 4, 6, 3)
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem_stride: Literal[2, 4] = 4
    output_stride: Literal[8, 16] = 16
    atrous_rates: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    aspp_channels: Annotated[int, Field(ge=4)] = 256
    norm: _Norm = "batch"
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.0


class UNetOptions(BaseModel, frozen=True, extra="forbid"):
    """MONAI's U-Net.

    Args:
        kind: which network this is.
        channels: of each level; every level but the last halves the grid.
        residual_units: of each level.
        norm: the normalization.
        dropout: share of features that are dropped in training.
    """

    kind: Literal["unet"] = "unet"
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=7)] = (32, 64, 128, 256)
    residual_units: NonNegativeInt = 2
    norm: _Norm = "batch"
    dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.0


NetworkOptions = Annotated[DeepLabOptions | UNetOptions, Field(discriminator="kind")]
"""Any network; in YAML its key `kind` says which."""


class Augmentation(BaseModel, frozen=True, extra="forbid"):
    """How training samples are varied; every sample of a batch has draws of its own.

    Args:
        flip: probability to mirror along each axis in the slice plane. Anatomy is not symmetric: 0 by default.
        rotation: greatest angle in degrees, about the center, in the slice plane.
        scaling: greatest relative change of size.
        shift: greatest shift along each axis, as a share of the grid.
        intensity: greatest relative change of contrast, and of brightness as a share of the input's range of 2.
    """

    flip: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    rotation: Annotated[FiniteFloat, Field(ge=0, le=180)] = 15.0
    scaling: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.15
    shift: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.05
    intensity: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1


ScoreName = Literal["logme", "gbc", "cc_fv", "nce", "task2vec", "deep_sets", "data_shapley"]
"""Scores of pre-trained networks and of datasets, to be compared with distances."""


class TrainingOptions(BaseModel):
    """How a network is trained.

    Args:
        network: DeepLabV3+ or a U-Net.
        steps: optimizer steps of a pre-training, and of a training from scratch.
        validate_every: steps between two validations, each of which leaves a checkpoint; a divisor of `steps`.
        select: which weights are the result: "best", of the best validation, or "last". "last" sets no patient aside,
            which suits targets of a few patients; the validation Dice is then that of the training samples.
        batch_size: samples, or patches, of a step.
        learning_rate: of Adam, from scratch.
        loss: "dice" (the paper's, over the whole batch) or "dice_ce", with cross-entropy added.
        augmentation: None leaves samples as they are.
        patience: validations without a better Dice after which a run ends; None runs all steps.
        patch_size: grid of patches to train on, for volumes that are too large; inference slides over the whole.
        overlap: of neighboring patches in inference.
        amp: bfloat16 on CUDA.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: NetworkOptions = DeepLabOptions()
    steps: PositiveInt = 2000
    validate_every: PositiveInt = 100
    select: Literal["best", "last"] = "best"
    batch_size: PositiveInt = 8
    learning_rate: _Rate = 1e-3
    loss: Literal["dice", "dice_ce"] = "dice"
    augmentation: Augmentation | None = Augmentation()
    patience: PositiveInt | None = None
    patch_size: tuple[PositiveInt, ...] | None = None
    overlap: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.25
    amp: bool = True

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.steps % self.validate_every:
            every = self.validate_every
            raise ValueError(f"steps: expected a multiple of validate_every ({every}), found {self.steps}")
        if self.select == "last" and self.patience is not None:
            raise ValueError("patience: expected none with select: last, which has no validation to wait for")
        return self

    def check_grid(self, grid: tuple[int, ...]) -> None:
        """Refuse patches that have no place in samples of this `grid`.

        Raises:
            ValueError: another number of dimensions, or a patch larger than the grid.
        """
        patch = self.patch_size or grid
        if len(patch) != len(grid) or any(one > whole for one, whole in zip(patch, grid, strict=True)):
            raise ValueError(f"patch_size: expected a patch within the grid {list(grid)}, found {list(patch)}")


class TransferOptions(TrainingOptions):
    """The transfer learning of a study; each option that is left out is as in the paper where the paper says it.

    Args:
        fine_tuning_steps: steps of a fine-tuning; None is as many as `steps`.
        fine_tuning_learning_rate: of Adam, from a pre-training.
        seeds: one repetition of everything for each of them.
        split_seed: draws the target's test patients, who are the same for all seeds.
        validation_fraction: share of the patients that are not tested on.
        test_fraction: share of a target's patients that Dice is reported on.
        target_cases: patients of a target to train on, the short-sample setting; validation shrinks in proportion.
            None takes all.
        dice_floor: a pre-training or training from scratch whose own validation Dice stays below has collapsed: it is
            repeated with foreground-balanced sampling and the loss "dice_ce", and then counts as not converged.
        control: also trains from scratch with the steps and learning rates of a pre-training and a fine-tuning.
        pooled: also pre-trains on all sources of a target together, as one more source called "pooled".
        curve: steps after which the test Dice is measured, too, for learning_curves.csv; 0 is before the first one.
            Each a multiple of validate_every.
        keep_weights: also of fine-tuned networks and baselines.
        scores: what is measured on the pre-trained networks and written to scores.csv, for `medsegdist agreement`.
    """

    fine_tuning_steps: PositiveInt | None = None
    fine_tuning_learning_rate: _Rate = 1e-4
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1, 2)
    split_seed: NonNegativeInt = 0
    validation_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[FiniteFloat, Field(gt=0, lt=1)] = 0.3
    target_cases: PositiveInt | None = None
    dice_floor: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1
    control: bool = True
    pooled: bool = False
    curve: tuple[NonNegativeInt, ...] = ()
    keep_weights: bool = False
    scores: tuple[ScoreName, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        fine = self.effective_fine_tuning_steps
        if fine % self.validate_every:
            raise ValueError(
                f"fine_tuning_steps: expected a multiple of validate_every ({self.validate_every}), found {fine}"
            )
        for step in self.curve:
            if step % self.validate_every or step > min(fine, self.steps):
                raise ValueError(
                    f"curve: expected multiples of validate_every ({self.validate_every}) up to "
                    f"{min(fine, self.steps)}, found {step}"
                )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: expected each seed once, found {list(self.seeds)}")
        return self

    @property
    def effective_fine_tuning_steps(self) -> int:
        """`fine_tuning_steps`, or `steps` where none were given."""
        return self.steps if self.fine_tuning_steps is None else self.fine_tuning_steps
