"""How much the commands print apart from their results: `--verbose` and `--quiet`.

Both set the level of the logger "medsegdist" while a command runs; progress bars ask it whether they are wanted.
"""

from __future__ import annotations

import logging
import sys
from importlib import metadata
from typing import Annotated

import typer

LOGGER = logging.getLogger("medsegdist")


def show_version(wanted: bool) -> None:
    """Print the version and exit.

    Args:
        wanted: whether --version was given.
    """
    if wanted:
        typer.echo(f"medsegdist {metadata.version('medsegdist')}")
        raise typer.Exit


def loudness(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log each step with the time on standard error, in place of bars.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show only errors and results.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Options of all commands, given before the name of a command."""
    if verbose and quiet:
        raise typer.BadParameter("expected --verbose or --quiet, found both; choose one.")
    before = LOGGER.level
    context.call_on_close(lambda: LOGGER.setLevel(before))
    if quiet:
        LOGGER.setLevel(logging.ERROR)
    if verbose:
        LOGGER.setLevel(logging.INFO)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOGGER.addHandler(handler)
        context.call_on_close(lambda: LOGGER.removeHandler(handler))


def bars_are_wanted() -> bool:
    """Whether a command is neither quiet nor logs its steps."""
    return LOGGER.isEnabledFor(logging.WARNING) and not LOGGER.isEnabledFor(logging.INFO)


def is_quiet() -> bool:
    """Whether a command shows errors and results only."""
    return not LOGGER.isEnabledFor(logging.WARNING)
