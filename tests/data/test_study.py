"""Studies as YAML, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import load_dataset
from medsegdist.data.study import load_preparation, load_study
from medsegdist.errors import ManifestError
from tests.data.test_manifest import LUNG, STUDY, study_with, written


def test_those_compared_are_the_targets_and_their_sources(tmp_path):
    text = "- lung.yaml\n  - {name: spleen, modality: CT, layout: {kind: phantom, organ: spleen}}"
    study = load_study(study_with(tmp_path, "- lung.yaml", text))
    assert [one.name for one in study.compared(["lung"])] == ["lung", "spleen", "polyps"]
    study = study.model_copy(update={"sources": ("polyps", "lung")})
    assert [one.name for one in study.compared(["lung"])] == ["lung", "polyps"]
    assert [one.name for one in study.compared(["spleen"])] == ["lung", "spleen", "polyps"]


def test_study_finds_dataset_files_beside_itself(tmp_path, monkeypatch):
    study_file = study_with(tmp_path, "two organs", "two organs")
    monkeypatch.chdir("/")
    study = load_study(study_file)
    assert [dataset.name for dataset in study.datasets] == ["lung", "polyps"]
    assert isinstance(study.datasets[1].layout, FolderLayout)
    assert study.datasets[0] == load_dataset(tmp_path / "lung.yaml")
    assert study.datasets[1].layout.root == tmp_path / "../polyps"
    assert study.sources_of("lung") == ("polyps",)
    assert study.dataset("polyps") is study.datasets[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("grid: [64, 64]", "grid: [64]", r"grid: expected \(rows, columns\) for 2 dimensions, found \[64\]"),
        ("grid: [64, 64]", "grid: [6, 6], spacing: [1, 1, 1]", r"spacing: expected mm for each of \(rows, columns\)"),
        ("grid: [64, 64]", "grid: [6, 6], percentiles: [1, 101]", r"percentiles: expected 0 <= low < high <= 100"),
        ("grid: [64, 64]", "grid: [6, 6], delta: 0", r"delta: expected a number below 0, the least.*'window'.*found 0"),
        ("grid: [64, 64]", "grid: [6, 6], intensity: zscore, delta: -5", r"below -5.*'zscore' gives, found -5; .* -6"),
        ("grid: [64, 64]", "grid: [6, 6], dimensions: 4", r"dimensions: expected 2 or 3, found 4"),
        (
            "grid: [64, 64]",
            "grid: [6, 6], intensity: hounsfield",
            r"'polyps': expected a CT in HU, .*'hounsfield', found modality 'other'",
        ),
        ("grid: [64, 64]", "grid: [6, 6], spacing: [1, 1]", r"'polyps': .*, found 2D images, whose size in mm is"),
        ("grid: [64, 64]", "grid: [6, 6, 6], dimensions: 3", r"'polyps': expected volumes, .*, found 2D images"),
        (
            "targets: [lung]",
            "targets: [lungs]",
            r"targets: 'lungs' is no dataset of this study, which has lung, polyps; did you mean 'lung'\?$",
        ),
        ("targets: [lung]", "targets: [lung, lung]", r"targets: the name 'lung' is given twice"),
        ("targets: [lung]", "targets: [lung]\nsources: [lung]", r"the target 'lung' has no source left but itself"),
        ("name: polyps", "name: lung", r"datasets: the name 'lung' is given twice"),
        (
            "images: images/*.png",
            "images: images/a.png",
            r"datasets\.1 \('polyps'\)\.layout\.images: .*one \*.*'images/a\.png'",
        ),
        ("images: images/*.png", "images: /x/*.png", r"datasets\.1 \('polyps'\)\.layout\.images: .*inside `root`"),
        ("images: images/*.png", "images: images/*", r"datasets\.1 \('polyps'\)\.layout\.images: .*ending in"),
        (
            "images: images/*.png",
            "images: masks/*.png",
            r"datasets\.1 \('polyps'\)\.layout: images and masks have the same pattern",
        ),
        ("- lung.yaml", "- liver.yaml", r"liver\.yaml: expected a YAML file here, found none"),
        ("- lung.yaml", "- ${NOT_SET_AT_ALL}/lung.yaml", r"datasets\.0: the environment variable NOT_SET_AT_ALL"),
    ],
)
def test_wrong_study_names_place_and_what_was_found(tmp_path, old, new, message):
    with pytest.raises(ManifestError, match=message) as caught:
        load_study(study_with(tmp_path, old, new))
    assert str(tmp_path) in str(caught.value)
    assert ".." not in str(caught.value).replace("../", "")


def test_all_problems_of_all_files_come_at_once(tmp_path):
    broken = LUNG.replace("CT", "CAT").replace("[1]", "[0]")
    written(tmp_path, broken)
    text = STUDY.replace("modality: other", "modality: nothing").replace("64, 64", "64, -1").replace("two organs", "''")
    with pytest.raises(ManifestError) as caught:
        load_study(written(tmp_path, text, "study.yaml"))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [str(tmp_path / "lung.yaml"), "modality"],
        [str(tmp_path / "lung.yaml"), "foreground"],
        [str(tmp_path / "study.yaml"), "name"],
        [str(tmp_path / "study.yaml"), "preprocessing.grid.1"],
        [str(tmp_path / "study.yaml"), "datasets.1 ('polyps').modality"],
    ]


def test_a_variable_that_is_not_set_is_one_line_for_all_datasets(tmp_path):
    for name in "abc":
        written(tmp_path, LUNG.replace("lung", name, 1).replace("Task06_Lung", "'${NOT_SET_AT_ALL}/a'"), f"{name}.yaml")
    one = "{{name: {0}, modality: CT, layout: {{kind: decathlon, root: '${{NOT_SET_AT_ALL}}/{0}'}}}}"
    entries = "\n  - ".join([*(f"{name}.yaml" for name in "abc"), *(one.format(f"d{k}") for k in range(24))])
    with pytest.raises(ManifestError) as caught:
        load_study(study_with(tmp_path, "- lung.yaml", f"- {entries}"))
    places = ", ".join(f"{tmp_path / name}.yaml: layout.root" for name in "abc")
    problem = "the environment variable NOT_SET_AT_ALL is not set; set it to the folder that holds the data."
    assert str(caught.value).splitlines()[0] == f"{places} and 24 more: {problem}"
    assert str(caught.value).count("NOT_SET_AT_ALL") == 1


def test_a_dataset_in_the_place_of_a_study_is_told_so(tmp_path):
    path = written(tmp_path, LUNG)
    message = (
        f"{path}: expected a study, found the description of a dataset; list this file under `datasets` of a study, "
        "with a `preprocessing` and `targets`, or let `medsegdist init` write a study of your folders."
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
        f"{path}: expected the description of one dataset, found a study; name one of its datasets, by --dataset NAME "
        "or its own file: lung.yaml, polyps."
    )
    path.write_text("name: empty\npreprocessing: {grid: [8, 8]}\ndatasets: nothing\n")
    with pytest.raises(ManifestError, match=r"expected the description of one dataset, found a study$"):
        load_dataset(path)
