"""How well the order of a target's sources can be predicted: every predictor against what transfers measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr, weightedtau, zscore

from medsegdist.distance.order import MEANS
from medsegdist.parallel import map_ordered
from medsegdist.recommend.library import Library, ranks_of
from medsegdist.recommend.model import PairRows, fit_each, fit_ridge
from medsegdist.transfer.ranks import interval_of_means

MEASURES = ("spearman", "weighted_kendall", "regret", "within_1", "within_2")  # what :func:`judge` finds
Judged = dict[str, pd.DataFrame]  # what :func:`judge` finds, by the names of predictors


@dataclass(frozen=True, slots=True)
class OrderReliability:
    """How far the order of the sources is more than noise."""

    repetitions: int  # of each pair
    single: float  # Spearman correlation of one repetition with another, mean over targets

    @property
    def mean(self) -> float:
        """The correlation of the means of all repetitions with such means of others (Spearman-Brown)."""
        return self.repetitions * self.single / (1 + (self.repetitions - 1) * self.single)

    @property
    def ceiling(self) -> float:
        """The greatest correlation that any predictor can be expected to have with the mean."""
        return float(np.sqrt(max(self.mean, 0.0)))

    @property
    def of_half(self) -> OrderReliability:
        """That of the repetitions that judge what the others teach: the smaller half, at least one."""
        return OrderReliability(max(1, self.repetitions // 2), self.single)


def order_reliability(library: Library) -> OrderReliability | None:
    """The reliability of the order of the sources within targets; None without repetitions."""
    found = []
    for _, dice in library.dice.groupby(level="target"):
        for one, other in combinations(dice.columns, 2):
            both = dice[[one, other]].dropna()
            if len(both) > 2:
                found.append(spearmanr(both[one], both[other]).statistic)
    return OrderReliability(library.dice.shape[1], float(np.mean(found))) if found else None


def distance_predictors(library: Library) -> dict[str, pd.Series]:
    """Scores, more is better, of every distance, characteristic and score of a network by itself, without learning."""
    rows = library.features.index
    by_method = library.distances.pivot_table(
        index=["target", "source"], columns="method", values="distance", sort=False
    )
    distances = by_method.loc[rows]
    found = {str(method): -distances[method] for method in distances}
    known = [str(name) for name in library.features.dropna(axis=1, how="all")]
    terms = [name for name in known if name.startswith("term ")]
    found |= {f"{name.removeprefix('term ')}, term alone": -library.features[name] for name in terms}
    for mean, methods in MEANS.items():
        if set(methods) <= set(distances):
            scores = distances[list(methods)].groupby(level="target").transform(zscore, nan_policy="omit")
            found[mean] = -scores.mean(axis=1)
    found |= {name: -library.features[name] for name in known if name.startswith("difference ")}
    for name, rows_of in library.scores.groupby("method"):
        score = -rows_of.set_index(["target", "source"])["distance"].reindex(rows)
        # A network without a score is as good as the others of the target.
        found[str(name)] = score.fillna(score.groupby(level="target").transform("mean"))
    found["number of samples"] = library.features["own samples"]
    return found


def best_elsewhere(library: Library) -> pd.Series:
    """The mean rank of a source on the targets of other families: what all trainings of a library say of it."""
    ranks = library.ranks.unstack("source")
    families = library.families[ranks.index]
    found = {target: ranks[(families != families[target]).to_numpy()].mean() for target in ranks.index}
    means: pd.Series = pd.concat(found).reindex(library.features.index)
    # A source that no other family's target had is neither good nor bad.
    return means.fillna(0.0)


def learned_known(library: Library) -> pd.Series:
    """Predictions for targets whose family was not seen in any role, of sources that were, but for their own family."""
    (predicted,) = _learned_known(library, pd.DataFrame(library.ranks))
    return predicted


def _learned_known(library: Library, ranks: pd.DataFrame) -> list[pd.Series]:
    """What each column of ranks teaches by itself."""
    found: list[list[pd.Series]] = [[] for _ in ranks]
    families = library.families[library.features.index.get_level_values("target")].to_numpy()
    rows = PairRows(library.features, ranks, library.families)
    for family in dict.fromkeys(families):
        for parts, fit in zip(found, fit_each(rows, unseen=[family]), strict=True):
            parts.append(fit.predict(library.features[families == family]))
    return [pd.concat(parts).loc[library.features.index] for parts in found]


def learned_strict(library: Library, *, by_family: bool = True) -> pd.Series:
    """Predictions for pairs of which neither target nor source was seen in any role."""
    groups = library.families if by_family else pd.Series(library.families.index, index=library.families.index)
    targets, sources = (groups[library.features.index.get_level_values(key)].to_numpy() for key in ("target", "source"))
    measured = PairRows(library.features, library.ranks, groups)
    found = np.zeros(len(targets))
    for unseen in {frozenset(pair) for pair in zip(targets, sources, strict=True)}:
        rows = np.isin(targets, list(unseen)) & np.isin(sources, list(unseen))
        rows &= (targets != sources) | (len(unseen) == 1)
        fit = fit_ridge(measured, unseen=unseen, known_sources=False)
        found[rows] = fit.predict(library.features[rows])
    return pd.Series(found, index=library.features.index)


def shuffled(library: Library, seed: int) -> Library:
    """The library with the Dice of each target given to other sources: nothing can be learned from it."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(rng.permutation(dice.to_numpy()), index=dice.index, columns=dice.columns)
        for _, dice in library.dice.groupby(level="target", sort=False)
    ]
    return replace(library, dice=pd.concat(parts))


