from __future__ import annotations

import numpy as np
import pytest
import torch

from medsegdist.data.collect import load_samples
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing, make_dataset
from medsegdist.errors import DataError, ManifestError
from tests.data.making import (
    AFFINE,
    PREPROCESSING,
    labels,
    pictures_manifest,
    real_hippocampus,
    task_manifest,
    write_listing,
    write_picture,
    write_task,
    write_volume,
)
from tests.data.test_collect import assert_equal


def changed(preprocessing: Preprocessing = PREPROCESSING, **changes) -> Preprocessing:
    return Preprocessing(**preprocessing.model_dump() | changes)


def test_a_picture_and_a_volume_of_it_give_the_same_samples(tmp_path):
    """One slice in LPS has its columns along the first axis and its rows along the second."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 12), dtype=np.uint8)
    mask = np.zeros((10, 12), np.uint8)
    mask[2:7, 3:5] = mask[6, 3:9] = 255
    write_picture(tmp_path / "images" / "a.png", pixels)
    write_picture(tmp_path / "masks" / "a.png", mask)
    write_volume(tmp_path / "a.nii.gz", pixels.T[..., None], AFFINE)
    write_volume(tmp_path / "b.nii.gz", mask.T[..., None], AFFINE)
    write_listing(tmp_path, [{"image": "a.nii.gz", "label": "b.nii.gz"}])
    volume = DatasetManifest(name="pictures", modality="MR", layout=DecathlonLayout(root=tmp_path))
    assert_equal(load_samples(volume, PREPROCESSING), load_samples(pictures_manifest(tmp_path), PREPROCESSING))
    exact = load_samples(pictures_manifest(tmp_path, window=(0, 255)), PREPROCESSING)
    np.testing.assert_array_equal(exact.masks[0], mask > 0)
    np.testing.assert_allclose(exact.images[0], pixels, atol=1e-4)


@pytest.mark.parametrize("foreground", [(1,), (2,), (1, 2)])
def test_foreground_chooses_the_labels(tmp_path, foreground):
    root = write_task(tmp_path, values=(1, 2))
    samples = load_samples(task_manifest(root, foreground=foreground), PREPROCESSING)
    expected = np.isin(labels(1, 2), foreground)[..., 1].T
    for mask in samples.masks:
        np.testing.assert_array_equal(mask, expected)


def test_intensity_rules(tmp_path):
    root = write_task(tmp_path)
    ct = task_manifest(root, modality="CT")

    def images(manifest, **changes):
        return load_samples(manifest, changed(**changes)).images

    raw = images(ct, intensity="hounsfield")
    torch.testing.assert_close(images(ct, ct_window=(100, 300)), ((raw - 100) / 200).clamp(0, 1) * 255)
    own = task_manifest(root, modality="CT", window=(0, 400))
    torch.testing.assert_close(images(own, ct_window=(100, 300)), (raw / 400).clamp(0, 1) * 255)
    scores = images(task_manifest(root), intensity="zscore")
    torch.testing.assert_close(scores.mean(dim=(1, 2)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, (raw - raw.mean((1, 2), True)) / raw.std((1, 2), correction=0, keepdim=True))


def test_limits_reach_the_samples(tmp_path):
    manifest = task_manifest(write_task(tmp_path))
    assert len(load_samples(manifest, changed(max_samples=4))) == 4
    assert load_samples(manifest, changed(max_per_case=1)).case_ids == ("p1_a", "p1_b", "p2_a")
    with pytest.raises(DataError, match=r"no sample has min_pixels = 10 .* of 3 cases has 9; lower min_pixels"):
        load_samples(manifest, changed(min_pixels=10))
    with pytest.raises(DataError, match="expected intensities above delta = 1e"):
        load_samples(task_manifest(tmp_path, modality="CT"), changed(intensity="hounsfield", delta=1e6))


def test_a_preprocessing_without_meaning_is_refused_before_any_file_is_looked_at(tmp_path):
    manifest = task_manifest(tmp_path / "nowhere")
    for function in (make_dataset, load_samples):
        with pytest.raises(ManifestError, match=r"'tiny': expected a CT in HU, .*, found modality 'MR'"):
            function(manifest, changed(intensity="hounsfield"))


@pytest.mark.realdata
def test_real_hippocampus_as_three_tasks(tmp_path, data_root):
    manifest = real_hippocampus(data_root, tmp_path, slice(6))

    def volumes(foreground):
        one = manifest.model_copy(update={"foreground": foreground})
        return load_samples(one, Preprocessing(grid=(32, 48, 32), dimensions=3, spacing=(1, 1, 1)))

    whole, anterior, posterior = volumes((1, 2)), volumes((1,)), volumes((2,))
    assert torch.equal(anterior.images, whole.images)
    assert torch.equal(anterior.masks | posterior.masks, whole.masks)
    assert not (anterior.masks & posterior.masks).any()
    # Rows run to the back.
    rows = torch.arange(48.0)[:, None]
    for front, back in zip(anterior.masks, posterior.masks, strict=True):
        assert (front * rows).sum() / front.sum() < (back * rows).sum() / back.sum()
    with pytest.raises(DataError, match="expected a mask of 0 and one other value"):
        volumes(None)
