"""Whether local patches know that hippocampus is like hippocampus."""

import pytest

from medsegdist.data.collect import load_samples
from medsegdist.data.study import load_study
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PatchesMetric
from medsegdist.distance.table import rank_sources


@pytest.mark.realdata
@pytest.mark.slow
def test_the_other_hippocampus_sets_are_nearest_to_the_anterior_one(project_root, data_root):
    study = load_study(project_root / "data_manifests" / "real_volumes.yaml")
    target, *sources = (load_samples(manifest, study.preprocessing) for manifest in study.datasets)
    for image_weight in (0.0, 1.0):
        distances = {"patches": DatasetDistance(PatchesMetric(), image_weight=image_weight)}
        ranking = rank_sources(target, sources, distances).ranking("hippocampus anterior", "patches")
        assert {row.source for row in ranking[:2]} == {"hippocampus posterior", "hippocampus whole"}
