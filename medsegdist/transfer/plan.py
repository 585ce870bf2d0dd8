"""Which runs a study is made of, all that each is made from, and which patients each sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import PositiveFloat

from medsegdist.data.options import Augmentation, Preprocessing, TrainingOptions, TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from medsegdist.words import counted


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


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of samples in increasing order; no patient is in two of the three."""

    train: tuple[int, ...]  # samples to train on, at least one
    # Samples that choose the best weights, at least one; those of `train` where the last weights count.
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()  # samples that Dice is reported on; none for a source


def split_source(
    name: str, patient_ids: Sequence[str], options: TransferOptions, seed: int, left_out: Collection[int] = ()
) -> Split:
    """Training and validation patients of a source, from the patient of each sample; nothing is tested on it.

    `left_out` are indices of samples whose patients are tested on in a target.
    """
    hidden = {patient_ids[k] for k in left_out}
    patients = [patient for patient in dict.fromkeys(patient_ids) if patient not in hidden]
    if len(patients) < 2:
        others = f" besides the {len(hidden)} that a target is tested on" if hidden else ""
        raise DataError(
            f"expected at least 2 patients to pre-train on, one of them for validation, found {len(patients)}{others}",
            "add patients, or check that the layout distinguishes patients",
            dataset=name,
        )
    drawn = _shuffled(patients, seed)
    if options.select == "last":
        return _by_patient(patient_ids, drawn, drawn)
    held_out = _share(options.validation_fraction, len(drawn))
    return _by_patient(patient_ids, drawn[held_out:], drawn[:held_out])


def split_target(name: str, patient_ids: Sequence[str], options: TransferOptions, seed: int) -> Split:
    """Training, validation and test patients of a target.

    The test patients are the same for all seeds. With `target_cases`, so many of the other patients are trained on,
    and validation keeps its proportion to them: a short sample is short in all that is labeled. With `select` "last"
    no patient is set aside to validate on.
    """
    patients = list(dict.fromkeys(patient_ids))
    if len(patients) < 3:
        raise DataError(
            f"expected at least 3 patients of a target, one each to train, validate and test on, found {len(patients)}",
            "add patients, or check that the layout distinguishes patients",
            dataset=name,
        )
    drawn = _shuffled(patients, options.split_seed)
    # Two patients must be left, one to train and one to validate on.
    tested = min(_share(options.test_fraction, len(drawn)), len(drawn) - 2)
    rest = _shuffled(drawn[tested:], seed)
    fraction = options.validation_fraction
    if options.select == "last":
        held_out, trained = 0, options.target_cases or len(rest)
    elif options.target_cases is None:
        held_out = min(_share(fraction, len(rest)), len(rest) - 1)
        trained = len(rest) - held_out
    else:
        trained = options.target_cases
        held_out = max(1, round(trained * fraction / (1 - fraction)))
    if trained + held_out > len(rest):
        validated = f" and {held_out} to validate on" if held_out else ""
        raise DataError(
            f"target_cases {trained} needs {counted(trained, 'patient')} to train on{validated}, found {len(rest)} "
            f"besides the {tested} to test on",
            "lower target_cases or the fractions",
            dataset=name,
        )
    training = rest[held_out : held_out + trained]
    return _by_patient(patient_ids, training, rest[:held_out] or training, drawn[:tested])


def _share(fraction: float, patients: int) -> int:
    """At least one patient, and never all of them."""
    return min(max(1, round(fraction * patients)), patients - 1)


def _shuffled(patients: Sequence[str], seed: int) -> list[str]:
    return [patients[k] for k in np.random.default_rng(seed).permutation(len(patients))]


def _by_patient(patient_ids: Sequence[str], *parts: Sequence[str]) -> Split:
    members = (frozenset(part) for part in parts)
    return Split(*(tuple(k for k, patient in enumerate(patient_ids) if patient in some) for some in members))


def seen_test_samples(
    samples: Mapping[str, SegmentationSamples],
    tested: Mapping[str, Sequence[int]],
    sources_of: Callable[[str], Sequence[str]],
) -> dict[str, tuple[int, ...]]:
    """Indices of samples that the pre-training on a source leaves out, in increasing order, of sources that have any.

    Several tasks on the same images make such sources: one holds the images that another is tested on. Two datasets
    with an image in common are taken for such a pair; of the source, every patient is left out who has an image, or
    the name, of a test patient of the target. Datasets without a common image may use the same names for other
    patients.
    """
    digests = {
        name: [hashlib.blake2b(image.cpu().contiguous().numpy().data, digest_size=16).digest() for image in one.images]
        for name, one in samples.items()
    }
    left_out: dict[str, set[int]] = {}
    for target, rows in tested.items():
        of_target = set(digests[target])
        images = {digests[target][k] for k in rows}
        names = {samples[target].patient_ids[k] for k in rows}
        for source in sources_of(target):
            if of_target.isdisjoint(digests[source]):
                continue
            owners = samples[source].patient_ids
            patients = names | {owners[k] for k, digest in enumerate(digests[source]) if digest in images}
            left_out.setdefault(source, set()).update(k for k, owner in enumerate(owners) if owner in patients)
    return {source: tuple(sorted(found)) for source, found in left_out.items() if found}
