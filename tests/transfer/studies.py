"""A small study, also as a script that is killed: `python -m tests.transfer.studies FOLDER WORKERS`."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.outcomes import TransferResult
from medsegdist.transfer.plan import IntensityScale
from medsegdist.transfer.runs import TransferStudy, prepare_study, run_study
from tests.transfer.making import TINY, disks

OPTIONS: dict[str, Any] = {
    "network": TINY,
    "steps": 8,
    "fine_tuning_steps": 4,
    "validate_every": 2,
    "batch_size": 4,
    "seeds": (0, 1),
    "dice_floor": 0.0,
}
TARGETS = ("near", "far")


def datasets() -> list[SegmentationSamples]:
    return [disks(name, patients=6, bright=bright, seed=k) for k, (name, bright) in enumerate(_BRIGHTNESS.items())]


_BRIGHTNESS = {"near": 200.0, "far": 30.0, "other": 140.0}


def study(folder: Path, samples: list[SegmentationSamples] | None = None, **changes: Any) -> TransferStudy:
    found = samples or datasets()
    names = [one.name for one in found]
    return prepare_study(
        found,
        TransferOptions(**{**OPTIONS, **changes}),
        targets=TARGETS,
        sources_of=lambda target: [name for name in names if name != target],
        scale=IntensityScale(),
        folder=folder,
    )


def main(folder: Path, workers: int) -> TransferResult:
    return run_study(study(folder, steps=12), devices=("cpu",) * workers)


def lines(folder: Path) -> list[dict[str, Any]]:
    """What runs.jsonl says of each run."""
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
