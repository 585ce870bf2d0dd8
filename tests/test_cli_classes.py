"""`medsegdist rank` of real datasets with classes: the hippocampus in two parts."""

import pandas as pd
import pytest

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
    run("rank", tmp_path / "study.yaml", "--out", tmp_path, "--bootstrap", "3")
    table = pd.read_csv(tmp_path / "distances.csv").set_index(["source", "method"])
    assert len(table) == 2 * 5
    for method in ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm"):
        same, other = table.loc[("the same", method)], table.loc[("left atrium", method)]
        assert same["distance"] < 1e-6 * other["distance"]
        assert (same["rank"], other["rank"]) == (1, 2)
        assert 0 < other["low"] < other["high"]
        assert other["distance"] == pytest.approx(other["image_term"] + other["mask_term"], rel=1e-9)
    assert "left atrium" in (tmp_path / "report.html").read_text()
