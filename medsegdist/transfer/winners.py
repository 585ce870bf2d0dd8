"""The pre-training that a target would be given, after all."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from medsegdist.transfer.gains import Gain
from medsegdist.transfer.plan import Run
from medsegdist.transfer.study import TransferStudy


def winning_pretraining(study: TransferStudy, gains: Iterable[Gain], target: str) -> Run | None:
    """The source with the greatest mean gain for a target, and of its seeds the one best validated on the source.

    The seed is not chosen by gain: among few seeds, the greatest gain is mostly luck.

    Args:
        study: whose runs have ended.
        gains: of these runs; those that are not "ok" do not count.
        target: its name.

    Returns:
        The run, or None if no gain counts.
    """
    by_source: dict[str, list[float]] = {}
    for gain in gains:
        if gain.target == target and gain.gain_percent is not None:
            by_source.setdefault(gain.source, []).append(gain.gain_percent)
    if not by_source:
        return None
    source = max(by_source, key=lambda name: fmean(by_source[name]))
    ended = [
        (float(outcome["validation_dice"]), run)
        for run in study.runs
        if run.kind == "pretraining" and run.source == source
        if (outcome := study.journal.outcome(run.key)) is not None and outcome["status"] == "done"
    ]
    return max(ended, key=lambda pair: pair[0])[1]
