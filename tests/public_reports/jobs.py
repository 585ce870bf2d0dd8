"""Common jobs that stopped: log files, studies of `init`, help, notebooks, pipes, tables."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from medsegdist import progress as shown_progress
from medsegdist.cli import app
from medsegdist.data.study import load_study
from medsegdist.progress import show_progress, step
from tests.data.making import write_task
from tests.public_reports import Report

LOG = "smart-on-fhir/cumulus-etl#323"
PIPE = "Textualize/rich#3400"


def run(*arguments: object, status: int = 0) -> str:
    """What a command prints on standard output and standard error, in 80 columns."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "80"})
    assert result.exit_code == status, (result.output, result.exception)
    return result.stdout + result.stderr


# Log files


def a_log_says_how_far(folder: Path) -> None:
    lines = _logged(lambda: _slow_step("Comparing", parts=4))
    assert lines
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d Comparing: [0-4] of 4 \(0 min \d+ s so far\)", line) for line in lines)
    assert len({line[9:].split("(")[0] for line in lines}) > 1


def a_log_says_a_part_that_is_long(folder: Path) -> None:
    def work() -> None:
        with step("Reading [red]liver", 1):
            time.sleep(0.3)

    assert any("Reading [red]liver: 0 of 1 (0 min 0 s so far)" in line for line in _logged(work))


def a_log_of_unknown_length(folder: Path) -> None:
    def work() -> None:
        with step("Counting") as advance:
            advance()
            time.sleep(0.3)
        time.sleep(0.1)

    lines = _logged(work)
    assert any("Counting: 1 done (" in line for line in lines)


def a_log_that_is_quiet(folder: Path) -> None:
    before = shown_progress.LOGGER.level
    shown_progress.LOGGER.setLevel("ERROR")
    try:
        assert _logged(lambda: _slow_step("Comparing", parts=3)) == []
    finally:
        shown_progress.LOGGER.setLevel(before)


def a_log_that_is_closed(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", closed)
        patch.setattr(shown_progress, "LOG_SECONDS", 0.02)
        with show_progress():
            _slow_step("Comparing", parts=3)
        patch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write_end)


