"""The questions that `medsegdist init` asks on a terminal; a wrong answer is told and may be given again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import typer

from medsegdist.cli.console import show_error
from medsegdist.errors import MedSegDistError
from medsegdist.words import did_you_mean

if TYPE_CHECKING:
    from medsegdist.data.recognition.examined import Examined
    from medsegdist.data.recognition.foreground import Choice
    from medsegdist.data.recognition.proposal import Proposal

Ask = Callable[[str, str], str]
"""Asks a question, given with its default (empty: none); gives the answer."""


def ask_user(question: str, default: str) -> str:
    """The answer to a question on the terminal.

    Args:
        question: what is asked, on standard error.
        default: what an empty answer means; empty demands an answer.

    Raises:
        typer.Abort: Ctrl-C, or no more input.
    """
    return str(typer.prompt(question, default=default or None, err=True)).strip()


@contextmanager
def told_of() -> Iterator[None]:
    """Show what is wrong with an answer, so that it can be given again."""
    try:
        yield
    except MedSegDistError as error:
        show_error(error)


def check_modality(modality: str | None) -> None:
    """Refuse a modality that no manifest takes.

    Args:
        modality: the word; None is left to the folders.

    Raises:
        MedSegDistError: there is none of that name.
    """
    from medsegdist.data.manifest import DatasetManifest

    known = get_args(DatasetManifest.model_fields["modality"].annotation)
    if modality is not None and known and modality not in known:
        hint = did_you_mean(modality, known) or "."
        raise MedSegDistError(f"expected --modality to be one of {', '.join(known)}, found '{modality}'{hint}")


def asked_foreground(examined: Examined, ask: Ask) -> list[Choice]:
    """The foregrounds of a folder that has several labels; each becomes a dataset."""
    from medsegdist.data.recognition.foreground import chosen, told

    labels = ", ".join(told(examined, name) for name in examined.choices)
    while True:
        with told_of():
            return chosen(
                examined, ask(f"Foreground in {examined.given}: {labels}; 'all' as one, 'each', or some", "all")
            )


def asked_about(proposal: Proposal, modality: str | None, ask: Ask) -> Proposal:
    """The proposal with the name and the modality that somebody prefers."""
    from medsegdist.data.recognition.examined import manifest_name
    from medsegdist.data.recognition.proposal import with_modality

    proposal = replace(proposal, name=manifest_name(ask(f"Name of {proposal.examined.given}", proposal.name)))
    while modality is None:
        said = ask(f"Modality ({proposal.reasons['modality']})", proposal.modality)
        if said == proposal.modality:
            break
        with told_of():
            check_modality(said)
            return with_modality(proposal, said)
    return proposal


def asked_grid(grid: tuple[int, ...], reason: str, ask: Ask) -> tuple[tuple[int, ...], str]:
    """The grid that somebody prefers, and why."""
    proposed = " x ".join(map(str, grid))
    while True:
        said = ask(f"Grid of every sample ({reason})", proposed)
        if said == proposed:
            return grid, reason
        sizes = re.findall(r"\d+", said)
        if len(sizes) == len(grid) and all(int(size) > 0 for size in sizes):
            return tuple(map(int, sizes)), "as you said"
        show_error(MedSegDistError(f"expected {len(grid)} sizes such as {proposed}, found '{said}'."))
