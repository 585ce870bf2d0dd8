"""All that one training run does, but for its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from medsegdist.data.preprocessing import Preprocessing
from medsegdist.data.transfer_options import Augmentation, DeepLabOptions, TransferOptions, UNetOptions


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """The one affine rule by which intensities enter a network: (intensity - center) / half_range.

    The same for every dataset of a study, so that a network sees the brightness that the distances see.

    Args:
        center: becomes 0.
        half_range: becomes 1; positive.
    """

    center: float = 127.5
    half_range: float = 127.5

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> IntensityScale:
        """The rule for samples of this preprocessing.

        "window" maps [0, 255] to [-1, 1], "hounsfield" the study's CT window (nothing is clipped), and "zscore" stays
        as it is.
        """
        if preprocessing.intensity == "zscore":
            return cls(0.0, 1.0)
        low, high = preprocessing.ct_window if preprocessing.intensity == "hounsfield" else (0.0, 255.0)
        return cls((low + high) / 2, (high - low) / 2)


_DEEPLAB = DeepLabOptions()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one network is trained.

    Args:
        network: its architecture.
        steps: optimizer steps, a multiple of `validate_every`.
        learning_rate: of Adam.
        drop_after: steps after which `final_learning_rate` holds; None never.
        final_learning_rate: see `drop_after`.
        validate_every: steps between two validations.
        batch_size: samples, or patches, of a step.
        loss: "dice" or "dice_ce".
        balanced: half of each batch is drawn in proportion to the foreground (of patches, three in four are drawn
            about foreground), instead of each sample as often as any other.
        augmentation: how samples are varied.
        patience: validations without a better Dice after which the run ends.
        patch_size: grid of patches to train on; None takes whole samples.
        overlap: of neighboring patches in inference.
        amp: bfloat16 on CUDA.
        scale: how intensities enter the network.
    """

    network: DeepLabOptions | UNetOptions = _DEEPLAB
    steps: int = 2000
    learning_rate: float = 1e-3
    drop_after: int | None = None
    final_learning_rate: float = 1e-4
    validate_every: int = 100
    batch_size: int = 8
    loss: Literal["dice", "dice_ce"] = "dice"
    balanced: bool = False
    augmentation: Augmentation | None = None
    patience: int | None = None
    patch_size: tuple[int, ...] | None = None
    overlap: float = 0.25
    amp: bool = True
    scale: IntensityScale = IntensityScale()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.validate_every < 1 or self.steps % self.validate_every:
            raise ValueError(
                f"expected steps that are a multiple of validate_every, found {self.steps} and {self.validate_every}."
            )
        if self.batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, found {self.batch_size}.")
        if not self.scale.half_range > 0:
            raise ValueError(f"expected a half_range > 0, found {self.scale.half_range}.")

    @classmethod
    def of(
        cls, options: TransferOptions, kind: Literal["scratch", "control", "fine_tuning"], scale: IntensityScale
    ) -> Recipe:
        """The recipe of one kind of run in a study.

        Args:
            options: the study's.
            kind: "scratch" for pre-trainings and baselines, "fine_tuning" from a pre-training, or "control": from
                scratch with the steps and learning rates of both, one after the other.
            scale: the study's.
        """
        fine = options.effective_fine_tuning_steps
        steps = {"scratch": options.steps, "fine_tuning": fine, "control": options.steps + fine}[kind]
        fine_rate = options.fine_tuning_learning_rate
        return cls(
            network=options.network,
            steps=steps,
            learning_rate=fine_rate if kind == "fine_tuning" else options.learning_rate,
            drop_after=options.steps if kind == "control" else None,
            final_learning_rate=fine_rate,
            validate_every=options.validate_every,
            batch_size=options.batch_size,
            loss=options.loss,
            augmentation=options.augmentation,
            patience=options.patience,
            patch_size=options.patch_size,
            overlap=options.overlap,
            amp=options.amp,
            scale=scale,
        )

    def as_json(self) -> dict[str, Any]:
        """Every field as JSON has it; equal for equal recipes and no others."""
        content: dict[str, Any] = TypeAdapter(Recipe).dump_python(self, mode="json")
        return content
