"""`medsegdist rank` with classes, real ones and fake ones on a common scale."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from medsegdist import DatasetDistance, FakeClassMetric, compare_all, joint_scale, load_samples, load_study
from medsegdist.distance.table import DistanceTable
from tests.readme import small_study
from tests.test_cli import run

STUDY = """
name: parts of the hippocampus
preprocessing: {dimensions: 2, grid: [48, 48], intensity: zscore, min_pixels: 8, max_samples: 24, max_per_case: 2}
datasets:
  - {name: hippocampus, modality: MR, layout: &hippocampus {kind: decathlon, root: HIPPOCAMPUS},
     classes: {anterior: 1, posterior: 2}}
  - {name: the same, modality: MR, layout: *hippocampus, classes: {back: 2, front: 1}}
  - {name: left atrium, modality: MR, layout: {kind: decathlon, root: ATRIUM}, foreground: [1]}
targets: [hippocampus]
shared_images: allow
distance: {components: 1}
"""


@pytest.mark.realdata
def test_a_dataset_of_two_classes_is_nearest_to_itself_whatever_its_classes_are_called(tmp_path, data_root):
    text = STUDY.replace("HIPPOCAMPUS", str(data_root / "Task04_Hippocampus"))
    (tmp_path / "study.yaml").write_text(text.replace("ATRIUM", str(data_root / "la2018_heart_mr3d")))
    run("rank", tmp_path / "study.yaml", "--out", tmp_path, "--bootstrap", "3", "--paper")
    table = pd.read_csv(tmp_path / "distances.csv").set_index(["source", "method"])
    assert len(table) == 2 * 5
    for method in ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm"):
        same, other = table.loc[("the same", method)], table.loc[("left atrium", method)]
        assert same["distance"] < 1e-6 * other["distance"]
        assert (same["rank"], other["rank"]) == (1, 2)
        assert 0 < other["low"] < other["high"]
        assert other["distance"] == pytest.approx(other["image_term"] + other["mask_term"], rel=1e-9)
    assert "left atrium" in (tmp_path / "report.html").read_text()


FEATURES = ("shape", "texture")


@pytest.fixture
def study_file(tmp_path):
    study = small_study(methods=["gmm2d", "fake_classes"], distance={"feature_scale": "joint", "features": [*FEATURES]})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    return file


def test_one_scale_of_all_datasets_is_what_python_makes(tmp_path, study_file):
    run("rank", study_file, "--bootstrap", 0, "--no-report", "--out", tmp_path / "out")
    study = load_study(study_file)
    samples = [load_samples(manifest, study.preprocessing) for manifest in study.datasets]
    metric = FakeClassMetric(features=FEATURES, scale=joint_scale(samples, FEATURES))
    expected = compare_all(samples, {"fake_classes": DatasetDistance(metric, normalize=True)}, targets=study.targets)
    found = DistanceTable.load(tmp_path / "out" / "distances.csv").matrix("fake_classes")
    assert found.to_dict() == expected.matrix("fake_classes").to_dict()
    alone = compare_all(
        samples, {"fake_classes": DatasetDistance(FakeClassMetric(features=FEATURES))}, targets=["Liver"]
    )
    assert found.to_dict() != alone.matrix("fake_classes").to_dict()


def test_a_card_has_no_joint_scale(tmp_path, study_file):
    dataset = tmp_path / "dataset.yaml"
    dataset.write_text(yaml.safe_dump(yaml.safe_load(study_file.read_text())["datasets"][0]))
    result = run("cards", "make", dataset, "--like", study_file, "--out", tmp_path / "cards", status=2)
    assert "dataset 'Liver': expected `feature_scale: dataset`, found joint" in result.stderr
    assert not (tmp_path / "cards").exists()
