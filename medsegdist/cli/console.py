"""What all commands share: errors in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from medsegdist.errors import DataError, MedSegDistError
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.data.manifest import DatasetManifest


@contextmanager
def reported_errors() -> Iterator[None]:
    """What went wrong, in words, on standard error; exit status 2, or 130 after Ctrl-C."""
    try:
        yield
    except (MedSegDistError, OSError) as error:
        show_error(error)
        raise typer.Exit(2) from error
    # A prompt makes an Abort of Ctrl-C.
    except (KeyboardInterrupt, typer.Abort) as error:
        _tell("Interrupted.", _notes(error))
        raise typer.Exit(130) from error


def show_error(error: BaseException) -> None:
    """What went wrong, in words, on standard error.

    Args:
        error: its message and its notes are shown.
    """
    _tell("Error:", [_in_words(error), *_notes(error)])


def _in_words(error: BaseException) -> str:
    """The message; without the number and the quotes that an OSError adds to its own."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


def _tell(head: str, texts: list[str]) -> None:
    # The texts tell of names, which Text takes for neither markup nor emoji.
    lines = [printable(line) for text in texts for line in text.split("\n")]
    Console(stderr=True).print(Text.assemble((head, "bold red"), " ", "\n".join(lines)), soft_wrap=True)


@contextmanager
def missing_root_explained(manifests: Sequence[DatasetManifest], file: Path) -> Iterator[None]:
    """Say in which file the `root` of a dataset is named, if it is not there.

    Args:
        manifests: the datasets that are read.
        file: the YAML file that describes them.
    """
    try:
        yield
    except DataError as error:
        roots = (getattr(manifest.layout, "root", None) for manifest in manifests)
        if any(root is not None and not root.is_dir() for root in roots):
            error.add_note(f"`root` is in {file.absolute()}, or in the dataset's own file that it names.")
        raise
