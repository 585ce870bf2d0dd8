"""Distances against gains: whether distance predicts what transfer learning gains.

This is where the two streams meet. It knows both only as rows of source, target and number, read from CSV files that
other tools may write or read just as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from medsegdist.errors import DataError
from medsegdist.files import atomic_write
from medsegdist.transfer.characteristic_agreement import CharacteristicAgreement
from medsegdist.transfer.gains import (
    DistanceRecord,
    Gain,
    LeftOut,
    MatchedPairs,
    TransferPair,
    match_pairs,
    read_distances,
    read_gains,
)
from medsegdist.transfer.ranks import (
    PermutationTest,
    RankCorrelation,
    Reliability,
    TargetAgreement,
    agree_by_target,
    correlate_ranks,
    measure_reliability,
    permutation_test,
)
from medsegdist.transfer.regression import (
    FixedEffectsFit,
    GainPrediction,
    Influence,
    LinearFit,
    WithoutSource,
    fit_fixed_effects,
    fit_line,
    leave_one_source_out,
    measure_influence,
    predict_gain,
)
from medsegdist.words import counted, listed

FEW_PAIRS = 10
"""Fewer pairs than this are warned of."""

RELIABLE = 0.7
"""Gains that are less reliable than this are warned of first."""

SIGNIFICANT = 0.05
"""The paper's threshold."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the distances of one method and the gains go together.

    Args:
        method: name of the distance.
        pairs: all that was compared.
        line: the paper's regression.
        fixed_effects: the same with an intercept for each target; None if it says nothing.
        ranks: rank correlations over all pairs.
        targets: for each target, what choosing the nearest source would have meant.
        regret: mean over the targets with at least two sources, percentage points; None if there is none.
        regret_percent: the same in percent of what could be gained.
        within_targets: permutation test; None if nothing can be permuted.
        whole_sources: the more cautious one; None as above, and for one target, where it is the same.
        influence: of every pair.
        without_source: what is left without each source.
        predictions: for the distances to a target of the pairs that have no gain yet, and for those asked for.
        left_out: the pairs that did not go in, and why.
        warnings: what a reader ought to know, in words.
        reliability: of the gains, which limits what any distance can correlate with; None without repetitions.
    """

    method: str
    pairs: tuple[TransferPair, ...]
    line: LinearFit
    fixed_effects: FixedEffectsFit | None
    ranks: RankCorrelation | None
    targets: tuple[TargetAgreement, ...]
    regret: float | None
    regret_percent: float | None
    within_targets: PermutationTest | None
    whole_sources: PermutationTest | None
    influence: tuple[Influence, ...]
    without_source: tuple[WithoutSource, ...]
    predictions: tuple[GainPrediction, ...]
    left_out: LeftOut
    warnings: tuple[str, ...]
    reliability: Reliability | None = None

    @property
    def weakest(self) -> WithoutSource | None:
        """The source without which the slope is least certain; None if no source can be spared."""
        fitted = [one for one in self.without_source if one.line is not None]
        return max(fitted, key=lambda one: one.line.p_slope if one.line else 0.0, default=None)


def measure_agreement(
    distances: Iterable[DistanceRecord] | str | Path,
    gains: Iterable[Gain] | str | Path,
    *,
    methods: Sequence[str] | None = None,
    predict: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> tuple[Agreement, ...]:
    """Compares distances with gains, one result for each method. A pair counts once, however many seeds it has.

    Args:
        distances: records, or the path of a `distances.csv`.
        gains: records, or the path of a `gains.csv`. Several seeds of a source and target become their mean; what did
            not converge is left out, and named.
        methods: which ones of the distances; None takes all.
        predict: distances of new sources whose gain is to be predicted, by the name of the method.
        seed: of the permutation tests.

    Raises:
        DataError: a file or a number is not what it should be; nothing can be compared.
    """
    found = read_distances(distances) if isinstance(distances, str | Path) else list(distances)
    runs = read_gains(gains) if isinstance(gains, str | Path) else list(gains)
    matched = match_pairs(found, runs, methods)
    names = [one.method for one in matched]
    for name in predict or {}:
        if name not in names:
            raise DataError(f"expected a prediction by one of the methods {', '.join(names)}, found '{name}'.")
    reliability = measure_reliability(runs)
    return tuple(_agreement(one, (predict or {}).get(one.method, ()), seed, reliability) for one in matched)


def to_frame(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """One row for each method: what `agreement.csv` holds."""
    return pd.DataFrame([_summary(one) for one in agreements])


def to_json(agreements: Sequence[Agreement]) -> str:
    """All of it: what `agreement.json` holds. What is undefined is null; pydantic's TypeAdapter reads it."""
    return json.dumps(_finite([asdict(one) for one in agreements]), indent=2, allow_nan=False)


def save_agreement(
    agreements: Sequence[Agreement],
    directory: str | Path,
    characteristics: Sequence[CharacteristicAgreement] = (),
) -> None:
    """Writes `agreement.json`, `agreement.csv` and, if there are any, `characteristic_agreement.csv`.

    Args:
        agreements: of one method or more.
        directory: made if it is not there.
        characteristics: how differences between datasets go with gains.
    """
    directory = Path(directory)
    with atomic_write(directory / "agreement.json") as file:
        file.write(to_json(agreements) + "\n")
    frames = {"agreement.csv": to_frame(agreements)}
    if characteristics:
        frames["characteristic_agreement.csv"] = pd.DataFrame([asdict(one) for one in characteristics])
    for name, frame in frames.items():
        with atomic_write(directory / name) as file:
            frame.to_csv(file, index=False, float_format="%.10g")