def judge(scores: pd.Series, dice: pd.Series) -> pd.DataFrame:
    """What following a predictor, of which more is better, would have meant: a row of :data:`MEASURES` per target.

    The regret of its first choice is in Dice points; of several first ones all measures are means.
    """
    found = {}
    both = pd.DataFrame({"said": scores, "measured": dice}).loc[dice.index]
    for target, rows in both.groupby(level="target", sort=False):
        said, values = rows["said"].to_numpy(), rows["measured"].to_numpy()
        constant = np.ptp(said) == 0
        lost = 100 * (values.max() - values[said == said.max()])
        found[target] = (
            # As spearmanr has it, in a tenth of its time.
            0.0 if constant else float(np.corrcoef(rankdata(said), rankdata(values))[0, 1]),
            0.0 if constant else float(weightedtau(said, values).statistic),
            float(lost.mean()),
            float((lost <= 1).mean()),
            float((lost <= 2).mean()),
        )
    return pd.DataFrame.from_dict(found, orient="index", columns=list(MEASURES))


def judge_choice(chosen: pd.Series, dice: pd.Series) -> pd.DataFrame:
    """The regret of a choice that is none of the sources, such as all of them together, from its mean test Dice."""
    best = dice.groupby(level="target", sort=False).max()
    lost = 100 * (best - chosen.reindex(best.index))
    measures = (np.nan, np.nan, lost, lost <= 1, lost <= 2)
    return pd.DataFrame(dict(zip(MEASURES, measures, strict=True)), index=best.index).astype("float64")


def intervals(judged: Mapping[str, pd.DataFrame], *, seed: int = 0) -> pd.DataFrame:
    """Means over targets with 95 % intervals, targets resampled with replacement, the same ones for all predictors.

    A row per predictor; for each measure a column, and two with the suffixes _low and _high.
    """
    columns = [f"{one}{end}" for one in MEASURES for end in ("", "_low", "_high")]
    rows = {}
    for name, frame in judged.items():
        values = frame[list(MEASURES)].to_numpy()
        ends = np.stack([values.mean(axis=0), *interval_of_means(values, seed=seed)])
        rows[name] = ends.T.ravel().tolist()
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


LEARNED: Mapping[str, Callable[[Library], pd.Series]] = {
    "best on other targets": best_elsewhere,
    "learned, known sources": learned_known,
    "learned, new sources": lambda library: learned_strict(library, by_family=False),
    "learned, new families": learned_strict,
}
"""Predictors that learn from transfers, each for targets whose family it does not see."""


