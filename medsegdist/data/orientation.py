"""Whether the samples of a dataset lie as a DICOM viewer shows them."""

from __future__ import annotations

from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.layouts.paths import is_picture
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import MedSegDistError


def is_oriented(manifest: DatasetManifest) -> bool | None:
    """Whether rows run from anterior to posterior and columns from the patient's right to left.

    Args:
        manifest: of the dataset; no image of it is read.

    Returns:
        True for volumes of CT or MR, which are brought to that order, and False for all else: pictures have no
        orientation, and a radiograph may be stored as a volume of one slice with axes of its own. None if it is not
        known.
    """
    layout = manifest.layout
    if manifest.modality not in ("CT", "MR"):
        return False
    if not isinstance(layout, NnunetLayout | DatalistLayout | FolderLayout):
        return True
    try:
        return not any(is_picture(case.image) for case in layout.cases())
    except MedSegDistError:
        return None
