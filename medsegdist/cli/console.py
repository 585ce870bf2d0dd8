"""What all commands share: errors in words, and how much is printed apart from results (`--verbose`, `--quiet`).

Both options set the level of the logger "medsegdist" while a command runs; progress bars ask it if they are wanted.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.files import NO_ROOM
from medsegdist.progress import LOGGER
from medsegdist.words import printable, sentence

if TYPE_CHECKING:
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.data.study import Study
    from medsegdist.distance.dataset_distance import DatasetDistance


@contextmanager
def reported_errors() -> Iterator[None]:
    """What went wrong, in words, on standard error; exit status 2, 130 after Ctrl-C, 1 if a pipe was closed."""
    try:
        with warnings.catch_warnings():
            # A line of our code says nothing to a person at a terminal.
            warnings.showwarning = lambda message, *_, **__: show_error(Warning(message), "Warning:")
            yield
    except BrokenPipeError:
        raise  # typer ends silently, with exit status 1
    except (MedSegDistError, OSError, MemoryError) as error:
        show_error(error)
        raise typer.Exit(2) from error
    # A prompt makes an Abort of Ctrl-C.
    except (KeyboardInterrupt, typer.Abort) as error:
        show_error(error, "Interrupted.")
        raise typer.Exit(130) from error


def show_error(error: BaseException, head: str = "Error:") -> None:
    """What went wrong, in words, on standard error."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        # An OSError adds a number and quotes to its own.
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        text = f"{text}; make room there, or choose another folder."
    if isinstance(error, MemoryError):
        text = (
            f"expected room in memory, found too little ({error}); use fewer workers, or leave out the largest files."
        )
    lines = "\n".join(filter(None, [text, *getattr(error, "__notes__", [])])).split("\n")
    # The lines hold names, which Text takes for neither markup nor emoji.
    shown = Text.assemble((head, "bold red"), " ", "\n".join(map(printable, lines)))
    Console(stderr=True).print(shown, soft_wrap=True)


def say(text: str, *, stderr: bool = False) -> None:
    """Print text with names of the user's in it: no markup, and without a break."""
    Console(stderr=stderr).print(text, markup=False, soft_wrap=True)


@contextmanager
def missing_root_explained(manifests: Sequence[DatasetManifest], file: Path) -> Iterator[None]:
    """Say in which file the `root` of a dataset is named, if it is not there."""
    try:
        yield
    except DataError as error:
        roots = (getattr(manifest.layout, "root", None) for manifest in manifests)
        if any(root is not None and not root.is_dir() for root in roots):
            error.add_note(f"`root` is in {file.absolute()}, or in the dataset's own file that it names.")
        raise


def study_distances(
    study: Study, file: Path, methods: Sequence[str] | None = None, seed: int = 0, *, paper: bool = False
) -> dict[str, DatasetDistance]:
    """The distances of a study by the name of the method; an error names the study's file.

    `paper` takes the paper's five methods, if none are named, and adds terms in their own units, as published.
    """
    from medsegdist.distance.dataset_distance import choose_distances
    from medsegdist.distance.metrics import PAPER_METHODS
    from medsegdist.distance.order import CONSENSUS

    chosen, file = methods or (PAPER_METHODS if paper else study.methods or CONSENSUS), file.absolute()
    normalize = False if paper else study.distance.normalize is not False
    options = study.distance.model_copy(update={"normalize": normalize})
    try:
        return choose_distances(chosen, options, delta=study.preprocessing.effective_delta, seed=seed)
    except ManifestError as error:
        if methods:
            raise
        raise ManifestError("\n".join(f"{file}: methods: {line}" for line in str(error).split("\n"))) from error
    except ValueError as error:
        raise ManifestError(sentence(f"{file}: distance: {error}")) from error


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
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