def _agreement(
    matched: MatchedPairs, predict: Sequence[float], seed: int, reliability: Reliability | None
) -> Agreement:
    pairs = matched.pairs
    targets = agree_by_target(pairs)
    chosen = [one for one in targets if one.sources > 1]
    percents = [one.regret_percent for one in chosen if one.regret_percent is not None]
    known = {one.target for one in targets}
    predictions = [
        predict_gain(pairs, one.distance, source=one.source, target=one.target)
        for one in matched.left_out.without_gain
        if one.target in known
    ]
    line = fit_line(pairs)
    influence, without = measure_influence(pairs), leave_one_source_out(pairs)
    return Agreement(
        method=matched.method,
        pairs=pairs,
        line=line,
        fixed_effects=fit_fixed_effects(pairs),
        ranks=correlate_ranks(pairs),
        targets=targets,
        regret=fmean(one.regret for one in chosen) if chosen else None,
        regret_percent=fmean(percents) if percents else None,
        within_targets=permutation_test(pairs, "within_targets", seed=seed),
        whole_sources=permutation_test(pairs, "whole_sources", seed=seed) if len(targets) > 1 else None,
        influence=influence,
        without_source=without,
        predictions=(*predictions, *(predict_gain(pairs, distance) for distance in predict)),
        left_out=matched.left_out,
        warnings=tuple(_warnings(matched, line, influence, without, reliability)),
        reliability=reliability,
    )


def _warnings(
    matched: MatchedPairs,
    line: LinearFit,
    influence: Sequence[Influence],
    without: Sequence[WithoutSource],
    reliability: Reliability | None,
) -> Iterable[str]:
    if reliability is not None and reliability.reliability < RELIABLE:
        yield (
            f"The gains have a reliability of {reliability.reliability:.2f} over {reliability.seeds} seeds, below "
            f"{RELIABLE}: no distance can be expected to correlate with them by more than {reliability.ceiling:.2f}."
        )
    if line.n < FEW_PAIRS:
        yield f"Only {counted(line.n, 'pair')}: p-values and intervals of so few say little."
    if line.slope > 0:
        yield "The slope is positive: here sources that are farther away gained more."
    outlying = dict.fromkeys(one.source for one in influence if one.high)
    if outlying:
        yield f"The line leans on {listed(list(outlying))} (leverage or Cook's distance is high)."
    for one in without:
        if line.p_slope < SIGNIFICANT and (one.line is None or one.line.p_slope >= SIGNIFICANT):
            left = "there is no line" if one.line is None else f"p of the slope is {one.line.p_slope:.2g}"
            yield f"Without {one.source} {left}, which is not significant at {SIGNIFICANT:.0%}."
    if matched.left_out.not_converged:
        pairs = [f"{source} -> {target}" for source, target in matched.left_out.not_converged]
        yield f"Left out, for no run converged or the Dice from scratch is 0: {listed(pairs)}."
    if matched.left_out.partly_converged:
        some = [f"{source} -> {target} ({count})" for source, target, count in matched.left_out.partly_converged]
        yield f"Runs left out that have no gain for such a reason, where others have: {listed(some)}."
    if matched.left_out.without_distance:
        yield f"Gains without a distance: {listed([f'{s} -> {t}' for s, t in matched.left_out.without_distance])}."
    targets = {pair.target for pair in matched.pairs}
    missing = [f"{one.source} -> {one.target}" for one in matched.left_out.without_gain if one.target in targets]
    if missing:
        yield f"Distances without a gain: {listed(missing)}."


def _summary(one: Agreement) -> dict[str, Any]:
    weakest = one.weakest
    return {
        "method": one.method,
        "n": one.line.n,
        "sources": len({pair.source for pair in one.pairs}),
        "targets": len(one.targets),
        "slope": one.line.slope,
        "slope_low": one.line.slope_low,
        "slope_high": one.line.slope_high,
        "intercept": one.line.intercept,
        "r_squared": one.line.r_squared,
        "p_intercept": one.line.p_intercept,
        "p_slope": one.line.p_slope,
        "spearman": one.ranks.spearman if one.ranks else None,
        "kendall": one.ranks.kendall if one.ranks else None,
        "weighted_kendall": one.ranks.weighted_kendall if one.ranks else None,
        "reliability": one.reliability.reliability if one.reliability else None,
        "ceiling": one.reliability.ceiling if one.reliability else None,
        "regret": one.regret,
        "regret_percent": one.regret_percent,
        "fixed_effects_slope": one.fixed_effects.slope if one.fixed_effects else None,
        "fixed_effects_p_slope": one.fixed_effects.p_slope if one.fixed_effects else None,
        "p_within_targets": one.within_targets.p_slope if one.within_targets else None,
        "p_whole_sources": one.whole_sources.p_slope if one.whole_sources else None,
        "weakest_without": weakest.source if weakest else None,
        "weakest_p_slope": weakest.line.p_slope if weakest and weakest.line else None,
        "warnings": " ".join(one.warnings),
    }


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
