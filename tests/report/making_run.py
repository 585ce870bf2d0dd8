"""A finished run, made by hand: tables and a study record of three datasets."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import EuclideanMetric, GmmMetric
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import DistanceTable, compare_all
from medsegdist.report.record import StudyRecord, TransferRecord
from medsegdist.report.results import Results
from medsegdist.transfer.agreement import measure_agreement, save_agreement
from medsegdist.transfer.gains import Gain, write_gains
from tests.synthetic import blobs

CENTERS = {"target": (0.5, 0.5), "near": (0.5, 0.55), "far": (0.3, 0.3)}
DISTANCES = {
    "euclidean": DatasetDistance(EuclideanMetric(delta=-1.0)),
    "gmm2d": DatasetDistance(GmmMetric(components=2, intensity=False)),
}


def samples_of() -> list[SegmentationSamples]:
    """Datasets whose segments lie elsewhere."""
    return [blobs(name, center=center, seed=seed) for seed, (name, center) in enumerate(CENTERS.items())]


def study_of(**more: object) -> Study:
    """Their study."""
    dataset = {"modality": "CT", "layout": {"kind": "phantom", "organ": "liver"}, "simulated": "everything"}
    content = {
        "name": "tiny study",
        "description": "Three datasets of blobs.",
        "preprocessing": {"grid": [32, 40]},
        "datasets": [{**dataset, "name": name} for name in CENTERS],
        "targets": ["target"],
    }
    return Study.model_validate(content | more)


def compared() -> tuple[DistanceTable, StudyRecord]:
    """All pairs, with intervals."""
    samples, bootstrap = samples_of(), Bootstrap(5)
    table = compare_all(samples, DISTANCES, bootstrap=bootstrap)
    return table, Results.of(study_of(), samples, DISTANCES, table, bootstrap=bootstrap).record


def write_run(directory: Path, table: DistanceTable, record: StudyRecord | None) -> Path:
    """A folder as the commands leave it."""
    table.save(directory / "distances.csv")
    if record is not None:
        record.save(directory / "study.json")
    return directory


def write_gains_of_all(directory: Path, *, seeds: int = 2) -> None:
    """Gains of all pairs: 10% for the near ones, less for the far ones."""
    pairs = [pair for one, other in combinations(CENTERS, 2) for pair in ((one, other), (other, one))]
    lines = ["source,target,seed,dice,dice_baseline,gain_percent"]
    for k, (source, target) in enumerate(pairs):
        for seed in range(seeds):
            gain = (-5.0 if "far" in (source, target) else 10.0) + k + 0.1 * seed
            lines.append(f"{source},{target},{seed},{0.5 * (1 + gain / 100):.6f},0.5,{gain}")
    (directory / "gains.csv").write_text("\n".join(lines) + "\n")


def write_transfer(directory: Path, source: str = "near", *, collapsed: bool = True) -> Path:
    """A folder as `medsegdist transfer --include-not-converged` leaves it: two targets, three sources, two seeds.

    Args:
        directory: the folder.
        source: name of one source.
        collapsed: one source did not converge, and one baseline has a Dice of 0.
    """
    status = {("gone", "liver"): "not_converged", ("far", "lung"): "undefined"} if collapsed else {}
    gains, controls = [], []
    for k, target in enumerate(("liver", "lung")):
        for seed in (0, 1):
            for i, name in enumerate((source, "far", "gone")[: 3 - k]):
                dice = 0.6 - 0.15 * i + 0.01 * seed + 0.02 * k
                how = status.get((name, target), "ok")
                gains.append(
                    Gain(name, target, seed, dice, 0.0 if how == "undefined" else 0.5 + 0.01 * seed, status=how)
                )
            controls.append(Gain("", target, seed, 0.55, 0.5 + 0.01 * seed, status="ok"))
    write_gains(directory / "gains.csv", gains)
    write_gains(directory / "controls.csv", controls)
    study = study_of()
    TransferRecord(
        name="trained study",
        description="What a transfer leaves.",
        targets=("liver", "lung"),
        options=study.transfer.model_dump(mode="json"),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        simulated={source: "everything"},
        not_converged=("pretraining gone, seed 0",) if collapsed else (),
        failed=("fine-tuning gone -> lung, seed 0",) if collapsed else (),
        done=12,
        software={"medsegdist": "0.1.0"},
    ).save(directory / "transfer.json")
    return directory


def write_agreement(directory: Path, distances: str, gains: str) -> Path:
    """A folder as `medsegdist agreement` leaves it, of two tables that lie elsewhere.

    Args:
        directory: the folder.
        distances: what a distances.csv holds.
        gains: what a gains.csv holds.
    """
    elsewhere = directory.with_name(f"{directory.name} inputs")
    elsewhere.mkdir(parents=True)
    files = []
    for name, text in (("distances.csv", distances), ("gains.csv", gains)):
        files.append(elsewhere / name)
        files[-1].write_text(text)
    save_agreement(measure_agreement(*files), directory)
    return directory
