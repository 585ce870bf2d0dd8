"""What the simulated sets are for: distances between them come out in an order that anatomy explains."""

import pytest
from medsegdist.transforms.pipeline import preprocessing_pipeline
from monai.data import Dataset
from monai.transforms import Compose

from medsegdist.data.collect import collect
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PAPER_METHODS, make_metric

ORGANS = ("liver", "spleen", "prostate", "lung_tumor", "tuberculoma")


@pytest.fixture(scope="module")
def samples():
    made = {}
    for organ in ORGANS:
        layout = PhantomLayout(organ=organ, patients=10, slices=4, seed=7)
        pipeline = preprocessing_pipeline(grid=(96, 96), window=None if organ == "prostate" else (-1000.0, 400.0))
        items = [case.as_item() for case in layout.cases()]
        made[organ] = collect(Dataset(items, Compose([layout.load, pipeline])), name=organ, min_pixels=3)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("method", PAPER_METHODS)
@pytest.mark.parametrize("target", ["lung_tumor", "tuberculoma"])
def test_mr_of_the_pelvis_is_farthest_from_lung_lesions_and_the_other_lung_lesions_are_nearest(samples, method, target):
    metric = DatasetDistance(make_metric(method))
    found = {organ: metric(samples[organ], samples[target]) for organ in ORGANS if organ != target}
    (sibling,) = {"lung_tumor", "tuberculoma"} - {target}
    by_image = sorted(found, key=lambda organ: found[organ].image_term)
    assert (by_image[0], by_image[-1]) == (sibling, "prostate")
    by_value = sorted(found, key=lambda organ: found[organ].value)
    assert (by_value[0], by_value[-1]) == (sibling, "prostate")
