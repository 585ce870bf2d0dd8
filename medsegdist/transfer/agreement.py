"""Distances against gains, from CSV files of anybody: whether distance predicts what transfer learning gains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from pydantic import TypeAdapter
from scipy.stats import spearmanr
from statsmodels.stats.multitest import multipletests

from medsegdist.distance.characteristics import CHARACTERISTICS
from medsegdist.errors import DataError
from medsegdist.files import atomic_write, read_csv, write_csv
from medsegdist.transfer.gains import (
    FEWEST_PAIRS,
    DistanceRecord,
    Gain,
    LeftOut,
    MatchedPairs,
    Number,
    TransferPair,
    all_pairs,
    arrows,
    distances_and_gains,
    match_pairs,
    read_distances,
    read_gains,
)
from medsegdist.transfer.ranks import (
    OverTargets,
    PermutationTest,
    RankCorrelation,
    Reliability,
    TargetAgreement,
    agree_by_target,
    agree_over_targets,
    correlate_ranks,
    measure_reliability,
    permutation_test,
)
from medsegdist.transfer.regression import (
    FEWEST_FOR_A_LINE,
    FixedEffectsFit,
    GainPrediction,
    Influence,
    LinearFit,
    WithoutSource,
    fit_fixed_effects,
    fit_line,
    leave_one_source_out,
    makes_line,
    measure_influence,
    predict_gain,
)
from medsegdist.words import counted, listed

FEW_PAIRS = 10  # fewer pairs than this are warned of
RELIABLE = 0.7  # gains that are less reliable than this are warned of first
SIGNIFICANT = 0.05  # the paper's threshold


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the distances of one method and the gains go together.

    Args:
        method: name of the distance.
        pairs: all that was compared.
        line: the paper's regression; None for fewer than four pairs.
        fixed_effects: the same with an intercept for each target; None if it says nothing.
        ranks: rank correlations over all pairs.
        targets: for each target, what choosing the nearest source would have meant.
        regret: mean over the targets with at least two sources, percentage points; None if there is none.
        regret_percent: the same in percent of what could be gained.
        within_targets: permutation test; None if nothing can be permuted.
        whole_sources: the more cautious one; None as above, and for one target, where it is the same.
        influence: of every pair; empty without a line.
        without_source: what is left without each source.
        predictions: of pairs without a gain yet, and of distances that were asked for; empty without a line.
        left_out: the pairs that did not go in, and why.
        warnings: what a reader ought to know, in words.
        reliability: of the gains, which limits what any distance can correlate with; None without repetitions.
        over_targets: order and regret, mean over the targets with intervals; None for fewer than two.
        study: name of the study that was measured; empty if that is not known.
    """

    method: str
    pairs: tuple[TransferPair, ...]
    line: LinearFit | None
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
    warnings: tuple[str, ...] = ()
    reliability: Reliability | None = None
    over_targets: OverTargets | None = None
    study: str = ""

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
    study: str = "",
) -> tuple[Agreement, ...]:
    """Compares distances with gains, one result for each method. A pair counts once, however many seeds it has.

    Args:
        distances: records, or the path of a `distances.csv`.
        gains: records, or the path of a `gains.csv`. Several seeds of a source and target become their mean; what did
            not converge is left out, and named.
        methods: which ones of the distances; None takes all.
        predict: distances of new sources whose gain is to be predicted, by the name of the method.
        seed: of the permutation tests.
        study: name of the study that was measured, for the report.

    Raises:
        DataError: a file or a number is not what it should be; nothing can be compared.
    """
    found = read_distances(distances) if isinstance(distances, str | Path) else list(distances)
    runs = read_gains(gains) if isinstance(gains, str | Path) else list(gains)
    matched = match_pairs(found, runs, methods)
    names = [one.method for one in matched]
    for name in set(predict or {}).difference(names):
        raise DataError(f"expected a prediction by one of the methods {', '.join(names)}, found '{name}'.")
    reliability = measure_reliability(runs)
    results = (_agreement(one, (predict or {}).get(one.method, ()), seed, reliability) for one in matched)
    return tuple(replace(one, study=study) for one in results)


