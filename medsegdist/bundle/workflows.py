"""What the bundle's configurations call: a command, given what MONAI has put together."""

from __future__ import annotations

from typing import Any

from medsegdist.cli import app
from medsegdist.cli.console import show_error
from medsegdist.errors import ManifestError, MedSegDistError

FLAGS = {
    "report": "--no-report",
    "paper": "--paper",
    "include_not_converged": "--include-not-converged",
    "bundle": "--bundle",
}
"""The options that are True or False, with what the command line says for the one that is not the default."""


def run_command(command: str, study_file: Any = None, **options: Any) -> None:
    """Runs `medsegdist rank` or `medsegdist transfer`, with the same files.

    Values are what MONAI made of a configuration or a command line; the command checks them.

    Args:
        command: "rank" or "transfer".
        study_file: the study's YAML file.
        **options: of the command, by their names: a value, a list of several, or None for the command's own default;
            those of :data:`FLAGS` are True or False.

    Raises:
        SystemExit: what went wrong has been said on standard error; the status is the command's.
    """
    try:
        if study_file is None:
            raise ManifestError("expected the YAML file of a study, found none; name it by --study_file STUDY.yaml.")
        given = [word for name, value in options.items() for word in _written(name, value)]
    except MedSegDistError as error:
        # MONAI would show it as the cause of a RuntimeError of its own, below two tracebacks.
        show_error(error)
        raise SystemExit(2) from error
    try:
        app([command, *given, "--", str(study_file)], prog_name="medsegdist")
    except SystemExit as ended:
        # What went well ends like that, too.
        if ended.code:
            raise


def _written(name: str, value: Any) -> list[str]:
    if name in FLAGS:
        if not isinstance(value, bool):
            raise ManifestError(f"expected --{name} to be True or False, found {value!r}; write it with a capital.")
        return [FLAGS[name]] if value != (name == "report") else []
    # Names of digits come as numbers from MONAI's command line.
    values = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
    return [f"--{name}={one}" for one in values]
