"""Descriptions of datasets, and the YAML files that hold them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.listing import Case, PartialListingError
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.layouts.paths import is_picture
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.options import Preprocessing, Window
from medsegdist.data.validation import read_yaml, validate
from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.words import listed

if TYPE_CHECKING:
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose

__all__ = ["DatasetManifest", "Layout", "Preprocessing", "load_dataset", "make_dataset"]

Layout = Annotated[
    DecathlonLayout | NnunetLayout | DatalistLayout | DicomLayout | FolderLayout | LidcLayout | PhantomLayout,
    Field(discriminator="kind"),
]
"""Any layout; in YAML its key `kind` says which. `medsegdist init` proposes the first one that recognizes a folder."""

_LABELS_END = 2**24  # masks are read as 32-bit floats, which hold no greater whole numbers exactly
_NAME = re.compile(r"\w[\w .+()-]*")


def _named(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "expected a name of letters, digits, spaces and _ . + - ( ) that begins with a letter, a digit or _, found "
            f"{name!r}; it becomes part of file names"
        )
    return name


def _label_values(values: tuple[int, ...]) -> tuple[int, ...]:
    if 0 in values:
        raise ValueError("0 is the background; name the other label values")
    if any(abs(value) >= _LABELS_END for value in values):
        raise ValueError(f"expected label values between -{_LABELS_END} and {_LABELS_END}, found {list(values)}")
    if len(set(values)) != len(values):
        raise ValueError(f"a label value is named twice in {list(values)}")
    return values


def _disjoint(classes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    for (one, values), (other, others) in combinations(classes.items(), 2):
        for value in set(values).intersection(others):
            raise ValueError(f"the label value {value} is named in two classes, '{one}' and '{other}'")
    return classes


_LabelValues = Annotated[tuple[int, ...], AfterValidator(_label_values), Field(min_length=1)]
_Name = Annotated[str, Field(max_length=80), AfterValidator(_named)]
_OneOrMore = Annotated[_LabelValues, BeforeValidator(lambda found: (found,) if isinstance(found, int) else found)]
_Classes = Annotated[dict[_Name, _OneOrMore], AfterValidator(_disjoint), Field(min_length=1)]


class DatasetManifest(BaseModel, frozen=True, extra="forbid"):
    """One dataset: where it is, what it shows, and which labels are foreground.

    Args:
        name: what tables and messages call it; also part of file names.
        modality: "CT" (intensities in HU unless `window` says otherwise), "MR", or "other".
        layout: how the files lie on disk.
        foreground: label values of the segment; None demands masks of 0 and one other value, the same in every case.
        classes: label values of each class by its name, in place of `foreground`.
        mask_threshold: in place of `foreground`, for masks with soft edges, as of JPEG or of probabilities: pixels of
            at least this value are the segment.
        window: (low, high) of this dataset's own intensities, for CT that is no longer in HU or pictures whose full
            range is known; None takes the study's CT window, or percentiles for other modalities.
        description: what it shows, in a sentence.
        license: its license, as its origin states it.
        simulated: what of it is simulated; empty if nothing is. Layouts that invent images say so by themselves.
        library: the entry of a learned ranking's library that this dataset is, such as "liver MSD".
    """

    name: _Name
    modality: Literal["CT", "MR", "other"]
    layout: Layout
    foreground: _LabelValues | None = None
    classes: _Classes | None = None
    mask_threshold: Annotated[FiniteFloat, Field(gt=0)] | None = None
    window: Window | None = None
    description: str = ""
    library: str = ""
    license: str = ""
    simulated: Annotated[str, Field(validate_default=True)] = ""

    @field_validator("simulated")
    @classmethod
    def _own_words_or_the_layouts(cls, words: str, info: ValidationInfo) -> str:
        """What is simulated is so whether the description says it or not."""
        layout = info.data.get("layout")
        if not words.strip() and isinstance(layout, PhantomLayout | LidcLayout):
            return layout.simulates
        return words

    @model_validator(mode="after")
    def _check_labels(self) -> DatasetManifest:
        keys = ("foreground", "classes", "mask_threshold")
        given = [f"`{key}`" for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            found = " and ".join(given)
            raise ValueError(f"expected `foreground`, `classes` or `mask_threshold`, found {found}; keep what is meant")
        return self

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """All values that are foreground, of any class; None if there is only one besides 0."""
        if self.classes is None:
            return self.foreground
        return tuple(value for values in self.classes.values() for value in values)

    def cases(self) -> list[Case]:
        """The cases that its layout lists.

        Raises:
            DataError: none can be listed, as of a folder that does not exist; a PartialListingError if some can.
        """
        try:
            return self.layout.cases()
        except PartialListingError:
            raise
        except DataError as error:
            raise DataError(error.problem, error.remedy, dataset=self.name, case=error.case) from error

    def load(
        self, item: Mapping[Hashable, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Hashable, Any]:
        """A case as its layout reads it, the mask cut at `mask_threshold` if there is one.

        Args:
            item: what :meth:`Case.as_item` gives.
            header_only: whether shapes and affines alone are read.
            keys: what to read; ("label",) leaves the image as it is.

        Raises:
            DataError: a file is missing, damaged or of another kind, or image and mask differ in shape.
        """
        read: dict[Hashable, Any] = self.layout.load(item, header_only=header_only, keys=keys)
        if self.mask_threshold is not None and not header_only:
            from medsegdist.data.readers import threshold_mask

            read["label"] = threshold_mask(read["label"], self.mask_threshold)
        return read

    def transform(self, preprocessing: Preprocessing, *, split: bool) -> Compose:
        """What brings a loaded case to samples by the study's `preprocessing`; `split` cuts slices apart."""
        from medsegdist.transforms import preprocessing_pipeline

        alike = {"dimensions", "grid", "spacing", "intensity", "percentiles", "seed"}
        pipeline: Compose = preprocessing_pipeline(
            **preprocessing.model_dump(include=alike),
            foreground=self.foreground,
            classes=None if self.classes is None else tuple(self.classes.values()),
            window=self.window_under(preprocessing),
            max_slices=preprocessing.max_per_case,
            split=split,
        )
        return pipeline

    def window_under(self, preprocessing: Preprocessing) -> tuple[float, float] | None:
        """Its own window, or that of the study's `preprocessing` for CT; None if there is none."""
        return self.window or (preprocessing.ct_window if self.modality == "CT" else None)

    def is_oriented(self) -> bool | None:
        """Whether rows run from anterior to posterior and columns from the patient's right to left; no image is read.

        So it is of volumes of CT or MR; pictures have no orientation, and a radiograph may be stored as a volume of one
        slice. None if its cases cannot be listed.
        """
        if self.modality not in ("CT", "MR"):
            return False
        # Layouts that may hold pictures say how their colors are read.
        if "color" not in type(self.layout).model_fields:
            return True
        try:
            return not any(is_picture(case.image) for case in self.layout.cases())
        except MedSegDistError:
            return None

    def check_one_foreground(self) -> None:
        """Refuse a dataset of several classes where one foreground is needed.

        Raises:
            ManifestError: it has classes.
        """
        if self.classes is not None:
            raise ManifestError(
                f"expected one foreground, found the classes {', '.join(self.classes)}",
                "give the label values of `foreground` in place of `classes`, or load them with load_class_samples and "
                "compare them with multiclass_distance",
                dataset=self.name,
            )

    def check_fits(self, preprocessing: Preprocessing, cases: Sequence[Case] = ()) -> None:
        """Refuse a `preprocessing` that has no meaning for this dataset, or, where they are known, for its `cases`.

        Raises:
            ManifestError: Hounsfield units of something that has none; pictures where mm or volumes are asked for.
        """
        problem, remedy = "", ""
        named_so = isinstance(self.layout, FolderLayout) and is_picture(self.layout.images)
        pictures = named_so or any(is_picture(case.image) for case in cases)
        if preprocessing.intensity == "hounsfield" and (self.modality != "CT" or self.window is not None):
            found = "a window of its own" if self.modality == "CT" else f"modality '{self.modality}'"
            problem = f"expected a CT in HU, as the study's intensity is 'hounsfield', found {found}"
            remedy = "choose 'window' or 'zscore', or leave the dataset out"
        elif pictures and preprocessing.spacing is not None:
            problem = "expected volumes, as the study has a spacing, found 2D images, whose size in mm is unknown"
            remedy = "leave `spacing` out to resize every sample to the grid"
        elif pictures and preprocessing.dimensions == 3:
            problem = "expected volumes, as the study has 3 dimensions, found 2D images"
            remedy = "choose `dimensions: 2`, or leave the dataset out"
        if problem:
            raise ManifestError(problem, remedy, dataset=self.name)