def halves(library: Library) -> list[tuple[Library, pd.Series]]:
    """The library with half of the repetitions, and the mean Dice of the others, for each repetition to begin these.

    All targets of a repetition start from the same pre-trainings, some of which are luckier than others. What is
    learned from a repetition knows their luck, which no new pre-training has, and must not be judged by it. A library
    with one repetition stands on both sides.
    """
    seeds = list(library.dice.columns)
    found = []
    for k in range(len(seeds)):
        judged = (seeds + seeds)[k : k + max(1, len(seeds) // 2)]
        rest = [seed for seed in seeds if seed not in judged] or seeds
        both = library.dice[rest].notna().any(axis=1) & library.dice[judged].notna().any(axis=1)
        of_rest = replace(library, dice=library.dice.loc[both, rest], features=library.features[both])
        found.append((of_rest, library.dice.loc[both, judged].mean(axis=1)))
    return found


SHUFFLES = 60
"""Shuffles of the Dice that the control learns from, in all halves together: one of them is worth up to +-0.5, since
what it teaches is right or wrong for many targets at once."""


def _learn_half(library: Library, dice: pd.Series, seeds: range) -> tuple[dict[str, pd.Series], pd.DataFrame]:
    """The predictions of everything that learns; and the control, a row per shuffle: the mean over targets."""
    predictions = {name: learn(library) for name, learn in LEARNED.items()}
    ranks = pd.DataFrame({f"shuffle {seed}": shuffled(library, seed).ranks for seed in seeds})
    controls = zip(ranks, _learned_known(library, ranks), strict=True)
    return predictions, pd.DataFrame({name: judge(scores, dice).mean() for name, scores in controls}).T


def judge_predictors(library: Library, *, workers: int | None = 1) -> tuple[Judged, Judged, dict[str, float]]:
    """What following each predictor would have meant for each target, mean over :func:`halves` of the repetitions.

    What was learned is judged by repetitions that it has not seen; so are all other predictors. With every predictor
    stands the control, a row per shuffle, which learns from shuffled Dice. Then the same of choices that rank nothing;
    and of everything that learns, the standard deviation of the errors of its predicted ranks.
    """
    judged: dict[str, list[pd.DataFrame]] = defaultdict(list)
    choices: dict[str, list[pd.DataFrame]] = defaultdict(list)
    errors: dict[str, list[pd.Series]] = defaultdict(list)
    plain = distance_predictors(library)
    parts = halves(library)
    shuffles = -(-SHUFFLES // len(parts))
    tasks = [(*part, range(k * shuffles, (k + 1) * shuffles)) for k, part in enumerate(parts)]
    learned = map_ordered(lambda task: _learn_half(*task), tasks, workers=workers, description="Learning")
    for (_, dice), (predictions, control) in zip(parts, learned, strict=True):
        for name, scores in (plain | predictions).items():
            judged[name].append(judge(scores.loc[dice.index], dice))
        for name, scores in predictions.items():
            # Ranks are centered within targets, predictions need not be.
            centered = scores - scores.groupby(level="target").transform("mean")
            errors[name].append(ranks_of(dice) - centered)
        judged["learned from shuffled Dice"].append(control)
        choices["a source at random"].append(judge(0 * dice, dice))
        choices["no pre-training"].append(judge_choice(library.scratch, dice))
        if len(library.pooled):
            choices["all sources together"].append(judge_choice(library.pooled, dice))
    deviations = {name: float(pd.concat(of_halves).std(ddof=0)) for name, of_halves in errors.items()}
    return _means(judged), _means(choices), deviations


def compare_predictors(
    judged: Mapping[str, pd.DataFrame], choices: Mapping[str, pd.DataFrame], *, seed: int = 0
) -> pd.DataFrame:
    """How well each predictor orders the sources, and what pooling and no pre-training at all would have brought.

    As :func:`intervals`, the best correlated predictors first, then choices that rank nothing.
    """
    in_order = intervals(judged, seed=seed).sort_values("spearman", ascending=False)
    return pd.concat([in_order, intervals(choices, seed=seed)])


def _means(judged: Mapping[str, list[pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The mean over several judgments of each target."""
    return {name: pd.concat(frames).groupby(level=0, sort=False).mean() for name, frames in judged.items()}
