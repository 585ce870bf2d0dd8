"""medsegdist as a MONAI Bundle: its workflows are the commands, to the byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle import run as run_bundle
from typer.main import get_command

from medsegdist.bundle import workflows
from medsegdist.cli import app
from tests.synthetic import TRAINING, phantom_study
from tests.test_cli import run as run_command
from tests.transfer.test_bundle import SPECIFIED

CONFIGS = Path(workflows.__file__).parent / "configs"
WORKFLOWS = ("rank", "transfer")
FAST = {"bootstrap": 2, "methods": ["gmm2d", "euclidean"], "device": "cpu", "workers": 1}
# MONAI says so whenever it reads a configuration.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def study(tmp_path):
    """Three phantoms, small enough to be trained in seconds."""
    # A name of digits is a number to MONAI's command line.
    organs = {"liver": "liver", "the spleen": "spleen", "7": "lung_tumor"}
    content = phantom_study(organs, distance={"components": 1}, transfer=TRAINING | {"steps": 2})
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def config_of(name: str) -> Path:
    return CONFIGS / f"{name}.yaml"


def monai(name: str, *arguments: object) -> str:
    """What `python -m monai.bundle run` says on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", config_of(name)]
        + [str(argument) for argument in arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def here(monkeypatch):
    """Runs a workflow in this process, as a notebook does, and leaves its logging and its path as they are."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda name, **changes: run_bundle(config_file=str(config_of(name)), logging_file=False, **changes)


def test_rank_writes_what_the_command_writes(study, tmp_path):
    shared = ("--bootstrap", 2, "--workers", 1)
    shown = monai("rank", "--study_file", study, "--out", tmp_path / "a", *shared, "--methods", "['gmm3d','euclidean']")
    run_command("rank", study, "--out", tmp_path / "b", *shared, "--method", "gmm3d", "--method", "euclidean")
    for name in ("distances.csv", "comparisons.csv", "recommendation.csv", "study.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(pd.read_csv(tmp_path / "a" / "distances.csv")) == 2 * 2
    assert (tmp_path / "a" / "report.html").exists()
    # Steps are logged, as configs/logging.conf says.
    assert "Reading liver: 4 done" in shown


def test_transfer_writes_what_the_command_writes(study, tmp_path, here):
    here("transfer", study_file=str(study), out=str(tmp_path / "a"), bundle=True, workers=1)
    run_command("transfer", study, "--out", tmp_path / "b", "--workers", 1)
    for name in ("gains.csv", "controls.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len((tmp_path / "a" / "runs.jsonl").read_text().splitlines()) == 1 + 2 + 2 + 1
    assert (tmp_path / "a" / "bundles" / "liver" / "models" / "model.pt").exists()


def test_every_value_can_be_given(study, tmp_path, here):
    cache = tmp_path / "kept"
    changes = {"targets": ["the spleen", 7], "methods": "gmm2d", "cache": str(cache), "report": False, "bootstrap": 0}
    here("rank", study_file=str(study), out=str(tmp_path / "out"), **{**FAST, **changes})
    table = pd.read_csv(tmp_path / "out" / "distances.csv", dtype={"target": str})
    assert set(table["target"]) == {"the spleen", "7"}
    assert set(table["method"]) == {"gmm2d"}
    assert table["low"].isna().all()
    assert any(cache.iterdir())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "characteristics.csv",
        "distances.csv",
        "recommendation.csv",
        "study.json",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study_file": None}, "expected the YAML file of a study, found none; name it by --study_file STUDY.yaml."),
        ({"report": "false"}, "expected --report to be True or False, found 'false'; write it with a capital."),
        ({"targets": "livr"}, "no dataset 'livr' among liver, the spleen, 7; did you mean 'liver'?"),
        ({"bootstrap": -1}, "Invalid value for '--bootstrap'"),
    ],
)
def test_what_is_wrong_is_said_and_ends_the_workflow(changes, message, study, tmp_path, here, capfd):
    with pytest.raises(SystemExit) as ended:
        here("rank", **{"study_file": str(study), "out": str(tmp_path / "out"), **FAST, **changes})
    assert ended.value.code == 2
    said = re.sub(r"[│╭╮╰╯─\s]+", " ", capfd.readouterr().err)
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "distances.csv").exists()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_configuration_names_options_of_the_command_with_its_defaults(name):
    parser = ConfigParser()
    parser.read_config(config_of(name))
    parser.parse()
    called = parser.get_parsed_content("run::0", instantiate=False)
    assert called.resolve_module_name() == "medsegdist.bundle.workflows.run_command"
    found = called.resolve_args()
    assert (found.pop("command"), found.pop("study_file")) == (name, None)
    defaults = {one.name: one.default for one in get_command(app).commands[name].params} | {"report": True}
    assert {key: str(defaults[key]) for key in found} == {key: str(value) for key, value in found.items()}
    assert set(parser.get()) - {"run", "_meta_"} == {"study_file", *found} - {"target", "method"} | (
        {"targets", "methods"} if name == "rank" else {"targets"}
    )


@pytest.mark.parametrize("name", WORKFLOWS)
def test_monai_finds_what_it_asks_of_a_workflow(name):
    workflow = ConfigWorkflow(config_file=str(config_of(name)), workflow_type=None, logging_file=False)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.monai_version == metadata()["monai_version"]


def metadata() -> dict:
    return json.loads((CONFIGS / "metadata.json").read_text())


def test_the_metadata_names_the_tested_versions(project_root):
    found = metadata()
    assert set(found) >= SPECIFIED | {"schema", "changelog"}
    assert found["version"] in found["changelog"]
    lines = (project_root / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    assert {package: found[key] for package, key in named.items()} == {package: tested[package] for package in named}
    required = dict(found["required_packages_version"])
    assert required.pop("medsegdist") == version("medsegdist") == found["version"]
    assert required == {package: tested[package] for package in required}
