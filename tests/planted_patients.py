"""Patients planted in headers, listings and names of folders, and how to seek them in all that is written and said."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.data.making_dicom import PATIENT_ID, PATIENT_NAME, rectangle, stack, structure_set, write
from tests.test_cli import write_dataset

IN_HEADER = (PATIENT_ID, PATIENT_NAME, "Mustermann", "Erika")
IN_LISTING = "Doe-Jane-19700101"
IN_FOLDER = ("Roe-4242", "Poe-5353", "Coe-6464")
SEVERAL = (PATIENT_ID, "MRN0815-4712", "MRN0815-4713")
"""PatientIDs of a folder of DICOM with several patients."""
EVERYBODY = (*IN_HEADER, IN_LISTING, *IN_FOLDER, *SEVERAL)
SHAPE = (6, 24, 20)


def write_dicom(root: Path, patients: Sequence[str] = (PATIENT_ID, PATIENT_ID)) -> dict:
    """Series and structure sets whose headers name the patient."""
    rng = np.random.default_rng(0)
    for name, patient in zip("abc", patients, strict=False):
        slices = stack(rng.integers(0, 2000, SHAPE).astype(np.int16), series=name, patient=patient)
        for part in slices:
            write(root / name / f"{part.InstanceNumber}.dcm", part)
        contours = [rectangle(3.6, 12.4, k) for k in (2, 3)]
        drawn = structure_set({"organ": contours}, slices, patient=patient)
        write(root / name / "rt.dcm", drawn)
    return {"kind": "dicom", "root": str(root), "segmentation": "rtstruct"}


def write_named_folders(root: Path) -> dict:
    """A folder for each patient, called like the patient."""
    write_dataset(root, (9, 8))
    for k, name in enumerate(IN_FOLDER):
        (root / name).mkdir()
        for folder, file in (("images", "ct"), ("masks", "seg")):
            (root / folder / f"case{k}.nii.gz").rename(root / name / f"{file}.nii.gz")
    layout = {"kind": "folder", "root": str(root), "images": "*/ct.nii.gz", "masks": "*/seg.nii.gz"}
    return layout | {"patient_pattern": "(.*)"}


def write_listed(root: Path) -> dict:
    """A Decathlon task whose listing says whom each case shows."""
    write_dataset(root, (16, 13))
    entries = [{"image": f"images/case{k}.nii.gz", "label": f"masks/case{k}.nii.gz"} for k in range(3)]
    patients = (IN_LISTING, IN_LISTING, "other")
    listing = {"training": [{**entry, "patient_id": name} for entry, name in zip(entries, patients, strict=True)]}
    (root / "dataset.json").write_text(json.dumps(listing))
    return {"kind": "decathlon", "root": str(root)}


WRITERS = {"headers": write_dicom, "folders": write_named_folders, "listing": write_listed}


def written(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, compressed ones unpacked as well, and hidden ones too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content += gzip.decompress(content)
            if zipfile.is_zipfile(io.BytesIO(content)):
                # Weights and checkpoints.
                with zipfile.ZipFile(path) as packed:
                    content += b"".join(map(packed.read, packed.namelist()))
            found[str(path.relative_to(folder))] = content
    return found


def naming(files: dict[str, bytes], *secrets: str) -> list[str]:
    """Those of the files that hold one of the secrets, in their content or in their name."""
    return [name for name, content in files.items() if any(s in name or s.encode() in content for s in secrets)]


def assert_silent(result, *secrets: str) -> None:
    for text in (result.stdout, result.stderr):
        assert not [secret for secret in secrets if secret in text], text


def without_cache(folder: Path) -> dict[str, bytes]:
    """As `written`, but for the cache of samples, which says who is who."""
    return {name: content for name, content in written(folder).items() if not name.startswith("samples/")}
