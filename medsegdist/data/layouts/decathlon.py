"""The layout of the Medical Segmentation Decathlon: a dataset.json that lists NIfTI volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from medsegdist.data.case import Case
from medsegdist.data.layouts._listing import as_json, bad_entry, described, read_listing, refuse_entries
from medsegdist.data.layouts._paths import PatientPattern, Root, inside, listed_patients, without_suffix
from medsegdist.data.partial_listing import Unlisted
from medsegdist.errors import DataError, ManifestError


class DecathlonLayout(BaseModel):
    """A task of the Medical Segmentation Decathlon, or a dataset stored like one.

    The cases are the "training" list of `root`/dataset.json; the "test" list has no labels and is ignored. A case is
    called by its image's file name without the ending, and is a patient of its own unless `patient_pattern` says
    otherwise, or, where there is none, the case's entry has a "patient_id".

    Args:
        root: the task's folder; may hold ${VARIABLES} and ~.
        channel: which channel of multi-channel (4D) images, from 0; None where images have none.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["decathlon"] = "decathlon"
    root: Root
    channel: NonNegativeInt | None = None
    patient_pattern: PatientPattern = None

    def cases(self) -> list[Case]:
        """The labeled cases, in the order of dataset.json; no voxel is read.

        Raises:
            DataError: dataset.json is missing or is not of the Decathlon's form.
            PartialListingError: entries that cannot be used, are listed twice or are of unknown patients; all of them.
            ManifestError: a path in dataset.json is absolute or leaves the folder.
        """
        entries = self._training()
        listing = self.root / "dataset.json"
        escaping: list[str] = []
        found: dict[str, tuple[Path, Path, Any]] = {}
        malformed: list[Unlisted] = []
        doubled: list[str] = []
        for index, entry in enumerate(entries):
            try:
                image, label = self._pair(entry)
            except ManifestError as error:
                escaping.append(f"  entry {index}: {error}")
            except DataError as error:
                malformed.append(bad_entry(index, error))
            else:
                case_id = without_suffix(image.name)
                if case_id in found:
                    doubled.append(case_id)
                found.setdefault(case_id, (image, label, entry))
        if escaping:
            raise ManifestError("\n".join([f"{listing}: paths that leave the folder:", *escaping]))
        ids = list(found)
        patients, unlisted, lines = listed_patients(ids, self.patient_pattern, str(listing))
        if self.patient_pattern is None:
            patients = [str(entry.get("patient_id", case_id)) for case_id, (_, _, entry) in found.items()]
        cases = [
            Case(id=case_id, patient_id=patient, image=str(image), label=str(label))
            for patient, (case_id, (image, label, _)) in zip(patients, found.items(), strict=True)
        ]
        refuse_entries(listing, "training", malformed, sorted(set(doubled)), unlisted, lines, cases)
        return cases

    def loader(self) -> Any:
        """A MONAI transform that reads the files of an item as (1, x, y, z) float32 tensors with their affine."""
        from medsegdist.data.layouts._file_reading import ReadFiles

        return ReadFiles(channel=self.channel)

    def _training(self) -> list[Any]:
        listing = self.root / "dataset.json"
        content = read_listing(listing, "set `root` to the folder that holds dataset.json")
        training = content.get("training") if isinstance(content, dict) else None
        if not isinstance(training, list) or not training:
            raise DataError(f"{listing}: expected a list 'training' of labeled cases, found {described(training)}.")
        return training

    def _pair(self, entry: Any) -> tuple[Path, Path]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise DataError(f'expected {{"image": "path", "label": "path"}}, found {as_json(entry)}.')
        patient = entry.get("patient_id", 0)
        if not isinstance(patient, (str, int)) or isinstance(patient, bool) or patient == "":
            raise DataError(f"expected a name or number under 'patient_id', found {as_json(patient)}.")
        return inside(self.root, entry["image"]), inside(self.root, entry["label"])
