"""One kind of file in the place of another."""

from __future__ import annotations

import pytest

from medsegdist.data.manifest import load_dataset
from medsegdist.data.preparation import load_preparation
from medsegdist.data.study import load_study
from medsegdist.errors import ManifestError
from tests.data.test_manifest import HEAD, LUNG, STUDY, study_with, written


def test_a_dataset_in_the_place_of_a_study_is_told_so(tmp_path):
    path = written(tmp_path, LUNG)
    message = (
        f"{path}: expected a study, found the description of a dataset; list this file under `datasets` of a study, "
        "beside a `preprocessing` and `targets`, or let `medsegdist init` write a study of your folders."
    )
    for load in (load_study, load_preparation):
        with pytest.raises(ManifestError) as caught:
            load(path)
        assert str(caught.value) == message


def test_a_study_in_the_place_of_a_dataset_is_told_so(tmp_path):
    path = study_with(tmp_path, "two organs", "two organs")
    with pytest.raises(ManifestError) as caught:
        load_dataset(path)
    assert str(caught.value) == (
        f"{path}: expected the description of one dataset, found a study; name one of its datasets: lung.yaml."
    )
    path.write_text("name: empty\npreprocessing: {grid: [8, 8]}\ndatasets: nothing\n")
    with pytest.raises(
        ManifestError, match=r"found a study; write one of its `datasets` to a file of its own, and name"
    ):
        load_dataset(path)


def test_a_study_among_the_datasets_of_a_study_is_told_so(tmp_path):
    study_with(tmp_path, "two organs", "inner")
    outer = written(tmp_path, STUDY.replace("lung.yaml", "study.yaml"), "outer.yaml")
    with pytest.raises(ManifestError, match=r"study\.yaml: expected the description of one dataset, found a study"):
        load_study(outer)


@pytest.mark.parametrize("text", ["name: x\n", "name: x\nlayout: {kind: lidc}\ntargets: [x]\n"])
def test_a_file_that_may_be_either_is_checked_as_what_was_asked_for(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(ManifestError, match="modality: this key is missing"):
        load_dataset(path)


def test_a_card_in_the_place_of_a_study_or_a_dataset_is_told_so(tmp_path):
    card = written(tmp_path, HEAD, "card.json")
    remedy = r"found a card; list it under `datasets` of a study\.$"
    for load in (load_study, load_preparation):
        with pytest.raises(ManifestError, match=rf"card\.json: expected a study, {remedy}"):
            load(card)
    with pytest.raises(ManifestError, match=rf"card\.json: expected the description of one dataset, {remedy}"):
        load_dataset(card)
