"""`distance: {feature_scale: joint}` in a study: features of fake classes on one scale for all of its datasets."""

import pytest
import yaml

from medsegdist import DatasetDistance, FakeClassMetric, compare_all, joint_scale, load_samples, load_study
from medsegdist.distance.table import DistanceTable
from tests.readme import small_study
from tests.test_cli import run

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
    expected = compare_all(samples, {"fake_classes": DatasetDistance(metric)}, targets=study.targets)
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
