"""Images and masks that lie in folders and are paired by their names."""

from __future__ import annotations

import glob
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt, model_validator

from medsegdist.data.case import Case
from medsegdist.data.layouts._paths import (
    PICTURE_SUFFIXES,
    VOLUME_SUFFIXES,
    Color,
    PatientPattern,
    Root,
    check_names,
    listed_patients,
)
from medsegdist.data.partial_listing import PartialListingError, Unlisted
from medsegdist.errors import DataError
from medsegdist.words import counted


def _one_star(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a pattern inside `root`, without a leading / and without ..")
    if pattern.count("*") != 1:
        raise ValueError(f"expected a pattern with one *, which pairs images and masks, found '{pattern}'")
    if not pattern.lower().endswith((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)):
        raise ValueError(f"expected a pattern ending in {', '.join((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES))}")
    return pattern


# A pattern that is wrong pairs none of thousands.
_MOST_NAMED = 20
_PARTNER = "add the {}, or move the {} away"
_Pattern = Annotated[str, AfterValidator(_one_star)]


class FolderLayout(BaseModel):
    """Files in folders, each image paired with the mask whose name has the same part at *.

    Files are volumes (NIfTI, NRRD, MHA, MHD) or pictures (PNG, JPEG, BMP, TIFF), by their endings.

    A case is called by the part that the * stands for, and is a patient of its own unless `patient_pattern` says
    otherwise. Hidden files are passed over.

    Args:
        root: the dataset's folder; may hold ${VARIABLES} and ~.
        images: where images lie in `root`, with one *, as in "images/*.png" or "*/ct.nii.gz".
        masks: where masks lie, with one *, as in "masks/*_mask.png".
        color: how an RGB picture becomes one channel: its luminance (ITU-R BT.601) or one of its colors.
        channel: which channel of multi-channel (4D) volumes, from 0; None where images have none.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["folder"] = "folder"
    root: Root
    images: _Pattern
    masks: _Pattern
    color: Color = "luminance"
    channel: NonNegativeInt | None = None
    patient_pattern: PatientPattern = None

    @model_validator(mode="after")
    def _check_patterns_differ(self) -> FolderLayout:
        if self.images == self.masks:
            raise ValueError(f"images and masks have the same pattern '{self.images}'; name each by its own")
        return self

    @property
    def holds_pictures(self) -> bool:
        """Whether the images are pictures, which have no size in mm."""
        return self.images.lower().endswith(PICTURE_SUFFIXES)

    def cases(self) -> list[Case]:
        """The pairs of image and mask, in the order of their names; no pixel is read.

        Raises:
            DataError: the folder does not exist or holds no image.
            PartialListingError: images without mask, masks without image, or cases of unknown patients.
        """
        if not self.root.is_dir():
            raise DataError(f"the folder {self.root} does not exist; set `root` to where the dataset lies.")
        masks = _matches(self.root, self.masks)
        # "*.nii.gz" beside "*_seg.nii.gz" in one folder finds the masks too.
        images = {key: path for key, path in _matches(self.root, self.images).items() if path not in masks.values()}
        if not images and not masks:
            raise DataError(f"{self.root} holds no file '{self.images}' and none '{self.masks}'; mend the patterns.")
        if not images or not masks:
            key, pattern = ("images", self.images) if not images else ("masks", self.masks)
            others = counted(len(images or masks), "file")
            raise DataError(
                f"{self.root} holds {others} '{self.masks if not images else self.images}' but none '{pattern}'; mend "
                f"the pattern `{key}`, or add the files."
            )
        check_names(sorted(images.keys() | masks.keys()), str(self.root))
        maskless, imageless = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
        ids = sorted(images.keys() & masks.keys())
        patients, unlisted, lines = listed_patients(ids, self.patient_pattern, str(self.root))
        cases = [
            Case(id=case_id, patient_id=patient, image=str(images[case_id]), label=str(masks[case_id]))
            for case_id, patient in zip(ids, patients, strict=True)
        ]
        if alone := len(maskless) + len(imageless):
            head = (
                f"{self.root}: '{self.images}' and '{self.masks}' must match the same names, but "
                f"{counted(alone, 'file has', 'files have')} no partner; add the partners or move the files away."
            )
            files = [f"  '{images[key].name}' has no mask" for key in maskless]
            files += [f"  mask '{masks[key].name}' has no image" for key in imageless]
            more = [f"  and {alone - _MOST_NAMED} more; `medsegdist check` lists all by --json"]
            lines = [head, *files[:_MOST_NAMED], *(more if alone > _MOST_NAMED else ()), *lines]
        unlisted = [
            *(
                Unlisted(key, f"the image has no mask '{self.masks}'", _PARTNER.format("mask", "image"))
                for key in maskless
            ),
            *(
                Unlisted(key, f"the mask has no image '{self.images}'", _PARTNER.format("image", "mask"))
                for key in imageless
            ),
            *unlisted,
        ]
        if unlisted:
            raise PartialListingError("\n".join(lines), unlisted, cases)
        return cases

    def loader(self) -> Any:
        """A MONAI transform that reads the files of an item as (1, *spatial) float32 tensors."""
        from medsegdist.data.layouts._file_reading import ReadFiles

        return ReadFiles(channel=self.channel, color=self.color)


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """The files that fit `pattern`, by the part that its * stands for."""
    before, after = pattern.split("*")
    # Only the * is a wildcard; a [ or ? in a folder's name is itself.
    whole = re.compile(re.escape(before) + "([^/]+)" + re.escape(after))
    found = {}
    for path in root.glob(f"{glob.escape(before)}*{glob.escape(after)}"):
        relative = path.relative_to(root)
        match = whole.fullmatch(relative.as_posix())
        if match and path.is_file() and not any(part.startswith(".") for part in relative.parts):
            found[match.group(1)] = path
    return found
