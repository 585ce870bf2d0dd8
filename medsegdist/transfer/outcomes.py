"""How the runs of a study ended: gains, controls, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsegdist.transfer.gains import NOT_CONVERGED, OK, UNDEFINED, Gain

if TYPE_CHECKING:
    from medsegdist.transfer.runs import TransferStudy


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How the runs of a study ended.

    Args:
        gains: of every fine-tuning that ended, also those whose pre-training or baseline did not converge.
        controls: of training from scratch with the steps of a pre-training and a fine-tuning.
        not_converged: titles of pre-trainings and baselines that learned nothing, twice.
        failed: titles of runs that failed, or rest on one that did, with the reason.
        done: runs that ended well, now or before.
    """

    gains: tuple[Gain, ...]
    controls: tuple[Gain, ...]
    not_converged: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    done: int


def result_of(study: TransferStudy, failures: Mapping[str, str]) -> TransferResult:
    """How the runs of a study ended.

    Args:
        study: some of whose runs are done.
        failures: why a run failed, by its key.
    """
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
