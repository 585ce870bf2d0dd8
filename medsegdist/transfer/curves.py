"""Learning curves: Dice after some steps of training, as a table that is written and read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from medsegdist.errors import DataError
from medsegdist.files import read_bytes, read_csv
from medsegdist.transfer.gains import NOT_CONVERGED, OK, UNDEFINED, Gain

if TYPE_CHECKING:
    from medsegdist.transfer.runs import TransferStudy


def learning_curves(study: TransferStudy) -> pd.DataFrame:
    """The test Dice of fine-tunings at the steps of `curve`, with that of training from scratch for as many steps.

    Those of a pre-training that did not converge are left out: they say nothing of its dataset.

    Args:
        study: whose runs are done, or some of them.

    Returns:
        Columns source, target, seed, step, dice, dice_baseline: what learning_curves.csv holds.
    """
    outcomes = {run.key: study.log.outcome(run.key) or {} for run in study.runs}
    rows = [
        (run.source, run.target, run.seed, step, dice, scratch)
        for run in study.runs
        if run.kind == "fine_tuning" and outcomes[run.needs[0]].get("status") != NOT_CONVERGED
        for (step, dice), (_, scratch) in zip(
            outcomes[run.key].get("curve", ()), outcomes[run.needs[-1]].get("curve", ()), strict=False
        )
    ]
    return pd.DataFrame(rows, columns=["source", "target", "seed", "step", "dice", "dice_baseline"])


@dataclass(frozen=True)
class CurvePoint:
    """The Dice of a fine-tuning after some steps, a row of `learning_curves.csv`.

    Args:
        source: dataset of pre-training.
        target: dataset of fine-tuning.
        seed: of the run.
        step: how many steps of fine-tuning.
        dice: test Dice score, 0 to 1.
        dice_baseline: that from scratch after as many steps.
    """

    source: str
    target: str
    seed: int
    step: int
    dice: float
    dice_baseline: float


def read_curve(path: str | Path, *, step: int | None = None) -> list[CurvePoint]:
    """The points of a `learning_curves.csv` at one step.

    Args:
        path: the file.
        step: which one; None takes the last.

    Raises:
        DataError: it is no such table, or has no such step.
    """
    remedy = "`medsegdist transfer` writes it if the study's `transfer` has a `curve`"
    points = read_csv(path, CurvePoint, key=("source", "target", "seed", "step"), remedy=remedy)
    steps = sorted({one.step for one in points})
    chosen = steps[-1] if step is None else step
    if chosen not in steps:
        raise DataError(f"{path}: expected a step among {', '.join(map(str, steps))}, found {step}.")
    return [one for one in points if one.step == chosen]


def read_learning_curves(path: str | Path, *, step: int | None = None) -> list[Gain]:
    """Gains at one step of a `learning_curves.csv`, over training from scratch for as many steps.

    Args:
        path: the file.
        step: which one; None takes the last.

    Raises:
        DataError: as for :func:`read_curve`.
    """
    return [
        Gain(
            one.source,
            one.target,
            one.seed,
            one.dice,
            one.dice_baseline,
            status=OK if one.dice_baseline > 0 else UNDEFINED,
        )
        for one in read_curve(path, step=step)
    ]


@dataclass(frozen=True)
class LearningCurve:
    """The Dice of one training after some of its steps.

    Args:
        source: dataset of pre-training; "" for training from scratch.
        target: dataset that was trained on.
        seed: of the run.
        points: (step, Dice) in the order of the steps.
        tested: Dice is of the test patients; if not, of those for validation.
    """

    source: str
    target: str
    seed: int
    points: tuple[tuple[int, float], ...]
    tested: bool


@dataclass(frozen=True)
class _Line:
    """What counts in a line of runs.jsonl."""

    kind: str
    source: str | None
    target: str | None
    seed: int
    dice: float | None = None
    history: tuple[tuple[int, float, float], ...] = ()


def read_curves(folder: str | Path, gains: Sequence[Gain]) -> tuple[LearningCurve, ...]:
    """The curves that `medsegdist transfer` left: `learning_curves.csv`, or else the validations in `runs.jsonl`.

    Args:
        folder: it may hold neither.
        gains: of its `gains.csv`; a run of `runs.jsonl` counts if its Dice is there, for a file may hold earlier runs.

    Raises:
        DataError: a file is not what `transfer` writes.
    """
    table, log = Path(folder) / "learning_curves.csv", Path(folder) / "runs.jsonl"
    if table.exists():
        points = read_csv(table, CurvePoint, key=("source", "target", "seed", "step"), rows_needed=False)
        found: dict[tuple[str, str, int], dict[int, float]] = {}
        for one in points:
            found.setdefault((one.source, one.target, one.seed), {})[one.step] = one.dice
            found.setdefault(("", one.target, one.seed), {})[one.step] = one.dice_baseline
        return tuple(LearningCurve(*key, tuple(sorted(of_run.items())), tested=True) for key, of_run in found.items())
    return tuple(_validations(log, gains)) if log.exists() else ()


def _validations(path: Path, gains: Sequence[Gain]) -> Iterator[LearningCurve]:
    kept = {("fine_tuning", one.source, one.target, one.seed, _digits(one.dice)) for one in gains}
    kept |= {("baseline", "", one.target, one.seed, _digits(one.dice_baseline)) for one in gains}
    content, lines = read_bytes(path), TypeAdapter(_Line)
    # A line that is being written has no end yet.
    for number, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            line = lines.validate_python(json.loads(text))
        except (ValidationError, ValueError, RecursionError) as error:
            raise DataError(
                f"{path}: line {number} is damaged; expected how a run ended, as `transfer` writes it",
                "delete the line, or remove the file to report without learning curves",
            ) from error
        run = (line.kind, line.source or "", line.target or "", line.seed, _digits(line.dice))
        if run in kept:
            kept.remove(run)  # of equal runs, one
            points = tuple((step, dice) for step, dice, _ in line.history)
            yield LearningCurve(line.source or "", line.target or "", line.seed, points, tested=False)


def _digits(dice: float | None) -> str:
    """A Dice score as gains.csv has it."""
    return "" if dice is None else f"{dice:.6f}"


def mean_curve(curves: Sequence[LearningCurve]) -> list[tuple[int, float]]:
    """(step, mean Dice over the seeds) at the steps that all of them have.

    Args:
        curves: of one source and target.
    """
    known = [dict(one.points) for one in curves]
    steps = sorted(set.intersection(*map(set, known))) if known else []
    return [(step, fmean(one[step] for one in known)) for step in steps]
