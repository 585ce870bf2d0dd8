"""What a study lends to whoever has none of its datasets."""

from __future__ import annotations

import pytest

from medsegdist.data.preparation import load_preparation
from medsegdist.data.study import load_study
from medsegdist.errors import ManifestError


def test_it_is_that_of_the_study(project_root) -> None:
    path = project_root / "data_manifests" / "demo.yaml"
    study, found = load_study(path), load_preparation(path)
    assert found.preprocessing == study.preprocessing
    assert found.preprocessing.fingerprint == study.preprocessing.fingerprint
    assert found.distance == study.distance


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distance: {}", r"like.yaml: preprocessing: this key is missing"),
        ("preprocessing: {grid: [8, 8]}\ndistanc: {}", r"like.yaml: distanc: unknown key; did you mean 'distance'\?"),
        ("preprocessing: {grid: [8]}", r"like.yaml: preprocessing: grid: expected \(rows, columns\)"),
        ("preprocessing: {grid: [8, 8]}\ndistance: {components: 0}", r"like.yaml: distance.components: expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, message) -> None:
    (tmp_path / "like.yaml").write_text(text)
    with pytest.raises(ManifestError, match=message):
        load_preparation(tmp_path / "like.yaml")
