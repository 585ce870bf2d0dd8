"""`medsegdist init`: from folders of images and masks to a study that can be checked and ranked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.asking import (
    Ask,
    ask_user,
    asked_about,
    asked_foreground,
    asked_grid,
    check_modality,
    told_of,
)
from medsegdist.cli.console import bar, progress_bars, reported_errors
from medsegdist.cli.loudness import is_quiet
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.files import atomic_write, check_writable
from medsegdist.words import counted, printable

if TYPE_CHECKING:
    from medsegdist.data.recognition.examined import Examined
    from medsegdist.data.recognition.proposal import Proposal

Modality = Annotated[
    str | None, typer.Option("--modality", help="Modality of all folders, such as CT. [default: what each tells]")
]
Foreground = Annotated[
    list[str] | None,
    typer.Option(
        "--foreground",
        metavar="[FOLDER=]LABELS",
        help="Where masks have several labels: all (as one), each (a dataset of each), or names or values such as 1,2. "
        "Repeatable, a dataset of each.",
    ),
]


def init(
    target: Annotated[
        str | None,
        typer.Option(
            "--target", help="Folder of the dataset that needs a source; '${VARIABLES}' are kept.", metavar="DIR"
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Folder of a dataset to pre-train on, repeatable.", metavar="DIR"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The study to write.", dir_okay=False)] = Path("study.yaml"),
    modality: Modality = None,
    foreground: Foreground = None,
    dimensions: Annotated[
        int, typer.Option("--dimensions", help="2 compares axial slices, 3 volumes.", min=2, max=3)
    ] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is proposed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the study that is there.")] = False,
) -> None:
    """Looks at folders of images and masks, and writes a study about them.

    On a terminal it asks for what no option says. The study explains each of its entries.
    """
    with reported_errors():
        _refuse_existing(out, force)
        check_writable(out)
        check_modality(modality)
        ask = ask_user if _on_terminal() and not yes else None
        folders = _folders(target, source or (), ask)
        proposals = _proposals(folders, foreground or (), modality, ask)
        text, targets = _study(proposals, folders[0], dimensions, out, ask)
        _refuse_existing(out, force)
        with atomic_write(out) as file:
            file.write(text)
    _show(proposals, targets, out)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _refuse_existing(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise MedSegDistError(f"{out} exists already; choose another --out, or replace it by --force.")


def _folders(target: str | None, sources: Sequence[str], ask: Ask | None) -> list[Examined]:
    """What lies in the folders, that of the target first.

    Args:
        target: its folder; None asks.
        sources: the folders of the others; none are asked for.
        ask: how to ask; None does not.
    """
    if target is not None:
        found = _all_looked_into([target, *sources])
    elif ask is None:
        raise MedSegDistError(
            "expected --target DIR and --source DIR, found no target; name both, or run init on a terminal to be asked."
        )
    else:
        found = [_asked_for("Folder of the target, the dataset that needs a source", ask), *_all_looked_into(sources)]
    while ask is not None and not sources:
        question = "Folder of a source, a dataset to pre-train on ('none' ends)"
        answer = ask(question, "none" if len(found) > 1 else "")
        if answer == "none":
            break
        with told_of():
            found.append(_looked_into(answer))
    paths = [one.path for one in found]
    doubled = [one.given for k, one in enumerate(found) if one.path in paths[:k]]
    if doubled:
        raise MedSegDistError(
            f"expected each folder once, found '{doubled[0]}' twice; to compare its labels with one another, give it "
            "as --target alone, with --foreground each."
        )
    return found


def _all_looked_into(folders: Sequence[str]) -> list[Examined]:
    """What lies in each folder; what is wrong with any of them is told at once."""
    found, troubles = [], []
    for folder in folders:
        try:
            found.append(_looked_into(folder))
        except MedSegDistError as error:
            troubles.append(str(error))
    if troubles:
        raise MedSegDistError("\n".join(troubles))
    return found


def _asked_for(question: str, ask: Ask) -> Examined:
    while True:
        with told_of():
            return _looked_into(ask(question, ""))


def _looked_into(given: str) -> Examined:
    from medsegdist.data.recognition.examined import examine, located

    # No bar for a folder that is not there.
    located(given)
    with progress_bars() as progress:
        bar(progress, f"Looking into {given}")
        found = examine(given)
    _say(f"{given}: {found.found.what}, {counted(found.looks.cases, 'case')}")
    return found


def _proposals(
    folders: Sequence[Examined], foreground: Sequence[str], modality: str | None, ask: Ask | None
) -> list[Proposal]:
    """The datasets that the folders become, in their order."""
    from medsegdist.data.recognition.foreground import foregrounds_of
    from medsegdist.data.recognition.proposal import propose, with_distinct_names

    found = []
    for examined, asked in zip(folders, foregrounds_of(folders, foreground), strict=True):
        choices = asked
        if ask is not None and not foreground and len(examined.choices) > 1:
            choices = asked_foreground(examined, ask)
        for choice in choices:
            proposal = propose(examined, choice, modality)
            if ask is not None:
                proposal = asked_about(proposal, modality, ask)
            found.append(proposal)
    if len(found) < 2:
        raise MedSegDistError(
            f"expected a target and a source, found one dataset, {found[0].name}; name another folder by --source, or "
            "make a dataset of each label by --foreground each."
        )
    return with_distinct_names(found)


def _study(
    proposals: Sequence[Proposal], target: Examined, dimensions: int, out: Path, ask: Ask | None
) -> tuple[str, list[str]]:
    """The text of the study, which has been validated, and the names of its targets."""
    from medsegdist.data.recognition.examined import written_root
    from medsegdist.data.recognition.proposal import grid_of
    from medsegdist.data.recognition.study_text import check_text, study_text

    pictures = [one.name for one in proposals if one.examined.looks.pictures]
    if dimensions == 3 and pictures:
        raise ManifestError(
            f"expected volumes for --dimensions 3, found pictures in {', '.join(pictures)}; leave --dimensions out."
        )
    targets = [one.name for one in proposals if one.examined is target]
    sources = [one.name for one in proposals if one.examined is not target]
    if not sources:
        targets, sources = targets[:1], targets[1:]
    grid, reason = grid_of(target.looks.sizes, dimensions)
    if ask is not None:
        grid, reason = asked_grid(grid, reason, ask)
    folder = out.absolute().parent
    text = study_text(
        [(one, written_root(one.examined, folder)) for one in proposals],
        targets,
        sources,
        grid=grid,
        grid_reason=reason,
        file=out.name,
    )
    check_text(text, out)
    return text, targets


def _show(proposals: Sequence[Proposal], targets: Sequence[str], out: Path) -> None:
    console = Console()
    for one in proposals:
        what = "target" if one.name in targets else "source"
        console.print(f"[bold]{escape(one.name)}[/bold] ({what}): {escape(printable(one.examined.found.what))}")
        for key, reason in one.reasons.items():
            segment = one.layout.get("segment", one.layout.get("roi"))
            said = {
                "foreground": one.foreground,
                "modality": one.modality,
                "window": one.window,
                "segment": segment,
            }.get(key)
            absent = f"no {key}: " if key == "window" else f"{key}: "
            shown = f"{key} {list(said) if isinstance(said, tuple) else said}: " if said else absent
            console.print(escape(printable(f"  {shown}{reason}")), soft_wrap=True)
        for remark in one.examined.remarks:
            console.print(escape(printable(f"  {remark}")), soft_wrap=True)
    console.print(f"Written: {escape(str(out))}. Next:", soft_wrap=True)
    console.print(f"  medsegdist check {escape(str(out))}\n  medsegdist rank {escape(str(out))}", soft_wrap=True)


def _say(text: str) -> None:
    if not is_quiet():
        Console(stderr=True).print(escape(printable(text)), soft_wrap=True)
