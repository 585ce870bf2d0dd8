"""`--verbose`, `--quiet`, completion, and names that are nearly right."""

from __future__ import annotations

import logging
import re

import pytest
from typer.testing import CliRunner

from medsegdist.cli import app
from tests.test_cli import study as study


def ranked(study, tmp_path, *options):
    arguments = [*options, "rank", str(study), "--method", "gmm2d", "--bootstrap", "0", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result


def test_verbose_logs_every_step_with_its_time(study, tmp_path):
    lines = ranked(study, tmp_path, "--verbose").stderr.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \S", line) for line in lines), lines
    said = [line[24:] for line in lines]
    for name in ("target", "near", "far"):
        begun = said.index(f"Reading {name}")
        assert re.fullmatch(rf"Reading {name}: 3 done in \d+\.\d s", said[begun + 1])
    assert "Comparing" in said


def test_quiet_shows_the_result_only(study, tmp_path):
    usual, quiet = ranked(study, tmp_path), ranked(study, tmp_path, "--quiet")
    assert (quiet.stdout, quiet.stderr) == (usual.stdout, "")


def test_quiet_shows_errors(study, tmp_path):
    result = CliRunner().invoke(app, ["--quiet", "check", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "none.yaml: expected a YAML file here, found none" in result.stderr


@pytest.mark.parametrize("option", ["--verbose", "--quiet"])
def test_the_logger_is_left_as_it_was(study, tmp_path, option):
    logger = logging.getLogger("medsegdist")
    before = logger.level, list(logger.handlers)
    ranked(study, tmp_path, option)
    assert (logger.level, logger.handlers) == before


def test_both_at_once_are_refused(study):
    result = CliRunner().invoke(app, ["--quiet", "--verbose", "check", str(study)], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "expected --verbose or --quiet, found both; choose one." in result.stderr


def completed(*words):
    """What the shell is offered, as its completion script asks for it."""
    environment = {"_MEDSEGDIST_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": " ".join(("medsegdist", *words))}
    result = CliRunner().invoke(app, [], prog_name="medsegdist", env=environment)
    return re.findall(r'"([^"]+)"', result.stdout)


def test_the_shell_completes_methods(study):
    assert completed("rank", str(study), "--method", "gm") == ["gmm2d", "gmm3d"]
    assert completed("distances", str(study), "--method", "pa") == ["patches"]
