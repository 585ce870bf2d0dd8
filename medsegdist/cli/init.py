"""`medsegdist init`: from folders of images and masks to a study that can be checked and ranked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import is_quiet, reported_errors, show_error
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.files import atomic_write, check_writable
from medsegdist.progress import show_progress
from medsegdist.words import check_choice, counted, printable

if TYPE_CHECKING:
    from medsegdist.data.inspect import Inspection
    from medsegdist.data.proposal import Proposal

T = TypeVar("T")
_Modality = Annotated[
    str | None, typer.Option("--modality", help="Modality of all folders, such as CT.", show_default="what each says")
]
_Foreground = Annotated[
    list[str] | None,
    typer.Option(
        "--foreground",
        metavar="[FOLDER=]LABELS",
        help="If masks have several labels: all (as one), each (a dataset of each), or names or values such as 1,2. "
        "Repeatable, a dataset of each.",
    ),
]
_Target = Annotated[
    str | None,
    typer.Option("--target", help="Folder of the dataset that needs a source; '${VARIABLES}' are kept.", metavar="DIR"),
]
_Sources = Annotated[
    list[str] | None, typer.Option("--source", help="Folder of a dataset to pre-train on, repeatable.", metavar="DIR")
]


def init(
    target: _Target = None,
    source: _Sources = None,
    out: Annotated[Path, typer.Option("--out", help="The study to write.", dir_okay=False)] = Path("study.yaml"),
    modality: _Modality = None,
    foreground: _Foreground = None,
    dimensions: Annotated[
        int, typer.Option("--dimensions", help="2 compares axial slices, 3 volumes.", min=2, max=3)
    ] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is proposed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the study that is there.")] = False,
) -> None:
    """Write a study for folders of images and masks.

    On a terminal it asks for what no option says. The study explains each of its entries.
    """
    with reported_errors():
        _refuse_existing(out, force)
        check_writable(out)
        if modality is not None:
            _check_modality(modality)
        interactive = _on_terminal() and not yes
        folders = _inspect_folders(target, source or (), interactive)
        proposals = _propose(folders, foreground or (), modality, interactive)
        targets = [one.name for one in proposals if one.inspection is folders[0]]
        text = _study(proposals, targets, dimensions, out, interactive)
        _refuse_existing(out, force)
        with atomic_write(out) as file:
            file.write(text)
    _show(proposals, targets, out)


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _refuse_existing(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise MedSegDistError(f"{out} exists already", "choose another --out, or replace it by --force")


def _ask(question: str, default: str, use: Callable[[str], T]) -> T:
    """What `use` makes of an answer; what is wrong with an answer is shown, and it may be given again."""
    while True:
        answer = str(typer.prompt(question, default=default or None, err=True)).strip()
        try:
            return use(answer)
        except MedSegDistError as error:
            show_error(error)


def _check_modality(word: str) -> str:
    from medsegdist.data.manifest import DatasetManifest

    try:
        check_choice("--modality", word, get_args(DatasetManifest.model_fields["modality"].annotation))
    except ValueError as error:
        raise MedSegDistError(str(error)) from None
    return word


def _inspect_folders(target: str | None, sources: Sequence[str], interactive: bool) -> list[Inspection]:
    """What the folders hold, that of the target first; those that were not given are asked for."""
    if target is None and not interactive:
        raise MedSegDistError(
            "expected --target DIR and --source DIR, found no target",
            "name both, or run init on a terminal to be asked",
        )
    found, problems = [], []
    if target is None:
        found.append(_ask("Folder of the target, the dataset that needs a source", "", _inspect))
    for folder in sources if target is None else [target, *sources]:
        try:
            found.append(_inspect(folder))
        except MedSegDistError as error:
            problems.append(str(error))
    if problems:
        raise MedSegDistError("\n".join(problems))
    while interactive and not sources:
        question = "Folder of a source, a dataset to pre-train on ('none' ends)"
        default = "none" if len(found) > 1 else ""
        another = _ask(question, default, lambda answer: None if answer == "none" else _inspect(answer))
        if another is None:
            break
        found.append(another)
    paths = [one.path for one in found]
    for k, one in enumerate(found):
        if one.path in paths[:k]:
            raise MedSegDistError(
                f"expected each folder once, found '{one.given}' twice",
                "to compare its labels with one another, give it as --target alone, with --foreground each",
            )
    return found


def _inspect(given: str) -> Inspection:
    from medsegdist.data.inspect import inspect

    with show_progress():
        found = inspect(given)
    if not is_quiet():
        text = f"{given}: {found.found.what}, {counted(found.statistics.cases, 'case')}"
        Console(stderr=True).print(escape(printable(text)), soft_wrap=True)
    return found


def _propose(
    folders: Sequence[Inspection], foreground: Sequence[str], modality: str | None, interactive: bool
) -> list[Proposal]:
    """The datasets that the folders become, in their order."""
    from medsegdist.data.proposal import choose_labels, manifest_name, propose, with_distinct_names, with_modality

    found: list[Proposal] = []
    for folder, chosen in zip(folders, choose_labels(folders, foreground), strict=True):
        if interactive and not foreground and len(folder.choices) > 1:
            labels = ", ".join(map(folder.label, folder.choices))
            question = f"Foreground in {folder.given}: {labels}; 'all' as one, 'each', or some"
            proposals = _ask(question, "all", lambda words: propose(folder, words, modality))  # noqa: B023
        else:
            proposals = [one for words in chosen for one in propose(folder, words, modality)]
        for proposal in proposals:
            if interactive:
                name = _ask(f"Name of {folder.given}", proposal.name, manifest_name)
                proposal = replace(proposal, name=name)
                if modality is None:
                    question = f"Modality ({proposal.reasons['modality']})"
                    word = _ask(question, proposal.modality, _check_modality)
                    proposal = proposal if word == proposal.modality else with_modality(proposal, word)
            found.append(proposal)
    if len(found) < 2:
        raise MedSegDistError(
            f"expected a target and a source, found one dataset, {found[0].name}",
            "name another folder by --source, or make a dataset of each label by --foreground each",
        )
    return with_distinct_names(found)


def _study(proposals: Sequence[Proposal], targets: Sequence[str], dimensions: int, out: Path, interactive: bool) -> str:
    from medsegdist.data.proposal import grid_of, study_text

    pictures = [one.name for one in proposals if one.statistics.pictures]
    if dimensions == 3 and pictures:
        raise ManifestError(
            f"expected volumes for --dimensions 3, found pictures in {', '.join(pictures)}", "leave --dimensions out"
        )
    proposed, reason = grid_of(proposals[0].inspection.statistics.sizes, dimensions)

    def read_grid(answer: str) -> tuple[int, ...]:
        sizes = tuple(int(size) for size in re.findall(r"\d+", answer))
        if len(sizes) != dimensions or 0 in sizes:
            raise MedSegDistError(f"expected {dimensions} sizes such as {shown}, found '{answer}'.")
        return sizes

    shown = " x ".join(map(str, proposed))
    grid = _ask(f"Grid of every sample ({reason})", shown, read_grid) if interactive else proposed
    return study_text(proposals, targets, grid, reason if grid == proposed else "as you said", out)


def _show(proposals: Sequence[Proposal], targets: Sequence[str], out: Path) -> None:
    console = Console()
    for one in proposals:
        what = "target" if one.name in targets else "source"
        console.print(f"[bold]{escape(one.name)}[/bold] ({what}): {escape(printable(one.inspection.found.what))}")
        values = {
            "foreground": one.foreground and list(one.foreground),
            "modality": one.modality,
            "window": one.window and list(one.window),
            "segment": one.layout.get("segment", one.layout.get("roi")),
        }
        lines = [
            f"{'no ' if key == 'window' and not values[key] else ''}{key}"
            f"{f' {values[key]}' if values[key] else ''}: {reason}"
            for key, reason in one.reasons.items()
        ]
        for line in (*lines, *one.inspection.remarks):
            console.print(escape(printable(f"  {line}")), soft_wrap=True)
    console.print(f"Written: {escape(str(out))}. Next:", soft_wrap=True)
    console.print(f"  medsegdist check {escape(str(out))}\n  medsegdist rank {escape(str(out))}", soft_wrap=True)
