"""How the runs of a study ended: runs.jsonl, and the gains and learning curves that follow from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsegdist.errors import DataError
from medsegdist.files import read_bytes, read_csv, sync
from medsegdist.transfer.gains import NOT_CONVERGED, OK, UNDEFINED, Gain

if TYPE_CHECKING:
    from medsegdist.transfer.runs import TransferStudy


class _Outcome(BaseModel):
    """What others need of a line of runs.jsonl."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    run: str
    kind: Literal["baseline", "pretraining", "fine_tuning", "control"]
    status: Literal["done", "not_converged", "failed"]
    dice: Annotated[float, Field(ge=0, le=1)] | None = None
    validation_dice: Annotated[float, Field(ge=0, le=1)] | None = None
    hardened: bool = False
    source: str | None = None
    target: str | None = None
    seed: int = 0
    history: tuple[tuple[int, float, float], ...] = ()

    @model_validator(mode="after")
    def _has_a_score(self) -> _Outcome:
        # A pre-training has no test cases.
        score = self.validation_dice if self.kind == "pretraining" else self.dice
        if score is None and self.status != "failed":
            raise ValueError("the Dice score is missing")
        return self


def _read_outcomes(path: Path, lines: bytes, remedy: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            _Outcome.model_validate_json(line)
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}: line {number} is damaged; expected how a run ended, as `transfer` writes it", remedy
            ) from error


class RunLog:
    """runs.jsonl: one line for each run that ended, appended and never changed.

    A process that is killed while it writes leaves a torn line, which is cut off; any other damage is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_bytes(path) if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
                sync(file)
        outcomes = _read_outcomes(path, whole, "delete the line, and its run is repeated")
        self._entries = {outcome["run"]: outcome for outcome in outcomes}

    def outcome(self, key: str) -> Mapping[str, Any] | None:
        """The last that was written of the run with this `key`; None if it never ended."""
        return self._entries.get(key)

    def append(self, outcome: Mapping[str, Any]) -> None:
        """Write how a run ended, with its key as "run"; it is on the disk when this returns."""
        line = json.dumps(outcome, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write(line.encode())
                file.flush()
                sync(file)
            except OSError as error:
                # No half line stays behind on a full disk.
                os.truncate(self.path, end)
                error.filename = os.fspath(self.path)
                raise
        self._entries[outcome["run"]] = dict(outcome)


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How the runs of a study ended."""

    # Of every fine-tuning that ended, also those whose pre-training or baseline did not converge.
    gains: tuple[Gain, ...]
    controls: tuple[Gain, ...]  # of training from scratch with the steps of a pre-training and a fine-tuning
    not_converged: tuple[str, ...]  # titles of pre-trainings and baselines that learned nothing, twice
    failed: tuple[tuple[str, str], ...]  # titles of runs that failed, or rest on one that did, with the reason
    done: int  # runs that ended well, now or before


def result_of(study: TransferStudy, failures: Mapping[str, str]) -> TransferResult:
    """How the runs of a study ended, some of which failed for a reason, by their key."""
    outcomes = {run.key: study.log.outcome(run.key) for run in study.runs if run.key not in failures}
    gains: list[Gain] = []
    controls: list[Gain] = []
    for run in study.runs:
        outcome = outcomes.get(run.key)
        if outcome is None or run.kind not in ("fine_tuning", "control"):
            continue
        before = [found for need in run.needs if (found := outcomes.get(need)) is not None]
        baseline = float(before[-1]["dice"])
        status = OK if baseline else UNDEFINED
        if any(one["status"] == NOT_CONVERGED for one in before):
            status = NOT_CONVERGED
        gain = Gain(run.source or "", run.target or "", run.seed, float(outcome["dice"]), baseline, status=status)
        (gains if run.kind == "fine_tuning" else controls).append(gain)
    titles = {run.key: run.title for run in study.runs}
    ended = [(key, outcome) for key, outcome in outcomes.items() if outcome is not None]
    return TransferResult(
        gains=tuple(gains),
        controls=tuple(controls),
        not_converged=tuple(titles[key] for key, outcome in ended if outcome["status"] == NOT_CONVERGED),
        failed=tuple((titles[key], reason) for key, reason in failures.items()),
        done=sum(outcome["status"] == "done" for _, outcome in ended),
    )


def learning_curves(study: TransferStudy) -> pd.DataFrame:
    """The test Dice of fine-tunings at the steps of `curve`, with that of training from scratch for as many steps.

    Those of a pre-training that did not converge are left out: they say nothing of its dataset.
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
    """The Dice of a fine-tuning after some steps, a row of `learning_curves.csv`."""

    source: str
    target: str
    seed: int
    step: int
    dice: float  # test Dice score, 0 to 1
    dice_baseline: float  # that from scratch after as many steps

    @property
    def gain(self) -> Gain:
        """Over training from scratch for as many steps."""
        status = OK if self.dice_baseline > 0 else UNDEFINED
        return Gain(self.source, self.target, self.seed, self.dice, self.dice_baseline, status=status)


def read_curve(path: str | Path, *, step: int | None = None) -> list[CurvePoint]:
    """The points of a `learning_curves.csv` at one step; None takes the last."""
    remedy = "`medsegdist transfer` writes it if the study's `transfer` has a `curve`"
    points = read_csv(path, CurvePoint, key=("source", "target", "seed", "step"), remedy=remedy)
    steps = sorted({one.step for one in points})
    chosen = steps[-1] if step is None else step
    if chosen not in steps:
        raise DataError(f"{path}: expected a step among {', '.join(map(str, steps))}, found {step}.")
    return [one for one in points if one.step == chosen]


@dataclass(frozen=True)
class LearningCurve:
    """The Dice of one training after some of its steps."""

    source: str
    target: str
    seed: int
    points: tuple[tuple[int, float], ...]  # (step, Dice) in the order of the steps
    tested: bool  # Dice is of the test patients; if not, of those for validation


def read_curves(folder: str | Path, gains: Sequence[Gain]) -> tuple[LearningCurve, ...]:
    """The curves that `medsegdist transfer` left: `learning_curves.csv`, or else the validations in `runs.jsonl`.

    A run of `runs.jsonl` counts if its Dice is in `gains.csv`, for a file may hold earlier runs.
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
    content = read_bytes(path)
    # A line that is being written has no end yet.
    whole = content[: content.rfind(b"\n") + 1]
    for line in _read_outcomes(path, whole, "delete the line, or remove the file to report without learning curves"):
        source, target, seed = line.get("source") or "", line.get("target") or "", line.get("seed", 0)
        run = (line["kind"], source, target, seed, _digits(line.get("dice")))
        if run in kept:
            kept.remove(run)  # of equal runs, one
            points = tuple((step, dice) for step, dice, _ in line.get("history", ()))
            yield LearningCurve(source, target, seed, points, tested=False)


def _digits(dice: float | None) -> str:
    """A Dice score as gains.csv has it."""
    return "" if dice is None else f"{dice:.6f}"


def mean_curve(curves: Sequence[LearningCurve]) -> list[tuple[int, float]]:
    """(step, mean Dice over the seeds) at the steps that all of them have."""
    known = [dict(one.points) for one in curves]
    steps = sorted(set.intersection(*map(set, known))) if known else []
    return [(step, fmean(one[step] for one in known)) for step in steps]
