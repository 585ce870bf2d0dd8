from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdist.transforms import preprocessing_pipeline
from monai.data import MetaTensor
from monai.transforms import LoadImaged


@pytest.fixture
def ct() -> dict:
    """A CT of 12 slices in RAS order: air, a body of 40 HU, and a lesion of 100 HU in slices 4 to 7."""
    rng = np.random.default_rng(0)
    hu = np.full((12, 40, 48), -1000.0)
    hu[:, 5:35, 6:42] = 40 + rng.integers(-20, 20, (12, 30, 36))
    lesion = np.zeros_like(hu)
    lesion[4:8, 20:28, 10:18] = 1
    hu[lesion == 1] = 100
    # index (slice, row, column) to RAS: superior, posterior, left
    affine = np.array([[0, 0, -0.8, 30], [0, -0.9, 0, -20], [2.5, 0, 0, 100], [0, 0, 0, 1]])
    return as_item(hu, lesion, affine, (2, 1, 0), (2, 1, 0))


def as_item(image, label, affine, image_axes, label_axes) -> dict:
    def stored(volume, axes):
        return MetaTensor(
            torch.from_numpy(np.ascontiguousarray(volume.transpose(axes))[None]).float(),
            affine=torch.from_numpy(affine[:, [*axes, 3]]),
        )

    return {
        "image": stored(image, image_axes),
        "label": stored(label, label_axes),
        "case_id": "ct_1",
        "patient_id": "p1",
    }


def test_slices_of_a_ct(ct):
    items = preprocessing_pipeline(grid=(20, 24), window=(-1000, 400))(ct)
    assert [item["slice_index"] for item in items] == [4, 5, 6, 7]
    for item in items:
        assert (item["case_id"], item["patient_id"]) == ("ct_1", "p1")
        assert item["image"].shape == item["label"].shape == (1, 20, 24)
        assert item["image"].dtype == torch.float32
        assert item["label"].dtype == torch.uint8
        expected = torch.zeros(20, 24, dtype=torch.uint8)
        expected[10:14, 5:9] = 1
        torch.testing.assert_close(item["label"][0].as_tensor(), expected)
        assert float(item["image"][0, 12, 7]) == pytest.approx((100 + 1000) / 1400 * 255, rel=1e-5)
        assert float(item["image"][0, 0, 0]) == 0


def test_a_volume_in_3d(ct):
    item = preprocessing_pipeline(dimensions=3, grid=(6, 20, 24), window=(-1000, 400))(ct)
    assert item["image"].shape == item["label"].shape == (1, 6, 20, 24)
    expected = torch.zeros(6, 20, 24, dtype=torch.uint8)
    expected[2:4, 10:14, 5:9] = 1
    torch.testing.assert_close(item["label"][0].as_tensor(), expected)
    assert "slice_index" not in item


def test_spacing_keeps_millimeters(ct):
    (item, *_) = preprocessing_pipeline(grid=(64, 64), spacing=(0.5, 0.5), window=(-1000, 400))(ct)
    np.testing.assert_allclose(item["image"].pixdim, [0.5, 0.5])
    lesion_mm2 = 8 * 0.9 * 8 * 0.8
    assert float(item["label"].sum()) * 0.25 == pytest.approx(lesion_mm2, rel=0.1)
    assert float(item["image"][0, 0].abs().max()) == 0
    where = np.argwhere(item["label"][0].numpy()).mean(axis=0)
    world = item["label"].affine.numpy() @ [*where, 0, 1]
    np.testing.assert_allclose(world[:3], [30 - 0.8 * 13.5, -20 - 0.9 * 23.5, 100 + 2.5 * 4], atol=0.2)


