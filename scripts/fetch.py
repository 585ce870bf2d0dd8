"""Download a task of the Medical Segmentation Decathlon (0.03 to 28 GB), or CT series of LIDC-IDRI (128 GB in all).

    python scripts/fetch.py decathlon Task09_Spleen --out data
    python scripts/fetch.py lidc --patient LIDC-IDRI-0001 --out data/LIDC-IDRI

LIDC-IDRI needs idc-index: pip install idc-index. A series that is there is not downloaded again.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path

from medsegdist.data.layouts.lidc_slices import open_database
from medsegdist.words import check_choice, listed


def fetch_decathlon(task: str, out: Path) -> None:
    """The task's folder in `out`, its checksum verified by MONAI."""
    from monai.apps.datasets import DecathlonDataset
    from monai.apps.utils import download_url, extractall

    check_choice("task", task, DecathlonDataset.resource)
    if (out / task).exists():
        raise FileExistsError(f"{out / task} is there already; delete it, or choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{task}.") as scratch:
        archive = Path(scratch, f"{task}.tar")
        download_url(DecathlonDataset.resource[task], archive, hash_val=DecathlonDataset.md5[task], hash_type="md5")
        extractall(archive, scratch)
        Path(scratch, task).rename(out / task)


def fetch_lidc(out: Path, patients: list[str]) -> None:
    """The CT series of patients as <patient>/<study>/<series>/*.dcm in `out`, from the Imaging Data Commons."""
    from idc_index import IDCClient

    with closing(open_database()) as database:
        slices = dict(database.execute("SELECT scan_id, count(*) FROM zvals GROUP BY scan_id"))
        rows = database.execute("SELECT patient_id, study_instance_uid, series_instance_uid, id FROM scans").fetchall()
    unknown = sorted(set(patients) - {patient for patient, *_ in rows})
    if unknown:
        raise ValueError(f"expected patients such as 'LIDC-IDRI-0001', found no {listed(unknown, quoted=True)}.")
    wanted = [row for row in rows if not patients or row[0] in patients]

    def missing() -> list[str]:
        return [
            series
            for patient, study, series, scan in wanted
            if len(list((out / patient / study / series).glob("*.dcm"))) < slices[scan]
        ]

    if missing():
        out.mkdir(parents=True, exist_ok=True)
        folders = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
        IDCClient().download_from_selection(str(out), seriesInstanceUID=missing(), dirTemplate=folders)
    # idc-index only logs that single files failed.
    if missing():
        raise OSError(f"{len(missing())} of {len(wanted)} series did not arrive; run the same command again.")


def main() -> None:
    """Read the command line and download."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="collection", required=True)
    decathlon = commands.add_parser("decathlon")
    decathlon.add_argument("task")
    decathlon.add_argument("--out", type=Path, default=Path("data"))
    lidc = commands.add_parser("lidc")
    lidc.add_argument("--patient", action="append", default=[])
    lidc.add_argument("--out", type=Path, default=Path("data/LIDC-IDRI"))
    asked = parser.parse_args()
    if asked.collection == "decathlon":
        fetch_decathlon(asked.task, asked.out)
    else:
        fetch_lidc(asked.out, asked.patient)


if __name__ == "__main__":
    main()
