from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdist.transforms import ForegroundSlices, ForegroundSlicesd, SplitSlices, SplitSlicesd
from monai.data import MetaTensor


def test_the_slices_with_foreground_come_in_order(kind, make, same_kind, axial_volume):
    image, mask = (make(array[None], kind) for array in axial_volume)
    kept = ForegroundSlices()(image, mask)
    same_kind(kept, image)
    for result, index in zip(SplitSlices()(kept), (1, 2, 3), strict=True):
        same_kind(result, image)
        assert result.shape == (1, 7, 9)
        np.testing.assert_array_equal(np.asarray(result)[0], axial_volume[0][index])


def test_items_keep_their_other_entries_and_learn_their_index(make, axial_volume):
    image, mask = (make(array[None]) for array in axial_volume)
    item = {"image": image, "label": mask, "case_id": "a", "patient_id": "p"}
    kept = ForegroundSlicesd(["image", "label"])(item)
    assert kept["slice_index"] == [1, 2, 3]
    results = SplitSlicesd(["image", "label"])(kept)
    assert [result["slice_index"] for result in results] == [1, 2, 3]
    for result in results:
        assert (result["case_id"], result["patient_id"]) == ("a", "p")
        np.testing.assert_array_equal(result["label"][0], axial_volume[1][result["slice_index"]])
    assert set(item) == {"image", "label", "case_id", "patient_id"}
    assert item["image"].shape == (1, 5, 7, 9)


def test_a_pixel_keeps_its_place_in_the_world(make, axial_volume, axial_affine):
    """The affine of a slice takes (row, column, 0) to where the volume's takes (slice, row, column)."""
    volume = make(axial_volume[0][None], affine=axial_affine)
    for index, result in enumerate(SplitSlices()(volume)):
        assert result.spatial_ndim == 2
        assert result.applied_operations == []
        for row, column in ((0, 0), (3, 8)):
            expected = axial_affine @ [index, row, column, 1]
            np.testing.assert_allclose(result.affine.numpy() @ [row, column, 0, 1], expected)
        np.testing.assert_allclose(result.pixdim, [0.8, 0.7])
    np.testing.assert_array_equal(volume.affine, axial_affine)


def test_a_slice_that_is_kept_has_its_own_place(make, axial_volume, axial_affine):
    volume = make(axial_volume[0][None], affine=axial_affine)
    (result,) = SplitSlices()(ForegroundSlices().keep(volume, [3]), [3])
    np.testing.assert_allclose(result.affine.numpy() @ [2, 4, 0, 1], axial_affine @ [3, 2, 4, 1])


def test_the_kept_slices_are_copies(axial_volume):
    volume = torch.from_numpy(axial_volume[0][None].copy())
    result = ForegroundSlices().keep(volume, [1])
    result += 1
    np.testing.assert_array_equal(volume[0], axial_volume[0])
    assert result.untyped_storage().nbytes() == 7 * 9 * 4


def test_an_empty_mask_gives_no_slices():
    empty = np.zeros((1, 3, 4, 5))
    assert ForegroundSlices()(empty, empty).shape == (1, 0, 4, 5)
    kept = ForegroundSlicesd(["image", "label"])({"image": empty, "label": empty})
    assert SplitSlicesd(["image", "label"])(kept) == []


def test_a_choice_is_seeded_by_seed_and_case_and_increasing():
    mask = np.zeros((1, 200, 1, 1))
    mask[0, 20:180] = 1
    select = ForegroundSlices(max_slices=12, seed=3).select
    chosen = select(mask, "case_a")
    assert chosen == select(mask, "case_a") == sorted(set(chosen))
    assert len(chosen) == 12
    assert set(chosen) <= set(range(20, 180))
    assert chosen != select(mask, "case_b")
    assert chosen != ForegroundSlices(max_slices=12, seed=4).select(mask, "case_a")
    assert ForegroundSlices(max_slices=160).select(mask) == list(range(20, 180))


def test_an_image_passes_as_it_is():
    item = {"image": MetaTensor(torch.ones(1, 4, 5)), "label": MetaTensor(torch.zeros(1, 4, 5))}
    for step in (ForegroundSlicesd(["image", "label"]), SplitSlicesd(["image", "label"])):
        result = step(item)
        assert result == item
        assert result is not item


ITEM = {"image": np.ones((1, 3, 4, 5)), "label": np.ones((1, 4, 4, 5))}


@pytest.mark.parametrize(
    ("use", "message"),
    [
        *(
            (
                lambda shape=shape: ForegroundSlices()(np.ones(shape), np.ones(shape)),
                r"expected a volume \(channels, sl",
            )
            for shape in ((4, 5), (1, 4, 5), (1, 1, 2, 4, 5))
        ),
        (
            lambda: ForegroundSlicesd(["image"])(ITEM),
            r"'image' has shape \(1, 3, 4, 5\) but the mask 'label' \(1, 4, 4",
        ),
        (lambda: ForegroundSlicesd(["image"], label_key="seg")(ITEM), "no mask under 'seg'"),
        (lambda: ForegroundSlices(max_slices=0), "max_slices >= 1 or None, found 0"),
        (lambda: ForegroundSlices(seed=-1), "seed >= 0, found -1"),
    ],
)
def test_what_has_no_slices_to_choose_is_refused(use, message):
    with pytest.raises((ValueError, KeyError), match=message):
        use()
