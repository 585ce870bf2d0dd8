"""The layout of the Medical Segmentation Decathlon: a dataset.json that lists NIfTI volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeInt

from medsegdist.data.layouts import listing, paths
from medsegdist.errors import DataError


class DecathlonLayout(listing.FileLayout):
    """A task of the Medical Segmentation Decathlon, or a dataset stored like one.

    The cases are the "training" list of `root`/dataset.json; the "test" list has no labels and is ignored. A case has
    the name of its image's file without the ending, and is a patient of its own unless `patient_pattern` or the
    "patient_id" of its entry says otherwise.
    """

    looked_for: ClassVar[str] = 'dataset.json with "training": [{"image": ..., "label": ...}] (Decathlon)'

    kind: Literal["decathlon"] = "decathlon"
    root: paths.Root
    channel: NonNegativeInt | None = None  # of multi-channel (4D) images
    patient_pattern: paths.PatientPattern = None

    def cases(self) -> list[listing.Case]:
        """The labeled cases, in the order of dataset.json; no voxel is read."""
        path = self.root / "dataset.json"
        content = listing.read_listing(path, "set `root` to the folder that holds dataset.json")
        training = content.get("training") if isinstance(content, dict) else None
        if not isinstance(training, list) or not training:
            raise DataError(f"{path}: expected a list 'training' of labeled cases, found {listing.shown(training)}")
        read, unlisted = listing.read_entries(path, enumerate(training), self._files)
        found = [
            (paths.without_suffix(image.name), str(image), str(label), entry.get("patient_id"))
            for image, label, entry in read
        ]
        return listing.build_cases(found, self.patient_pattern, path, unlisted)

    @classmethod
    def recognize(cls, root: Path) -> listing.Recognized | None:
        """What the dataset.json of a folder says of it; None if there is none of the Decathlon's form."""
        content = listing.read_dataset_json(root)
        training = content.get("training")
        first = training[0] if isinstance(training, list) and training else None
        if not isinstance(first, dict) or not all(isinstance(first.get(key), str) for key in ("image", "label")):
            return None
        what = "a Decathlon task (dataset.json)"
        return listing.recognized_listing(content, what, {"kind": "decathlon"}, content.get("modality"))

    def _files(self, entry: Any) -> tuple[Path, Path]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise DataError(f'expected {{"image": "path", "label": "path"}}, found {listing.shown(entry)}')
        if "patient_id" in entry:
            listing.check_patient(entry, "patient_id")
        return paths.inside(self.root, entry["image"]), paths.inside(self.root, entry["label"])
