"""What the bundle's configurations call: the commands of the same names, given what MONAI has put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medsegdist.cli import app
from medsegdist.cli.console import show_error
from medsegdist.errors import ManifestError, MedSegDistError


def rank(
    study_file: Any = None,
    *,
    out: Any = "out",
    cache: Any = None,
    targets: Any = None,
    methods: Any = None,
    bootstrap: Any = 200,
    device: Any = "auto",
    seed: Any = 0,
    workers: Any = None,
    report: Any = True,
) -> None:
    """Ranks the sources of a study as `medsegdist rank` does, with the same files.

    Values are what MONAI made of a configuration or a command line; the command checks them.

    Args:
        study_file: the study's YAML file.
        out: folder of distances.csv, comparisons.csv, study.json and report.html.
        cache: folder of prepared samples; None is below `out`.
        targets: a name or several; None takes the study's.
        methods: a name or several; None takes the study's, else the paper's five.
        bootstrap: number of bootstrap replicates; 0 gives no intervals.
        device: cpu, cuda, cuda:1 ..., or auto.
        seed: random seed.
        workers: processes; None chooses.
        report: whether to write report.html.

    Raises:
        SystemExit: what went wrong has been said on standard error; the status is the command's.
    """
    options = {
        "out": out,
        "cache": cache,
        "target": targets,
        "method": methods,
        "bootstrap": bootstrap,
        "device": device,
        "seed": seed,
        "workers": workers,
    }
    _run("rank", study_file, options, {"report": (report, "", "--no-report")})


def transfer(
    study_file: Any = None,
    *,
    out: Any = "out",
    cache: Any = None,
    targets: Any = None,
    device: Any = "auto",
    workers: Any = None,
    include_not_converged: Any = False,
    bundle: Any = False,
) -> None:
    """Runs the transfer learning of a study as `medsegdist transfer` does, with the same files.

    Values are what MONAI made of a configuration or a command line; the command checks them.

    Args:
        study_file: the study's YAML file.
        out: folder of runs.jsonl, gains.csv and controls.csv.
        cache: folder of prepared samples; None is below `out`.
        targets: a name or several; None takes the study's.
        device: cpu, cuda, cuda:1 ..., or auto.
        workers: processes that train; None chooses.
        include_not_converged: whether to write gains of trainings that learned nothing, too.
        bundle: whether to write each target's best pre-training as a bundle.

    Raises:
        SystemExit: what went wrong has been said on standard error; the status is the command's.
    """
    options = {"out": out, "cache": cache, "target": targets, "device": device, "workers": workers}
    flags = {
        "include_not_converged": (include_not_converged, "--include-not-converged", ""),
        "bundle": (bundle, "--bundle", ""),
    }
    _run("transfer", study_file, options, flags)


def _run(command: str, study_file: Any, options: Mapping[str, Any], flags: Mapping[str, tuple[Any, str, str]]) -> None:
    """Run a command; `flags` has each value with what the command line says for True and for False."""
    try:
        if study_file is None:
            raise ManifestError("expected the YAML file of a study, found none; name it by --study_file STUDY.yaml.")
        said = [_flag(name, *flag) for name, flag in flags.items()]
    except MedSegDistError as error:
        # MONAI would show it as the cause of a RuntimeError of its own, below two tracebacks.
        show_error(error)
        raise SystemExit(2) from error
    given = [f"--{name}={value}" for name, values in options.items() for value in _listed(values)]
    try:
        app([command, *given, *filter(None, said), "--", str(study_file)], prog_name="medsegdist")
    except SystemExit as ended:
        # What went well ends like that, too.
        if ended.code:
            raise


def _listed(values: Any) -> list[str]:
    if values is None:
        return []
    # Names of digits come as numbers from MONAI's command line.
    return [str(value) for value in values] if isinstance(values, (list, tuple)) else [str(values)]


def _flag(name: str, value: Any, true: str, false: str) -> str:
    if not isinstance(value, bool):
        raise ManifestError(f"expected --{name} to be True or False, found {value!r}; write it with a capital.")
    return true if value else false
