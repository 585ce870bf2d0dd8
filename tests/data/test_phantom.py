"""Invented patients: the right organ in the right place, the same on every run."""

from __future__ import annotations

import math
import pickle

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Orientation
from scipy.ndimage import binary_dilation

from medsegdist.data.layouts.phantom import AIR, Part, PhantomLayout, Plane, generator, scan_ct, scan_mr

ORGANS = ("lung_tumor", "tuberculoma", "liver", "spleen", "prostate")


@pytest.fixture(scope="module")
def patients():
    """Twelve patients of each kind, five slices of 128 x 128."""
    made = {}
    for organ in ORGANS:
        layout = PhantomLayout(organ=organ, patients=12, size=(128, 128))
        loader = layout.load
        made[organ] = [loader(case.as_item()) for case in layout.cases()]
    return made


def images(items):
    return np.stack([item["image"][0].numpy() for item in items])


def masks(items):
    return np.stack([item["label"][0].numpy() > 0 for item in items])


def area_cm2(item):
    """Of each slice."""
    _, row, column = nib.affines.voxel_sizes(item["label"].affine.numpy())
    return item["label"][0].numpy().sum(axis=(1, 2)) * row * column / 100


def volume_cm3(item):
    """Slices lie over the middle four fifths of the organ."""
    return area_cm2(item).sum() * nib.affines.voxel_sizes(item["label"].affine.numpy())[0] / 10


@pytest.mark.parametrize("organ", ORGANS)
def test_items_are_volumes_with_a_segment_on_every_slice(patients, organ):
    for item in patients[organ]:
        assert item["image"].shape == item["label"].shape == (1, 5, 128, 128)
        assert str(item["image"].dtype) == "torch.float32"
        assert item["label"].unique().tolist() == [0, 1]
        assert (item["label"].sum(dim=(0, 2, 3)) > 0).all()
        assert nib.aff2axcodes(item["image"].affine.numpy()) == ("S", "P", "L")
        np.testing.assert_array_equal(Orientation(axcodes="SPL", labels=None)(item["label"]), item["label"])
        whole = item["image"].numpy()
        np.testing.assert_array_equal(whole, np.rint(whole))


@pytest.mark.parametrize("organ", ORGANS)
def test_a_patient_is_the_same_in_every_process_and_whatever_else_is_asked_for(organ):
    few, many = (PhantomLayout(organ=organ, patients=patients, size=(64, 64)) for patients in (2, 5))
    assert few.cases() == many.cases()[:2]
    case = few.cases()[1].as_item()
    once, again = few.load(case), pickle.loads(pickle.dumps(many.load))(case)
    np.testing.assert_array_equal(once["image"], again["image"])
    np.testing.assert_array_equal(once["label"], again["label"])
    other = PhantomLayout(organ=organ, seed=1, size=(64, 64)).load(case)
    assert not np.array_equal(once["image"], other["image"])


def centroid(item):
    """Row and column of the segment, as fractions of the slice."""
    _, rows, columns = np.nonzero(item["label"][0].numpy())
    return rows.mean() / 127, columns.mean() / 127


def test_organs_lie_on_their_side(patients):
    for item in patients["liver"]:
        assert centroid(item)[1] < 0.42, "the liver is on the patient's right, the picture's left"
    for item in patients["spleen"]:
        row, column = centroid(item)
        assert column > 0.65, "the spleen is on the left"
        assert row > 0.48, "toward the back"
    for item in patients["prostate"]:
        row, column = centroid(item)
        assert abs(row - 0.5) < 0.12
        assert abs(column - 0.5) < 0.08


def test_sizes_are_those_of_human_organs(patients):
    """Textbook ranges, with room for the slices' coarse grid."""
    volumes = {organ: [volume_cm3(item) for item in patients[organ]] for organ in ORGANS}
    assert 1100 < np.mean(volumes["liver"]) < 2000
    assert 150 < np.mean(volumes["spleen"]) < 400
    assert 30 < np.mean(volumes["prostate"]) < 90
    for organ, low, high in (("lung_tumor", 1.6, 7.0), ("tuberculoma", 0.8, 4.0)):
        diameters = [2 * np.sqrt(area_cm2(item).max() / np.pi) for item in patients[organ]]
        assert low < min(diameters)
        assert max(diameters) < high
    assert np.median(volumes["lung_tumor"]) > 3 * np.median(volumes["tuberculoma"])


def test_intensities_are_those_of_ct_and_mr(patients):
    for organ, low, high in (("liver", 70, 140), ("spleen", 80, 150)):
        means = [item["image"][item["label"] > 0].mean() for item in patients[organ]]
        assert low < min(means) <= max(means) < high
    for organ in ("lung_tumor", "tuberculoma", "liver", "spleen"):
        assert images(patients[organ]).min() >= -1024
        assert np.mean(images(patients[organ]) < -900) > 0.1, "air around the body"
    prostate = images(patients["prostate"])
    assert prostate.min() >= 0
    levels = [np.percentile(item["image"], 99) for item in patients["prostate"]]
    assert max(levels) > 1.3 * min(levels), "MR has no common scale"


def test_lesions_are_surrounded_by_lung(patients):
    for organ in ("lung_tumor", "tuberculoma"):
        air = []
        for image, mask in zip(images(patients[organ]), masks(patients[organ]), strict=True):
            ring = binary_dilation(mask[2], iterations=3) & ~binary_dilation(mask[2], iterations=1)
            air.append(np.mean(image[2][ring] < -500))
            assert image[2][mask[2]].mean() > image[2][ring].mean() + 200
        assert np.median(air) > 0.6


@pytest.mark.parametrize("organ", ORGANS)
def test_the_grid_does_not_change_the_anatomy(organ):
    """The same patient at twice the resolution has the same segment, to the coarse grid's partial volume."""
    coarse, fine = (PhantomLayout(organ=organ, size=size, slices=3) for size in ((160, 160), (320, 320)))
    case = coarse.cases()[4].as_item()
    a, b = coarse.load(case), fine.load(case)
    assert area_cm2(a) == pytest.approx(area_cm2(b), rel=0.08, abs=0.3)


def painted(*parts, z=0.0, size=(260, 220), pixel=(0.5, 0.6)):
    plane = Plane(size, pixel, generator("plane"))
    return plane.paint(parts, z, AIR, "organ")


radius = st.floats(25, 45)


@given(st.floats(-10, 10), radius, radius, st.floats(0, 180), st.floats(-0.8, 0.8))
def test_a_slice_cuts_an_ellipse_of_the_closed_form(x, a, b, turn, height):
    _, mask = painted(Part("organ", (x, 3, 0), (a, b, 40), 50, turn=turn), z=40 * height)
    # The warp moves an edge by some 2 mm either way.
    assert mask.sum() * 0.3 == pytest.approx(math.pi * a * b * (1 - height**2), rel=0.2)


@pytest.mark.parametrize("noise", [10.0, 30.0])
def test_ct_noise_has_the_standard_deviation_asked_for(noise):
    image = scan_ct(np.full((256, 256), 40, dtype=np.float32), generator("noise"), noise)
    assert image.mean() == pytest.approx(40, abs=0.5)
    assert image.std() == pytest.approx(noise, rel=0.05)


def test_mr_noise_is_rician():
    """Without a signal its mean is sigma sqrt(pi / 2); magnitudes are never negative."""
    empty = scan_mr(np.zeros((256, 256), dtype=np.float32), generator("noise"), 20.0)
    assert empty.min() >= 0
    assert empty.mean() == pytest.approx(20 * math.sqrt(math.pi / 2), rel=0.02)
