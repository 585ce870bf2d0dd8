"""The READMEs do what they say: their Python runs, their YAML is read, and their commands run, or exist at least.

What is not run is listed in `NOT_RUN` with the reason. A block or a command that is nowhere foreseen fails.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from medsegdist.data.manifest import load_dataset
from medsegdist.data.study import Study, load_study
from tests import readme
from tests.data.making import write_pictures
from tests.readme import Block

BLOCKS = [block for page, text in readme.PAGES.items() for block in readme.blocks(text, page)]
ALL_SPANS = list(dict.fromkeys(span for text in readme.PAGES.values() for span in readme.spans(text)))
KINDS = ("python", "yaml", "sh", "bibtex")

# Blocks of no language, by a word of theirs: how they are known to be true.
PLAIN = {
    "Sources for Tuberculoma phantom": "the end of the demo's output; test_the_demo_ends_as_shown compares it",
    "d(A, B) = min over couplings": "the formula; tests/distance/test_formula_options.py holds the code against it",
}

BUNDLE_RUN = "python -m monai.bundle run --config_file medsegdist/bundle/configs/"

# Commands that are only looked up: they exist, and so do their options.
NOT_RUN = {
    "scripts/demo": "installs; tests/test_scripts.py runs it, and test_the_demo_ends_as_shown its command",
    "medsegdist demo": "runs for minutes; test_the_demo_ends_as_shown runs it",
    "scripts/check": "these tests and more",
    "pip install .": "installs; tests/test_wheel.py builds and looks into the wheel",
    "medsegdist lidc export": "names the command; tests/data/test_lidc_dicom.py runs it",
    "python scripts/fetch.py lidc": "downloads",
    "scripts/test": "these tests themselves; tests/test_scripts.py runs it with another pytest",
    "medsegdist agreement": "names the command; the tests of the command run it",
    "medsegdist rank": "names the command; the tests of the command run it",
    "medsegdist transfer": "names the command; the tests of the command run it",
    "medsegdist report A B": "names the command; tests/report/test_comparison.py runs it",
    "medsegdist handover": "names the command; tests/transfer/test_handover.py runs it",
    "medsegdist learn": "names the command; tests/recommend runs it",
    "medsegdist init": "asks at a terminal; tests/test_cli_init.py answers",
    "medsegdist transfer data_manifests/real_study.yaml --out DIR": "154 trainings on data that are downloaded",
    "medsegdist transfer data_manifests/transfer_library.yaml --out DIR": "1,500 trainings on data that are downloaded",
    "python scripts/bench_collect.py": "reads for minutes; tests/test_benchmarks.py runs it with --quick",
    "python scripts/bench_commands.py": "computes for minutes; tests/test_benchmarks.py runs it with --quick",
    "python scripts/bench_mixtures.py": "computes for minutes; tests/test_benchmarks.py runs it with --quick",
    "pip install 'medsegdist[bundle]'": "installs",
    f"{BUNDLE_RUN}rank.yaml --study_file STUDY.yaml --out DIR": "tests/test_bundle.py runs it",
    f"{BUNDLE_RUN}transfer.yaml --study_file STUDY.yaml --out DIR --bundle True": "tests/test_bundle.py trains so",
    "python scripts/mixture_seeds.py STUDY.yaml --out DIR": "takes minutes; test_mixture_seeds.py runs it",
    "python scripts/monai_config.py scripts/distances.yaml": "tests/test_examples.py runs it",
    "python scripts/bench_trainer.py": "trains for minutes; tests/test_benchmarks.py runs it with --quick",
}
# Too long for every run of the tests.
SLOW = ("python scripts/ablation.py", "python scripts/card_agreement.py", "python scripts/library_tables.py")

# Where names that README calls come from, if not from medsegdist.
CALLS = {
    "AgglomerativeClustering": "sklearn.cluster",
}


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def is_command(span: str) -> bool:
    # `medsegdist` alone, and `medsegdist.cards`, are names; "pip install" is looked at below.
    return bool(
        re.match(r"(medsegdist|python scripts/\S+\.py|scripts/(demo|test|check)|\.)( |$)", span)
    ) and span not in (
        "medsegdist",
        ".",
    )


SPANS = [span for span in ALL_SPANS if is_command(span)]
RUN = [span for span in SPANS if span not in NOT_RUN]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with contextlib.chdir(folder):
        readme.make_place(folder)
    return folder


@pytest.fixture
def place(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the filled folder, which is the current one."""
    shutil.copytree(filled, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def perform(command: str, project_root: Path) -> None:
    words = readme.substituted(command)
    if words[0] == "medsegdist":
        readme.run(*words[1:])
        return
    assert words[0] == "python", (
        f"`{command}` of README is of no kind that is known; run it here, or list it in NOT_RUN"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", project_root / words[1], *words[2:]],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert BLOCKS
    for block in BLOCKS:
        known = block.kind in KINDS or (block.kind == "" and any(start in block.content for start in PLAIN))
        assert known, f"{block}: nobody tests a block of the kind '{block.kind}'"


def test_what_is_not_run_is_still_there() -> None:
    shown = {*SPANS, *(command for block in of_kind("sh") for command in readme.commands_of(block))}
    assert set(NOT_RUN) <= shown, "README no longer shows these; take them off NOT_RUN"
    assert all(any(start in block.content for block in BLOCKS) for start in PLAIN)


def test_the_python_runs(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The READMEs are read at the top of a checkout.
    monkeypatch.chdir(project_root)
    scope: dict[str, Any] = {"__name__": "__main__"}
    for block in of_kind("python"):
        exec(compile("\n" * block.line + block.content, block.page, "exec"), scope)
    distance, table = scope["distance"], scope["table"]
    assert distance.value == distance.image_term + distance.mask_term
    assert distance.optimality_gap < 1e-9
    # The same distance, by processes.
    assert table.matrix("gmm3d").loc[distance.source, distance.target] == pytest.approx(distance.value, rel=1e-12)


@pytest.mark.parametrize("block", of_kind("yaml"), ids=str)
def test_the_yaml_is_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load(block.content)
    if "layout" in content:
        (tmp_path / "dataset.yaml").write_text(block.content, encoding="utf-8")
        manifest = load_dataset(tmp_path / "dataset.yaml")
        if block.page == "README.md":
            # The files that it names.
            write_pictures(tmp_path / content["layout"]["root"], names=("101_1009", "101_1010", "102_7"))
            assert [case.patient_id for case in manifest.layout.cases()] == ["101", "101", "102"]
        return
    if "datasets" in content:
        (tmp_path / "liver.yaml").write_text(yaml.safe_dump(readme.phantom("Liver")), encoding="utf-8")
        (tmp_path / "study.yaml").write_text(block.content, encoding="utf-8")
        monkeypatch.setenv("DATA", str(tmp_path))
        assert len(load_study(tmp_path / "study.yaml").datasets) == 2
        return
    assert set(content) <= set(Study.model_fields), f"{block}: neither a dataset nor a part of a study"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(readme.small_study(**content)), encoding="utf-8")
    study = load_study(tmp_path / "study.yaml")
    for key, options in content.items():
        assert getattr(study, key).model_fields_set == set(options)


@pytest.mark.parametrize("block", of_kind("sh"), ids=str)
def test_the_commands_of_a_block_run_one_after_the_other(block: Block, place: Path, project_root: Path) -> None:
    for command in readme.commands_of(block):
        if command not in NOT_RUN:
            perform(command, project_root)


@pytest.mark.parametrize(
    "command", [pytest.param(one, marks=pytest.mark.slow if one.startswith(SLOW) else ()) for one in RUN]
)
def test_a_command_in_the_text_runs(command: str, place: Path, project_root: Path) -> None:
    if "study.yaml" in command:
        shutil.copy("STUDY.yaml", "study.yaml")
    perform(command, project_root)


@pytest.mark.parametrize("command", NOT_RUN)
def test_a_command_that_is_not_run_is_known(command: str, project_root: Path) -> None:
    first, *words = shlex.split(command)
    if first == "medsegdist":
        assert readme.unknown_options(words) == []
    elif words[:3] == ["-m", "monai.bundle", "run"]:
        given = dict(zip(words[3::2], words[4::2], strict=True))
        keys = yaml.safe_load((project_root / given.pop("--config_file")).read_text(encoding="utf-8"))
        assert set(given) <= {f"--{key}" for key in keys}
    elif first == "pip":
        assert words in (["install", "."], ["install", "medsegdist[bundle]"]), "test_an_extra_in_the_text has others"
    elif first == "python":
        options = {word for word in words[1:] if word.startswith("-")}
        assert options <= readme.script_options(project_root / words[0])
    else:
        assert os.access(project_root / first, os.X_OK)


def test_a_misspelled_command_or_option_would_be_told() -> None:
    assert readme.unknown_options(["--verbose", "rank", "STUDY.yaml", "--outt", "DIR"]) == ["--outt"]
    with pytest.raises(ValueError, match="no command 'rnak'"):
        readme.unknown_options(["rnak", "STUDY.yaml"])
    assert [block.kind for block in readme.blocks("1. one\n\n   ```toml\n   a = 1\n   ```\n")] == ["toml"]
    assert readme.spans("a `b  c` and\n`d\ne`") == ["b  c", "d e"]


@pytest.mark.parametrize("span", [span for span in ALL_SPANS if span.startswith("-")])
def test_an_option_in_the_text_is_one_of_some_command(span: str, project_root: Path) -> None:
    configs = (project_root / "medsegdist" / "bundle" / "configs").glob("*.yaml")
    keys = {f"--{key}" for config in configs for key in yaml.safe_load(config.read_text(encoding="utf-8"))}
    scripts = (readme.script_options(path) for path in (project_root / "scripts").glob("*.py"))
    assert span.split()[0] in readme.all_options().union(keys, *scripts)


@pytest.mark.parametrize("span", [span for span in ALL_SPANS if span.startswith("pip install")])
def test_an_extra_in_the_text_is_one_of_the_package(span: str, project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extra,) = re.findall(r"medsegdist\[(\w+)\]", span)
    assert extra in project["optional-dependencies"]


@pytest.mark.parametrize("span", [span for span in ALL_SPANS if re.fullmatch(r"medsegdist(\.\w+)+", span)])
def test_a_dotted_name_in_the_text_is_there(span: str) -> None:
    try:
        assert import_module(span)
    except ModuleNotFoundError:
        module, _, name = span.rpartition(".")
        assert hasattr(import_module(module), name)


@pytest.mark.parametrize("span", [span for span in ALL_SPANS if re.match(r"(data_manifests|scripts)/", span)])
def test_a_path_in_the_text_is_there(span: str, project_root: Path) -> None:
    assert (project_root / span).exists()


@pytest.mark.parametrize("page", readme.PAGES)
def test_links_lead_somewhere(page: str, project_root: Path) -> None:
    for link in readme.links(readme.PAGES[page]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((project_root / page).parent / path).resolve() if path else project_root / page
        assert target.exists(), link
        if anchor:
            there = readme.PAGES[target.relative_to(project_root.resolve()).as_posix()]
            assert f"#{anchor}" in readme.anchors(there), link
    assert readme.anchors("# Did it help? Yes\n") == {"#did-it-help-yes"}


def test_the_front_page_is_short() -> None:
    assert len(readme.PAGES["README.md"].splitlines()) <= 200


@pytest.mark.parametrize("span", [span for span in ALL_SPANS if re.fullmatch(r"(\w+=)?[A-Za-z_]+\(.*\)", span)])
def test_a_call_in_the_text_takes_what_it_is_given(span: str) -> None:
    for call in (node for node in ast.walk(ast.parse(span)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        called = getattr(import_module(CALLS.get(name, "medsegdist")), name)
        named = {one.arg or "": one.value for one in call.keywords}
        if any(isinstance(one, ast.Constant) and one.value is ... for one in call.args):  # f(..., more=1)
            inspect.signature(called).bind_partial(**named)
        else:
            inspect.signature(called).bind(*call.args, **named)


@pytest.mark.slow
def test_the_demo_ends_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = (block.content for block in BLOCKS if "Sources for Tuberculoma phantom" in block.content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    command = [sys.executable, "-c", "from medsegdist.cli import app; app()", "demo", "--no-report"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert lines(shown) in lines(printed)


def lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
