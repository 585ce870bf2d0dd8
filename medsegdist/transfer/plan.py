"""Which runs a study is made of, all that each is made from, and a key that changes with any of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import PositiveFloat

from medsegdist.data.options import Augmentation, TrainingOptions, TransferOptions
from medsegdist.data.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """The one affine rule by which intensities enter a network: (intensity - center) / half_range.

    The same for every dataset of a study, so that a network sees the brightness that the distances see.
    """

    center: float = 127.5  # becomes 0
    half_range: PositiveFloat = 127.5  # becomes 1; positive

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


class Recipe(TrainingOptions):
    """How one network is trained."""

    augmentation: Augmentation | None = None
    drop_after: int | None = None  # steps after which `final_learning_rate` holds; None never
    final_learning_rate: float = 1e-4  # see `drop_after`
    # Half of each batch is drawn in proportion to the foreground (of patches, three in four are drawn about
    # foreground), instead of each sample as often as any other.
    balanced: bool = False
    scale: IntensityScale = IntensityScale()  # how intensities enter the network

    @classmethod
    def of(cls, options: TransferOptions, kind: Kind, scale: IntensityScale) -> Recipe:
        """The recipe of one kind of run in a study; "control" has the steps and rates of both trainings in turn."""
        shared = {name: getattr(options, name) for name in TrainingOptions.model_fields}
        rate = options.fine_tuning_learning_rate
        given: dict[str, Any] = {**shared, "scale": scale}
        if kind == "fine_tuning":
            given |= {"steps": options.effective_fine_tuning_steps, "learning_rate": rate}
        elif kind == "control":
            steps = options.steps + options.effective_fine_tuning_steps
            given |= {"steps": steps, "drop_after": options.steps, "final_learning_rate": rate}
        return cls(**given)

    def hardened(self) -> Recipe:
        """The recipe with which a collapsed training is repeated.

        Dice alone has hardly any gradient where a network marks nothing at all; cross-entropy has, and batches with
        more foreground give it more to go by.
        """
        return self.model_copy(update={"balanced": True, "loss": "dice_ce"})


TRAINING_VERSION = 2
"""Raised whenever the same configuration begins to give other results, so that old runs do not count as done."""

POOLED = "pooled"  # what all sources of a target together are called

Kind = Literal["baseline", "pretraining", "fine_tuning", "control"]


@dataclass(frozen=True, slots=True)
class Run:
    """One training of the grid."""

    key: str  # 16 hexadecimal digits, of all that it is made from
    # "baseline" is a target's training from scratch; "pretraining" one on a source; "fine_tuning" goes on from that one
    # on a target; "control" is from scratch with the steps of both.
    kind: Kind
    source: str | None  # the dataset that is pre-trained on, if one is
    target: str | None  # the dataset that is tested on; None for a pre-training
    seed: int  # of weights, order and splits
    recipe: Recipe  # of the training
    # Names of the datasets that are trained on: one, or several where `source` is POOLED. With each, the indices of
    # samples that may not be seen: of a target's test patients.
    trained_on: tuple[tuple[str, tuple[int, ...]], ...]
    # Keys of the runs that must be done before: the pre-training whose weights it starts from, and the target's
    # baseline, whose recipe it shares if that had to be hardened.
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        names = " -> ".join(name for name in (self.source, self.target) if name is not None)
        of = f" of {len(self.trained_on)} datasets" if len(self.trained_on) > 1 else ""
        return f"{self.kind.replace('_', '-')} {names}{of}, seed {self.seed}"

    def facts(self) -> dict[str, Any]:
        """What its line of runs.jsonl begins with."""
        return {"run": self.key} | {name: getattr(self, name) for name in ("kind", "source", "target", "seed")}


def plan_runs(
    targets: Sequence[str],
    sources_of: Callable[[str], Sequence[str]],
    fingerprints: Mapping[str, str],
    options: TransferOptions,
    scale: IntensityScale,
    left_out: Mapping[str, tuple[int, ...]],
) -> tuple[Run, ...]:
    """All runs of a study, each after those that it needs.

    The pre-training on a source may not see its samples in `left_out`; `fingerprints` are of each dataset's samples.
    """
    runs: dict[str, Run] = {}

    def add(
        kind: Kind, source: str | None, target: str | None, seed: int, *needs: str, pool: Sequence[str] = ()
    ) -> str:
        recipe = Recipe.of(options, kind, scale)
        hidden_in = {} if target else left_out
        trained_on = tuple((name, hidden_in.get(name, ())) for name in pool or [target or source or ""])
        split = {"validation_fraction"} | ({"test_fraction", "split_seed", "target_cases"} if target else set())
        made_from: dict[str, Any] = {
            "version": TRAINING_VERSION,
            "kind": kind,
            "seed": seed,
            "recipe": recipe.model_dump(mode="json"),
            "source": source,
            "target": target,
            "trained_on": [(name, fingerprints[name], hidden) for name, hidden in trained_on],
            "curve": options.curve if target else (),
            "split": options.model_dump(mode="json", include=split),
            "floor": None if kind == "fine_tuning" else options.dice_floor,
            "needs": needs,
        }
        text = json.dumps(made_from, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        runs[key] = Run(key, kind, source, target, seed, recipe, trained_on, needs)
        return key

    baselines = {(target, seed): add("baseline", None, target, seed) for seed in options.seeds for target in targets}
    sources = dict.fromkeys(source for target in targets for source in sources_of(target))
    pretrainings = {
        (source, seed): add("pretraining", source, None, seed) for seed in options.seeds for source in sources
    }
    for seed in options.seeds:
        for target in targets:
            started_from = {source: pretrainings[source, seed] for source in sources_of(target)}
            if options.pooled and len(started_from) > 1:
                started_from[POOLED] = add("pretraining", POOLED, None, seed, pool=sources_of(target))
            for source, pretraining in started_from.items():
                add("fine_tuning", source, target, seed, pretraining, baselines[target, seed])
    if options.control:
        for target, seed in baselines:
            add("control", None, target, seed, baselines[target, seed])
    return tuple(runs.values())
