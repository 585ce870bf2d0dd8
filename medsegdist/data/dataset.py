"""From a dataset's description to MONAI datasets of its cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsegdist.data.manifest import DatasetManifest, Preprocessing

if TYPE_CHECKING:
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose


def make_dataset(manifest: DatasetManifest, preprocessing: Preprocessing) -> Dataset:
    """A MONAI dataset of the prepared cases, one item a case.

    Args:
        manifest: which dataset.
        preprocessing: how to prepare it.

    Returns:
        A dataset whose items are dicts with "image" (1, *grid) float32, "label" (1, *grid) of 0 and 1, "case_id" and
        "patient_id"; in 2D, a volume's item is a list of such dicts, one for each slice with foreground. Where the
        manifest has classes, "label" is (classes, *grid). Its `data` and `transform` also go into CacheDataset or
        PersistentDataset.

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

    pipeline = make_transform(manifest, preprocessing, split=True)
    # A plain function would be random to MONAI, and PersistentDataset would keep nothing.
    load = Lambda(manifest.load)
    return Dataset([case.as_item() for case in cases], Compose([load, *pipeline.transforms]))


def make_transform(manifest: DatasetManifest, preprocessing: Preprocessing, *, split: bool) -> Compose:
    """What :func:`make_dataset` does to a case that is loaded; without `split` its slices stay in one item."""
    from medsegdist.transforms import preprocessing_pipeline

    window = manifest.window
    if window is None and manifest.modality == "CT":
        window = preprocessing.ct_window
    pipeline: Compose = preprocessing_pipeline(
        dimensions=preprocessing.dimensions,
        grid=preprocessing.grid,
        spacing=preprocessing.spacing,
        foreground=manifest.foreground,
        classes=None if manifest.classes is None else tuple(manifest.classes.values()),
        intensity=preprocessing.intensity,
        window=window,
        percentiles=preprocessing.percentiles,
        max_slices=preprocessing.max_per_case,
        seed=preprocessing.seed,
        split=split,
    )
    return pipeline