def to_frame(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """One row for each method: what `agreement.csv` holds."""
    return pd.DataFrame([_summary(one) for one in agreements])


def to_json(agreements: Sequence[Agreement]) -> str:
    """All of it: what `agreement.json` holds. What is undefined is null; pydantic's TypeAdapter reads it."""
    return TypeAdapter(tuple[Agreement, ...]).dump_json(tuple(agreements), indent=2).decode()


def save_agreement(
    agreements: Sequence[Agreement],
    directory: str | Path,
    characteristics: Sequence[CharacteristicAgreement] = (),
) -> None:
    """Writes `agreement.json`, `agreement.csv` and, if there are any, `characteristic_agreement.csv`."""
    with atomic_write(Path(directory) / "agreement.json") as file:
        file.write(to_json(agreements) + "\n")
    frames = {"agreement.csv": to_frame(agreements)}
    if characteristics:
        frames["characteristic_agreement.csv"] = pd.DataFrame([asdict(one) for one in characteristics])
    for name, frame in frames.items():
        write_csv(Path(directory) / name, frame, float_format="%.10g")


def _agreement(
    matched: MatchedPairs, predict: Sequence[float], seed: int, reliability: Reliability | None
) -> Agreement:
    pairs = matched.pairs
    targets = agree_by_target(pairs)
    chosen = [one for one in targets if one.sources > 1]
    percents = [one.regret_percent for one in chosen if one.regret_percent is not None]
    known = {one.target for one in targets}
    new = [(one.distance, one.source, one.target) for one in matched.left_out.without_gain if one.target in known]
    new += [(distance, "", "") for distance in predict]
    lined = makes_line(pairs)
    found = Agreement(
        method=matched.method,
        pairs=pairs,
        line=fit_line(pairs) if lined else None,
        fixed_effects=fit_fixed_effects(pairs),
        ranks=correlate_ranks(pairs),
        targets=targets,
        regret=fmean(one.regret for one in chosen) if chosen else None,
        regret_percent=fmean(percents) if percents else None,
        within_targets=permutation_test(pairs, "within_targets", seed=seed),
        whole_sources=permutation_test(pairs, "whole_sources", seed=seed) if len(targets) > 1 else None,
        influence=measure_influence(pairs) if lined else (),
        without_source=leave_one_source_out(pairs),
        predictions=tuple(
            predict_gain(pairs, d, source=source, target=target) for d, source, target in (new if lined else ())
        ),
        left_out=matched.left_out,
        reliability=reliability,
        over_targets=agree_over_targets(targets, reliability, seed=seed),
    )
    return replace(found, warnings=tuple(_warnings(found)))


def _warnings(one: Agreement) -> Iterator[str]:
    reliability, line, left_out = one.reliability, one.line, one.left_out
    if reliability is not None and reliability.reliability < RELIABLE:
        yield (
            f"The gains have a reliability of {reliability.reliability:.2f} over {reliability.seeds} seeds, below "
            f"{RELIABLE}: no distance can be expected to correlate with them by more than {reliability.ceiling:.2f}."
        )
    n = len(one.pairs)
    if n < FEWEST_FOR_A_LINE:
        yield f"Only {counted(n, 'pair')}: too few for a line, which needs {FEWEST_FOR_A_LINE}, and for expected gains."
    elif n < FEW_PAIRS:
        yield f"Only {counted(n, 'pair')}: p-values and intervals of so few say little."
    if line is not None and line.slope > 0:
        yield "The slope is positive: here sources that are farther away gained more."
    outlying = dict.fromkeys(pair.source for pair in one.influence if pair.high)
    if outlying:
        yield f"The line leans on {listed(list(outlying))} (leverage or Cook's distance is high)."
    for others in one.without_source:
        if line is None or line.p_slope >= SIGNIFICANT:
            break
        left = sum(pair.source != others.source for pair in one.pairs)
        if others.line is None and left >= FEWEST_FOR_A_LINE:
            yield f"Without {others.source} there is no line, for all other pairs are equally far."
        elif others.line is not None and others.line.p_slope >= SIGNIFICANT:
            p_slope = f"{others.line.p_slope:.2g}"
            yield f"Without {others.source} p of the slope is {p_slope}, which is not significant at {SIGNIFICANT:.0%}."
    if left_out.not_converged:
        failed = arrows(left_out.not_converged)
        yield f"Left out, for no run converged or the Dice from scratch is 0: {failed}."
    if left_out.partly_converged:
        some = [f"{source} -> {target} ({count})" for source, target, count in left_out.partly_converged]
        yield f"Runs left out that have no gain for such a reason, where others have: {listed(some)}."
    if left_out.without_distance:
        yield f"Gains without a distance: {arrows(left_out.without_distance)}."
    targets = {pair.target for pair in one.pairs}
    missing = arrows((new.source, new.target) for new in left_out.without_gain if new.target in targets)
    if missing:
        yield f"Distances without a gain: {missing}."


def _summary(one: Agreement) -> dict[str, Any]:
    """What is None leaves its columns empty."""

    def columns(part: object, *names: str, prefix: str = "") -> dict[str, Any]:
        return {prefix + name: getattr(part, name, None) for name in names}

    return {
        **columns(one, "method"),
        "n": len(one.pairs),
        "sources": len({pair.source for pair in one.pairs}),
        "targets": len(one.targets),
        **columns(one.line, "slope", "slope_low", "slope_high", "intercept", "r_squared", "p_intercept", "p_slope"),
        **columns(one.ranks, "spearman", "kendall", "weighted_kendall"),
        **columns(one.reliability, "reliability", "ceiling"),
        **columns(one, "regret", "regret_percent"),
        **columns(one.over_targets, "spearman", "low", "high", "corrected", prefix="within_targets_"),
        **columns(one.over_targets, "regret_low", "regret_high"),
        **columns(one.fixed_effects, "slope", "p_slope", prefix="fixed_effects_"),
        "p_within_targets": getattr(one.within_targets, "p_slope", None),
        "p_whole_sources": getattr(one.whole_sources, "p_slope", None),
        "weakest_without": getattr(one.weakest, "source", None),
        **columns(getattr(one.weakest, "line", None), "p_slope", prefix="weakest_"),
        "warnings": " ".join(one.warnings),
    }


@dataclass(frozen=True, slots=True)
class CharacteristicAgreement:
    """How a difference between source and target goes with gain."""

    characteristic: str
    pairs: int  # sources and targets compared
    # Spearman correlation of |source - target| with gain: below 0 where sources that are like the target gain more.
    difference: float
    p_difference: float | None  # two-sided, of the ranks shuffled within targets; None if none can be
    p_adjusted: float | None  # the same for so many characteristics at once (Holm); None as above
    # The same of source - target: above 0 where sources that have more of it than the target gain more.
    direction: float


@dataclass(frozen=True)
class _CharacteristicRow:
    dataset: str
    characteristic: str
    mean: Number  # over the samples; NaN if no sample has one
    samples: float = math.nan
    family: str = ""


def read_characteristics(path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The means in a `characteristics.csv`, a row per dataset, a column per characteristic; and samples and families.

    A dataset without a family is one of its own.
    """
    remedy = "`medsegdist rank STUDY.yaml --out DIR` writes it"
    rows = pd.DataFrame(read_csv(path, _CharacteristicRow, key=("dataset", "characteristic"), remedy=remedy))
    for name, known in rows.groupby("dataset", sort=False)["characteristic"]:
        missing = [one for one in CHARACTERISTICS if one not in known.tolist()]
        if missing:
            raise DataError(
                f"{path}: expected the characteristics {listed(missing)} of '{name}', found {listed(known.tolist())}",
                "`medsegdist rank STUDY.yaml --out DIR` writes all of them",
            )
    means = rows.pivot(index="dataset", columns="characteristic", values="mean")
    datasets = rows.groupby("dataset", sort=False)[["samples", "family"]].first()
    datasets["family"] = datasets["family"].where(datasets["family"] != "", datasets.index.to_series())
    return means.loc[datasets.index, list(CHARACTERISTICS)], datasets


def correlate_characteristics(
    means: pd.DataFrame, gains: Iterable[Gain], *, seed: int = 0
) -> tuple[CharacteristicAgreement, ...]:
    """Rank correlations of differences between datasets with gains, one result for each characteristic.

    A characteristic that fewer than three pairs have, or that is the same for all, is left out: it distinguishes no
    sources.
    """
    records = [
        DistanceRecord(source, target, abs(of_dataset[source] - of_dataset[target]), str(name))
        for name, of_dataset in means.items()
        for target in means.index
        for source in means.index
        if source != target and math.isfinite(of_dataset[source] - of_dataset[target])
    ]
    runs = list(gains)
    enough = [one for one in all_pairs(records, runs) if len(one.pairs) >= FEWEST_PAIRS]
    names = [one.method for one in enough if len({pair.distance for pair in one.pairs}) > 1]
    if enough and not names:
        raise DataError(f"expected characteristics that differ between datasets, found none in {len(means)} datasets.")
    found = match_pairs(records, runs, names)
    tests = [permutation_test(one.pairs, seed=seed) for one in found]
    known = [test.p_rank for test in tests if test is not None]
    holm = iter(multipletests(known, method="holm")[1].tolist() if known else [])
    results = []
    for one, test in zip(found, tests, strict=True):
        distance, gain = distances_and_gains(one.pairs)
        signed = [means[one.method][pair.source] - means[one.method][pair.target] for pair in one.pairs]
        results.append(
            CharacteristicAgreement(
                characteristic=one.method,
                pairs=len(one.pairs),
                difference=float(spearmanr(distance, gain).statistic),
                p_difference=None if test is None else test.p_rank,
                p_adjusted=None if test is None else next(holm),
                direction=float(spearmanr(signed, gain).statistic) if len(set(signed)) > 1 else math.nan,
            )
        )
    return tuple(results)
