"""Learning curves: test Dice after some steps of fine-tuning, as a table that is written and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from medsegdist.errors import DataError
from medsegdist.files import read_csv
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