def rank_into_a_log(folder: Path) -> None:
    """A whole command in a process of its own, with the interval shortened."""
    study = _study_of_phantoms(folder)
    code = (
        "import medsegdist.progress as p; p.LOG_SECONDS = 0.05\n"
        "from medsegdist.cli import app; app(['rank', 'study.yaml', '--method', 'gmm2d', '--bootstrap', '20'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=study.parent, capture_output=True, text=True, check=True)
    assert re.search(r"\d\d:\d\d:\d\d Reading .*: \d of \d", done.stderr), done.stderr
    assert "\x1b" not in done.stderr


def _slow_step(name: str, parts: int) -> None:
    with step(name, parts) as advance:
        for _ in range(parts):
            time.sleep(0.1)
            advance()


def _logged(work: Callable[[], None]) -> list[str]:
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        patch.setattr(shown_progress, "LOG_SECONDS", 0.04)
        with show_progress():
            work()
        time.sleep(0.1)
    return file.getvalue().splitlines()


# Studies that init wrote


def _study_of_phantoms(folder: Path) -> Path:
    organs = ("liver", "spleen", "prostate")
    layout = {"kind": "phantom", "patients": 3, "slices": 1}
    datasets = [{"name": one, "modality": "CT", "layout": {**layout, "organ": one}} for one in organs]
    content = {
        "name": "s",
        "preprocessing": {"grid": [32, 32]},
        "datasets": datasets,
        "targets": ["liver"],
        "distance": {"components": 1},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def _study_of_init(folder: Path) -> Path:
    for name in ("one_ct", "two_ct"):
        write_task(folder / name)
    out = folder / "study.yaml"
    run("init", "--target", folder / "one_ct", "--source", folder / "two_ct", "--modality", "CT", "--out", out)
    return out


def prepare_takes_a_study(folder: Path) -> None:
    study = _study_of_init(folder)
    names = [one.name for one in load_study(study).datasets]
    for name in names:
        run("prepare", study, "--dataset", name, "--out", folder / f"Task01_{name.replace(' ', '')}")
    assert len(list(folder.glob("Task01_*/dataset.yaml"))) == 2
    text = run("prepare", study, "--out", folder / "Task02", status=2).replace("\n", " ")
    assert f"name one of its datasets, by --dataset NAME or its own file: {', '.join(names)}" in text
    wrong = names[0][:-1] + "x"
    text = run("prepare", study, "--dataset", wrong, "--out", folder / "Task02", status=2).replace("\n", " ")
    assert f"did you mean '{names[0]}'?" in text
    own = folder / f"Task01_{names[0].replace(' ', '')}" / "dataset.yaml"
    text = run("prepare", own, "--dataset", names[0], "--out", folder / "Task02", status=2).replace("\n", " ")
    assert "expected a study, found the description of a dataset" in text
    assert not (folder / "Task02").exists()


def cards_take_a_study(folder: Path) -> None:
    study = _study_of_phantoms(folder)
    common = ("--min-patients", 1, "--out", folder / "cards")
    run("cards", "make", study, "--dataset", "spleen", *common)
    assert [one.name for one in (folder / "cards").iterdir()] == ["spleen.json"]
    run("cards", "make", study, "--dataset", "liver", "--dataset", "prostate", *common)
    assert len(list((folder / "cards").iterdir())) == 3
    assert "no dataset 'liver2'" in run("cards", "make", study, "--dataset", "liver2", *common, status=2)
    card = folder / "cards" / "spleen.json"
    alone = folder / "alone"
    alone.mkdir()
    two = yaml.safe_load(study.read_text())
    two["datasets"] = [one for one in two["datasets"] if one["name"] != "spleen"]
    (alone / "study.yaml").write_text(yaml.safe_dump(two))
    run("cards", "rank", card, alone / "study.yaml", "--target", "liver", "--out", folder / "ranked")
    assert set(pd.read_csv(folder / "ranked" / "distances.csv")["source"]) == {"spleen", "prostate"}


# Closed pipes


def closed_pipe(command: Callable[[Path], list[str]], files: tuple[str, ...]) -> Callable[[Path], None]:
    """A command whose reader is gone before it prints still writes its files, and says nothing of a pipe."""

    def check(folder: Path) -> None:
        arguments = command(folder)
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run(
            [sys.executable, "-m", "medsegdist", *arguments],
            cwd=folder,
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        os.close(write_end)
        missing = [name for name in files if not (folder / name).is_file()]
        assert not missing, (missing, done.stderr)
        assert "Traceback" not in done.stderr
        assert "roken pipe" not in done.stderr

    return check


def _init(folder: Path) -> list[str]:
    for name in ("one_ct", "two_ct"):
        write_task(folder / name)
    return ["init", "--target", "one_ct", "--source", "two_ct", "--modality", "CT"]


def _rank(*more: str) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        _study_of_phantoms(folder)
        return ["rank", "study.yaml", "--method", "euclidean", "--bootstrap", "0", *more]

    return arguments


def _agreement(folder: Path) -> list[str]:
    sources = "abcdef"
    rows = pd.DataFrame({"source": list(sources), "target": "t", "distance": range(6), "gain_percent": range(6)})
    rows[["source", "target", "distance"]].to_csv(folder / "d.csv", index=False)
    rows[["source", "target", "gain_percent"]].to_csv(folder / "g.csv", index=False)
    return ["agreement", "d.csv", "g.csv"]


def _prepare(folder: Path) -> list[str]:
    _init(folder)
    run("init", "--target", folder / "one_ct", "--source", folder / "two_ct", "--out", folder / "study.yaml")
    return ["prepare", "study.yaml", "--dataset", load_study(folder / "study.yaml").targets[0], "--out", "Task01_A"]


REPORTS = [
    Report(LOG, "a step in a log file", "lines with how far it is", a_log_says_how_far),
    Report("", "one long part of a step in a log file", "lines", a_log_says_a_part_that_is_long),
    Report("", "a step of unknown length in a log file", "lines with what is done", a_log_of_unknown_length),
    Report("", "a step in a log file, quiet", "nothing", a_log_that_is_quiet),
    Report("", "a log whose reader is gone", "the work goes on", a_log_that_is_closed),
    Report("Lightning-AI/pytorch-lightning#10876", "rank without a terminal", "says what it does", rank_into_a_log),
    Report("", "prepare of a study that init wrote", "--dataset NAME", prepare_takes_a_study),
    Report("", "cards of a study", "--dataset NAME, and ranked with one", cards_take_a_study),
    Report(PIPE, "init, pipe closed", "study.yaml", closed_pipe(_init, ("study.yaml",))),
    Report("", "rank, pipe closed", "report.html", closed_pipe(_rank(), ("out/distances.csv", "out/report.html"))),
    Report("", "rank --json, pipe closed", "all files", closed_pipe(_rank("--json"), ("out/report.html",))),
    Report(
        "", "agreement, pipe closed", "report.html", closed_pipe(_agreement, ("out/agreement.json", "out/report.html"))
    ),
    Report("", "prepare, pipe closed", "dataset.yaml", closed_pipe(_prepare, ("Task01_A/dataset.yaml",))),
]
