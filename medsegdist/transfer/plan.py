"""Which runs a study is made of, all that each is made from, and a key that changes with any of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from medsegdist.data.options import Augmentation, DeepLabOptions, TransferOptions, UNetOptions
from medsegdist.data.preprocessing import Preprocessing


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


TRAINING_VERSION = 1
"""Raised whenever the same configuration begins to give other results, so that old runs do not count as done."""

Kind = Literal["baseline", "pretraining", "fine_tuning", "control"]


@dataclass(frozen=True, slots=True)
class Run:
    """One training of the grid.

    Args:
        key: 16 hexadecimal digits, of all that it is made from.
        kind: "baseline" is a target's training from scratch; "pretraining" one on a source; "fine_tuning" goes on
            from a pre-training on a target; "control" is from scratch with the steps of both.
        source: the dataset that is pre-trained on, if one is.
        target: the dataset that is tested on; None for a pre-training.
        seed: of weights, order and splits.
        recipe: of the training.
        left_out: indices of samples of the source that it may not see: of a target's test patients.
        needs: keys of the runs that must be done before: the pre-training whose weights it starts from, and the
            target's baseline, whose recipe it shares if that had to be hardened.
    """

    key: str
    kind: Kind
    source: str | None
    target: str | None
    seed: int
    recipe: Recipe
    needs: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        names = " -> ".join(name for name in (self.source, self.target) if name is not None)
        return f"{self.kind.replace('_', '-')} {names}, seed {self.seed}"


def plan_runs(
    targets: Sequence[str],
    sources_of: Callable[[str], Sequence[str]],
    fingerprints: Mapping[str, str],
    options: TransferOptions,
    scale: IntensityScale,
    left_out: Mapping[str, tuple[int, ...]],
) -> tuple[Run, ...]:
    """All runs of a study, each after those that it needs.

    Args:
        targets: names of datasets.
        sources_of: names of the sources of a target.
        fingerprints: of the samples of each dataset, by name.
        options: of the study.
        scale: how intensities enter the network.
        left_out: indices of samples that the pre-training on a source may not see, by source.
    """
    runs: dict[str, Run] = {}

    def add(kind: Kind, source: str | None, target: str | None, seed: int, *needs: str) -> str:
        recipe = Recipe.of(options, "scratch" if kind in ("baseline", "pretraining") else _recipe_kind(kind), scale)
        made_from: dict[str, Any] = {
            "version": TRAINING_VERSION,
            "kind": kind,
            "seed": seed,
            "recipe": recipe.as_json(),
            "source": None if source is None else [source, fingerprints[source]],
            "target": None if target is None else [target, fingerprints[target]],
            "split": _split_options(options, target),
            "floor": None if kind == "fine_tuning" else options.dice_floor,
            "needs": needs,
        }
        hidden = left_out.get(source or "", ()) if kind == "pretraining" else ()
        if hidden:
            made_from["left_out"] = hidden
        text = json.dumps(made_from, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        runs[key] = Run(key, kind, source, target, seed, recipe, needs, hidden)
        return key

    baselines = {(target, seed): add("baseline", None, target, seed) for seed in options.seeds for target in targets}
    sources = dict.fromkeys(source for target in targets for source in sources_of(target))
    pretrainings = {
        (source, seed): add("pretraining", source, None, seed) for seed in options.seeds for source in sources
    }
    for seed in options.seeds:
        for target in targets:
            for source in sources_of(target):
                add("fine_tuning", source, target, seed, pretrainings[source, seed], baselines[target, seed])
    if options.control:
        for target, seed in baselines:
            add("control", None, target, seed, baselines[target, seed])
    return tuple(runs.values())


def _recipe_kind(kind: Kind) -> Literal["fine_tuning", "control"]:
    return "control" if kind == "control" else "fine_tuning"


def _split_options(options: TransferOptions, target: str | None) -> dict[str, Any]:
    names = {"validation_fraction"}
    if target is not None:
        names |= {"test_fraction", "split_seed", "target_cases"}
    return options.model_dump(mode="json", include=names)