def test_percentiles_are_those_of_the_whole_case(ct):
    items = preprocessing_pipeline(grid=(40, 48), percentiles=(5, 99))(ct)
    low, high = np.percentile(ct["image"].numpy(), [5, 99])
    expected = np.clip((ct["image"].numpy()[0].transpose(2, 1, 0)[4:8] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(np.concatenate([item["image"] for item in items]), expected, atol=1e-3)


@pytest.mark.parametrize("window", [(-100, 200), None])
def test_a_windowed_image_is_padded_with_black(ct, window):
    """Even one without black of its own, as a slice cut from within a body."""
    ct["image"] = ct["image"] + 2000
    ct["image"][0, 0, 0, 0] = -500
    (item, *_) = preprocessing_pipeline(grid=(64, 64), spacing=(1, 1), window=window, percentiles=(0, 100))(ct)
    assert set(item["image"][0, 0].tolist()) == {0.0}
    assert float(item["image"][item["image"] > 0].min()) > 10


def test_hounsfield_units_are_padded_with_the_darkest_value(ct):
    (item, *_) = preprocessing_pipeline(grid=(64, 64), spacing=(1, 1), intensity="hounsfield")(ct)
    assert set(item["image"][0, 0].tolist()) == {-1000.0}


def test_standard_scores_look_at_the_final_grid(ct):
    for window in (None, (-100, 200)):
        for item in preprocessing_pipeline(grid=(20, 24), intensity="zscore", window=window)(ct):
            assert float(item["image"].mean()) == pytest.approx(0, abs=1e-5)
            assert float(item["image"].std(correction=0)) == pytest.approx(1, rel=1e-5)
    raw = preprocessing_pipeline(grid=(20, 24), intensity="zscore")(ct)[0]["image"]
    assert float((raw - item["image"]).abs().max()) > 0.1  # the window was applied


def test_named_values_are_the_foreground(ct):
    ct["label"][ct["label"] == 1] = 3
    ct["label"][0, 0, 0, 0] = 2
    assert len(preprocessing_pipeline(grid=(20, 24), foreground=(3,))(ct)) == 4
    assert [item["slice_index"] for item in preprocessing_pipeline(grid=(20, 24), foreground=(2,))(ct)] == [0]
    with pytest.raises(RuntimeError) as failure:
        preprocessing_pipeline(grid=(20, 24))(ct)
    assert "found 0, 2, 3; name the values" in str(root(failure.value))


def test_a_slice_of_any_class_is_kept_with_the_masks_of_all(ct):
    ct["label"][ct["label"] == 1] = 3
    ct["label"][0, 20:30, 20:30, 0] = 2
    items = preprocessing_pipeline(grid=(20, 24), classes=((3,), (2,), (5,)))(ct)
    assert [item["slice_index"] for item in items] == [0, 4, 5, 6, 7]
    assert {tuple(item["label"].shape) for item in items} == {(3, 20, 24)}
    for channel, value in enumerate((3, 2)):
        alone = preprocessing_pipeline(grid=(20, 24), foreground=(value,))(ct)
        shown = [item for item in items if item["label"][channel].any()]
        assert [item["slice_index"] for item in shown] == [item["slice_index"] for item in alone]
        for item, one in zip(shown, alone, strict=True):
            assert torch.equal(item["label"][channel], one["label"][0])
            assert torch.equal(item["image"], one["image"])


def root(error: BaseException) -> BaseException:
    """The first of a chain: MONAI wraps whatever a transform raises in RuntimeErrors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_a_2d_image_gives_one_item():
    rng = np.random.default_rng(3)
    picture = MetaTensor(torch.from_numpy(rng.uniform(0, 255, (1, 30, 40))).float(), affine=torch.eye(4))
    mask = MetaTensor(torch.zeros(1, 30, 40), affine=torch.diag(torch.tensor([2.0, 2, 1, 1])))
    mask[0, :15, :20] = 255
    item = preprocessing_pipeline(grid=(10, 20), percentiles=(0, 100))(
        {"image": picture, "label": mask, "case_id": "x"}
    )
    assert item["image"].shape == (1, 10, 20)
    assert item["label"][0].tolist() == [[1] * 10 + [0] * 10] * 5 + [[0] * 20] * 5
    assert item["case_id"] == "x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 4, "grid": (8, 8, 8, 8)}, "dimensions 2 or 3, found 4"),
        ({"dimensions": 2, "grid": (8, 8, 8)}, r"grid of 2 numbers, as dimensions = 2, found \(8, 8, 8\)"),
        ({"dimensions": 3, "grid": (8, 8)}, "grid of 3 numbers"),
        ({"grid": (8, 8), "intensity": "minmax"}, "one of .*'zscore'.*, found 'minmax'"),
        ({"grid": (8, 8), "foreground": ()}, "whole numbers"),
        ({"grid": (8, 8), "foreground": (1,), "classes": ((2,),)}, "expected foreground or classes, found both"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        preprocessing_pipeline(**options)


@pytest.mark.realdata
def test_real_mr_volumes_on_a_grid_of_their_own_spacing_keep_every_voxel(data_root):
    task = data_root / "Task04_Hippocampus"
    load = LoadImaged(["image", "label"], ensure_channel_first=True)
    pipeline = preprocessing_pipeline(grid=(64, 64), spacing=(1, 1), foreground=(1, 2))
    for label in sorted((task / "labelsTr").glob("hippocampus_*.nii.gz"))[:6]:
        loaded = load({"image": task / "imagesTr" / label.name, "label": label, "case_id": label.name})
        items = pipeline(loaded)
        # 1 mm voxels, fewer than 64 on a side: padded, and neither cropped nor interpolated.
        assert sum(int(item["label"].sum()) for item in items) == int((loaded["label"] > 0).sum())
        for item in items:
            assert 0 <= float(item["image"].min()) < float(item["image"].max()) <= 255
