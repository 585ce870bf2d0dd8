"""`medsegdist export-auto3dseg`, and what its README says of the pre-training, done."""

from __future__ import annotations

import json
import re

import pytest
import torch
import yaml

from medsegdist.data.layouts.datalist import DatalistLayout
from tests.data.making import write_task
from tests.test_cli import run
from tests.transfer.test_bundle import exported


@pytest.fixture
def study(tmp_path):
    """Two tasks of four patients each, both of them targets."""
    datasets = []
    for name in ("one", "two"):
        write_task(tmp_path / name, ("a", "b", "c", "d"))
        datasets.append({"name": name, "modality": "MR", "layout": {"kind": "decathlon", "root": name}})
    content = {"name": "tiny", "preprocessing": {"grid": [10, 12], "min_pixels": 1}, "datasets": datasets}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content | {"targets": ["one", "two"]}))
    return path


def test_a_dataset_of_a_study_is_handed_over(study, tmp_path):
    out = tmp_path / "out"
    shown = run("export-auto3dseg", study, "--dataset", "two", "--out", out, "--folds", 2).stdout
    assert f"4 cases in 2 folds (2, 2): {out}" in shown
    assert f"To go on: python -m monai.apps.auto3dseg AutoRunner run --input {out / 'input.yaml'}" in shown
    assert [case.id for case in DatalistLayout(root=out, patient_key="patient").cases()] == ["a", "b", "c", "d"]
    assert (out / "Task01_two" / "dataset.json").exists()


def test_json_is_all_of_standard_output(study, tmp_path):
    out = tmp_path / "out"
    shown = run("export-auto3dseg", study, "--dataset", "one", "--out", out, "--folds", 4, "--json").stdout
    assert json.loads(shown) == {"input": str(out / "input.yaml"), "cases": 4, "folds": [1, 1, 1, 1], "bundle": None}


def test_one_of_several_targets_has_to_be_named(study, tmp_path):
    told = " ".join(run("export-auto3dseg", study, "--out", tmp_path / "out", status=2).stderr.split())
    assert "study 'tiny' has the targets one, two; name one of its datasets by --dataset." in told


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_readme_loads_the_pretraining(study, tmp_path):
    _, network, _ = exported(tmp_path)
    out = tmp_path / "it's here"
    given = ("--dataset", "one", "--out", out, "--folds", 2, "--bundle", tmp_path / "bundle")
    assert f"Pre-training: {out / 'pretrained'}" in run("export-auto3dseg", study, *given).stdout
    told = (out / "README.md").read_text()
    assert "`pretrained` is a MONAI Bundle. Disks on noise." in told
    assert "**Algorithms of Auto3DSeg cannot load its weights.**" in told
    (code,) = re.findall(r"```python\n(.*?)```", told, re.S)
    names: dict = {}
    exec(code, names)
    loaded = names["network"].cpu().state_dict()
    assert loaded.keys() == network.state_dict().keys()
    for name, weights in network.state_dict().items():
        assert torch.equal(loaded[name], weights)
    # Without a pre-training, that of an earlier hand-over does not stay.
    run("export-auto3dseg", study, *given[:-2], "--force")
    assert not (out / "pretrained").exists()
