"""Whether what datasets look like goes with what transfer learning gained (the paper's Table 14)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import spearmanr
from statsmodels.stats.multitest import multipletests

from medsegdist.distance.characteristics import CHARACTERISTICS, Characteristic, DatasetCharacteristics
from medsegdist.errors import DataError
from medsegdist.files import read_csv
from medsegdist.transfer.gains import FEWEST_PAIRS, DistanceRecord, Gain, TransferPair, match_pairs
from medsegdist.transfer.ranks import permutation_test
from medsegdist.words import listed


@dataclass(frozen=True, slots=True)
class CharacteristicAgreement:
    """How a difference between source and target goes with gain.

    Args:
        characteristic: its name.
        pairs: sources and targets compared.
        difference: Spearman correlation of |source - target| with gain: below 0 where sources that are like the target
            gain more.
        p_difference: two-sided, of the ranks shuffled within targets; None if none can be.
        p_adjusted: the same for so many characteristics at once (Holm); None as above.
        direction: Spearman correlation of source - target with gain: above 0 where sources that have more of it than
            the target gain more.
    """

    characteristic: str
    pairs: int
    difference: float
    p_difference: float | None
    p_adjusted: float | None
    direction: float


@dataclass(frozen=True)
class CharacteristicRow:
    """A row of `characteristics.csv`, which `medsegdist rank` writes.

    Args:
        dataset: its name.
        samples: how many.
        patients: how many.
        characteristic: its name.
        mean: over the samples; None if no sample has one.
        deviation: standard deviation over the samples; None as above.
        unit: of both.
    """

    dataset: str
    samples: int
    patients: int
    characteristic: str
    mean: float | None
    deviation: float | None
    unit: str | None = None


def read_characteristics(path: str | Path) -> list[DatasetCharacteristics]:
    """The datasets of a `characteristics.csv`.

    Args:
        path: the file.

    Raises:
        DataError: it is no such table, or a dataset lacks a characteristic.
    """
    by_dataset: dict[str, list[CharacteristicRow]] = {}
    for row in read_csv(path, CharacteristicRow, key=("dataset", "characteristic")):
        by_dataset.setdefault(row.dataset, []).append(row)
    found = []
    for name, rows in by_dataset.items():
        known = {row.characteristic: row for row in rows}
        missing = [one for one in CHARACTERISTICS if one not in known]
        if missing:
            raise DataError(
                f"{path}: expected the characteristics {listed(missing)} of '{name}', found {listed(list(known))}",
                "`medsegdist rank STUDY.yaml --out DIR` writes all of them",
            )
        values = tuple(
            Characteristic(
                one,
                known[one].unit or "",
                *(math.nan if value is None else value for value in (known[one].mean, known[one].deviation)),
            )
            for one in CHARACTERISTICS
        )
        found.append(DatasetCharacteristics(name, rows[0].samples, rows[0].patients, values))
    return found


def characteristic_distances(
    datasets: Sequence[DatasetCharacteristics], targets: Sequence[str] | None = None
) -> list[DistanceRecord]:
    """|source - target| of every characteristic, as distances whose method has the characteristic's name.

    Args:
        datasets: characteristics of each dataset.
        targets: names of the targets; all datasets by default. A dataset is never its own source.
    """
    chosen = [one for one in datasets if targets is None or one.dataset in targets]
    return [
        DistanceRecord(source.dataset, target.dataset, abs(source[name].mean - target[name].mean), name)
        for name in CHARACTERISTICS
        for target in chosen
        for source in datasets
        if source.dataset != target.dataset and math.isfinite(source[name].mean - target[name].mean)
    ]


def correlate_characteristics(
    datasets: Sequence[DatasetCharacteristics], gains: Iterable[Gain], *, seed: int = 0
) -> tuple[CharacteristicAgreement, ...]:
    """Rank correlations of differences between datasets with gains, one result for each characteristic.

    A characteristic that no pair has, or that is the same for all, is left out: it cannot tell sources apart.

    Args:
        datasets: characteristics of sources and targets.
        gains: of one seed or more.
        seed: of the permutations.

    Raises:
        DataError: datasets and gains have fewer than three pairs in common, or all gains are equal, or all
            characteristics.
    """
    runs = list(gains)
    by_name = {one.dataset: one for one in datasets}
    trained = {(one.source, one.target) for one in runs}
    found: list[tuple[str, tuple[TransferPair, ...]]] = []
    records = characteristic_distances(datasets)
    overlap = any((one.source, one.target) in trained for one in records)
    for name in CHARACTERISTICS:
        of_name = [one for one in records if one.method == name]
        common = [one.distance for one in of_name if (one.source, one.target) in trained]
        constant = len(common) >= FEWEST_PAIRS and len(set(common)) == 1
        if not constant and (common or not overlap):
            found += [(one.method, one.pairs) for one in match_pairs(of_name, runs)]
    if not found:
        raise DataError(
            f"expected characteristics that differ between datasets, found none in {len(datasets)} datasets."
        )
    tests = [permutation_test(pairs, seed=seed) for _, pairs in found]
    p_values = [None if test is None else test.p_rank for test in tests]
    adjusted = _adjusted(p_values)
    results = []
    for (name, pairs), p_value, of_many in zip(found, p_values, adjusted, strict=True):
        gain = [one.gain for one in pairs]
        signed = [by_name[one.source][name].mean - by_name[one.target][name].mean for one in pairs]
        results.append(
            CharacteristicAgreement(
                characteristic=name,
                pairs=len(pairs),
                difference=float(spearmanr([one.distance for one in pairs], gain).statistic),
                p_difference=p_value,
                p_adjusted=of_many,
                direction=float(spearmanr(signed, gain).statistic) if len(set(signed)) > 1 else math.nan,
            )
        )
    return tuple(results)


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    known = [value for value in p_values if value is not None]
    holm = iter(multipletests(known, method="holm")[1].tolist() if known else [])
    return [None if value is None else float(next(holm)) for value in p_values]
