"""Which runs a study is made of, what each rests on, and a key that changes with anything that a run is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medsegdist.data.transfer_options import TransferOptions
from medsegdist.transfer.recipe import IntensityScale, Recipe

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