def load_dataset(path: str | Path) -> DatasetManifest:
    """Read a dataset's description.

    Args:
        path: a YAML file; relative folders in it are relative to the file.

    Raises:
        ManifestError: the file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    content = read_yaml(file)
    if "layout" not in content and content.keys() & {"datasets", "preprocessing", "targets"}:
        entries = content["datasets"] if isinstance(content.get("datasets"), list) else []
        named = [one.get("name") if isinstance(one, dict) else one for one in entries]
        remedy = f"name one of its datasets, by --dataset NAME or its own file: {listed(named)}" if named else ""
        raise ManifestError(f"{file}: expected the description of one dataset, found a study", remedy)
    return validate(DatasetManifest, content, file)


def make_dataset(manifest: DatasetManifest, preprocessing: Preprocessing) -> Dataset:
    """A MONAI dataset of the prepared cases, one item a case.

    Args:
        manifest: which dataset.
        preprocessing: how to prepare it.

    Returns:
        A dataset whose items are dicts with "image" (1, *grid) float32, "label" (1, *grid), or (classes, *grid), of 0
        and 1, "case_id" and "patient_id"; in 2D, a volume's item is a list of such dicts, one for each slice with
        foreground. Its `data` and `transform` also go into CacheDataset or PersistentDataset.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset.
        DataError: the dataset's files are not as described.
    """
    manifest.check_fits(preprocessing)
    cases = manifest.cases()
    manifest.check_fits(preprocessing, cases)
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose
    from monai.transforms.utility.array import Lambda

    pipeline = manifest.transform(preprocessing, split=True)
    # A plain function would be random to MONAI, and PersistentDataset would keep nothing.
    load = Lambda(manifest.load)
    return Dataset([case.as_item() for case in cases], Compose([load, *pipeline.transforms]))
