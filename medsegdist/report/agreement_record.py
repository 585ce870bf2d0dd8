"""What a report needs of `agreement.json`: the pairs that were compared, and what was found beside the line."""

from __future__ import annotations

from pathlib import Path

from pydantic import FiniteFloat, PositiveInt, TypeAdapter

from medsegdist.report.json_files import Part, read_json

FILE_NAME = "agreement.json"


class ComparedPair(Part):
    """A source and a target with distance and gain.

    Args:
        source: name of the source.
        target: name of the target.
        distance: by the method.
        gain: mean over the seeds, in percent.
        seeds: how many.
    """

    source: str
    target: str
    distance: FiniteFloat
    gain: FiniteFloat
    seeds: PositiveInt = 1


class Ranks(Part):
    """Rank correlations of distance and gain over all pairs.

    Args:
        spearman: below 0 where near sources gain more.
        kendall: likewise.
        weighted_kendall: likewise, the nearest sources first.
    """

    spearman: FiniteFloat | None = None
    kendall: FiniteFloat | None = None
    weighted_kendall: FiniteFloat | None = None


class Slope(Part):
    """A test of the slope.

    Args:
        p_slope: two-sided.
    """

    p_slope: FiniteFloat


class LeftOut(Part):
    """What could not be compared.

    Args:
        not_converged: sources and targets of which no run has a gain.
        partly_converged: sources and targets of which some runs have none, and how many.
    """

    not_converged: tuple[tuple[str, str], ...] = ()
    partly_converged: tuple[tuple[str, str, int], ...] = ()


class AgreementRecord(Part):
    """Distances by one method against gains.

    Args:
        method: name of the distance.
        pairs: all that was compared.
        ranks: rank correlations; None where they say nothing.
        regret: of having chosen the nearest sources, percentage points; None where nothing was to be chosen.
        within_targets: the slope with gains shuffled within targets; None where they cannot be.
        whole_sources: with whole sources shuffled; None likewise.
        fixed_effects: with an intercept for each target; None where that says nothing.
        left_out: what could not be compared.
        warnings: what a reader ought to know, in words.
    """

    method: str
    pairs: tuple[ComparedPair, ...]
    ranks: Ranks | None = None
    regret: FiniteFloat | None = None
    within_targets: Slope | None = None
    whole_sources: Slope | None = None
    fixed_effects: Slope | None = None
    left_out: LeftOut = LeftOut()
    warnings: tuple[str, ...] = ()


def read_agreement(path: str | Path) -> tuple[AgreementRecord, ...]:
    """The methods of an `agreement.json`.

    Raises:
        DataError: it is no such file.
    """
    return read_json(path, TypeAdapter(tuple[AgreementRecord, ...]), "agreement")
