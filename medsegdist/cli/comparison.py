"""What `medsegdist demo`, `rank` and `distances` are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPLICATES = 200
"""How often patients are drawn anew, unless asked."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be compared, how, and where the results go.

    Where cards are compared, they say what is not used: see
    :func:`~medsegdist.cli.comparing_cards.compare_cards`.

    Args:
        study_file: the study.
        targets: names; None takes the study's, none at all every dataset.
        methods: names; None takes the study's, else the paper's.
        out: folder of distances.csv, comparisons.csv, study.json, report.html and, if asked for, thumbnails.json.
        cache: folder of prepared samples; None is below `out`.
        device: where to compute.
        seed: of all that is random.
        replicates: how often patients are drawn anew.
        workers: processes; None chooses.
        dask: address of a Dask scheduler, to use its workers instead.
        thumbnails: also keeps pictures of samples that were matched, for the report.
    """

    study_file: Path
    targets: Sequence[str] | None
    methods: Sequence[str] | None
    out: Path
    cache: Path | None
    device: str
    seed: int
    replicates: int
    workers: int | None
    dask: str | None
    thumbnails: bool = False
