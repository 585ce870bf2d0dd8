"""`medsegdist init` and `check`: from folders of images and masks to a study that can be ranked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from medsegdist.cli.console import reported_errors, say, study_distances
from medsegdist.cli.options import AsJson, StudyFile, Workers
from medsegdist.errors import MedSegDistError
from medsegdist.files import check_writable, write_text
from medsegdist.progress import show_progress
from medsegdist.words import counted, printable

if TYPE_CHECKING:
    from medsegdist.data.inspect import Inspection
    from medsegdist.data.proposal import Proposal

_Modality = Annotated[
    Literal["CT", "MR", "other"] | None,
    typer.Option("--modality", help="Modality of all folders.", show_default="what each says"),
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
    str,
    typer.Option("--target", help="Folder of the dataset that needs a source; '${VARIABLES}' are kept.", metavar="DIR"),
]
_Sources = Annotated[
    list[str] | None, typer.Option("--source", help="Folder of a dataset to pre-train on, repeatable.", metavar="DIR")
]


def init(
    target: _Target,
    source: _Sources = None,
    out: Annotated[Path, typer.Option("--out", help="The study to write.", dir_okay=False)] = Path("study.yaml"),
    modality: _Modality = None,
    foreground: _Foreground = None,
    dimensions: Annotated[
        int, typer.Option("--dimensions", help="2 compares axial slices, 3 volumes.", min=2, max=3)
    ] = 2,
    force: Annotated[bool, typer.Option("--force", help="Replace the study that is there.")] = False,
) -> None:
    """Write a study for folders of images and masks, which explains each of its entries."""
    from medsegdist.data.proposal import choose_labels, grid_of, propose, study_text, with_distinct_names

    with reported_errors():
        if out.exists() and not force:
            raise MedSegDistError(f"{out} exists already", "choose another --out, or replace it by --force")
        check_writable(out)
        folders, left_out = _inspect_folders([target, *(source or ())])
        chosen = zip(folders, choose_labels(folders, foreground or ()), strict=True)
        proposals = with_distinct_names(
            [one for folder, labels in chosen for words in labels for one in propose(folder, words, modality)]
        )
        if (wrong := _problem(proposals, dimensions)) is not None:
            raise MedSegDistError("\n".join([*left_out.values(), str(wrong)]))
        targets = [one.name for one in proposals if one.inspection is folders[0]]
        grid, reason = grid_of(folders[0].statistics.sizes, dimensions)
        text = study_text(proposals, targets, grid, reason, out, left_out)
        write_text(out, text)
    _show(proposals, targets, out)
    for folder, problem in left_out.items():
        say(f"Left out, as a comment in {out}: {printable(folder)}", stderr=True)
        say(problem, stderr=True)


def _inspect_folders(given: Sequence[str]) -> tuple[list[Inspection], dict[str, str]]:
    """What the folders hold, the target's first; and what is wrong with each source that cannot be read."""
    from medsegdist.data.inspect import inspect

    found: list[Inspection] = []
    problems: dict[str, str] = {}
    with show_progress():
        for folder in given:
            try:
                found.append(inspect(folder))
            except MedSegDistError as error:
                problems[folder] = str(error)
    # The grid is the target's, and a study of one dataset compares nothing.
    if given[0] in problems or (problems and len(found) < 2):
        raise MedSegDistError("\n".join(problems.values()))
    paths = [one.path for one in found]
    for k, one in enumerate(found):
        if one.path in paths[:k]:
            raise MedSegDistError(
                f"expected each folder once, found '{one.given}' twice",
                "to compare its labels with one another, give it as --target alone, with --foreground each",
            )
    return found, problems


def _problem(proposals: Sequence[Proposal], dimensions: int) -> MedSegDistError | None:
    """Why there can be no study of them; None if nothing forbids it."""
    if len(proposals) < 2:
        return MedSegDistError(
            f"expected a target and a source, found one dataset, {proposals[0].name}",
            "name another folder by --source, or make a dataset of each label by --foreground each",
        )
    pictures = ", ".join(one.name for one in proposals if one.inspection.statistics.pictures)
    if dimensions == 3 and pictures:
        found = f"expected volumes for --dimensions 3, found pictures in {pictures}"
        return MedSegDistError(found, "leave --dimensions out")
    return None


def _show(proposals: Sequence[Proposal], targets: Sequence[str], out: Path) -> None:
    console = Console()
    for one in proposals:
        what = "target" if one.name in targets else "source"
        console.print(f"[bold]{escape(one.name)}[/bold] ({what}): {escape(printable(one.inspection.found.what))}")
        values = {
            "foreground": one.foreground and list(one.foreground),
            "mask_threshold": one.threshold,
            "modality": one.modality,
            "window": one.window and list(one.window),
            "segment": one.layout.get("segment", one.layout.get("roi")),
        }
        for key, reason in one.reasons.items():
            value, without = f" {values[key]}" if values[key] else "", "no " * (key == "window" and not values[key])
            say(printable(f"  {without}{key}{value}: {reason}"))
        for line in one.inspection.remarks:
            say(printable(f"  {line}"))
    say(f"Written: {out}. Next:\n  medsegdist check {out}\n  medsegdist rank {out}")


def check(
    study_file: StudyFile,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read every voxel, not only headers and one mask of each dataset (slower)."),
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """List every problem of a study's datasets at once, and change nothing.

    All headers are read, and masks of each dataset until one has foreground.

    Exit status 1 if there is an error, else 0.
    """
    from medsegdist.data.check import check_study
    from medsegdist.data.problems import merge_similar
    from medsegdist.data.study import load_study

    with reported_errors():
        study = load_study(study_file)
        study_distances(study, study_file)
        with show_progress():
            problems = check_study(study, full=full, workers=workers)
    shown = merge_similar(problems)
    errors = sum(problem.severity == "error" for problem in shown)
    read = f"{'every voxel' if full else 'headers and first masks'} of {counted(len(study.datasets), 'dataset')}"
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    elif problems:
        for one in shown:
            # One line each: a name or a path that is cut off, or broken, names nothing.
            color = "bold red" if one.severity == "error" else "yellow"
            Console().print(Text.assemble((one.severity, color), f" {printable(one.dataset)}: {one}"), soft_wrap=True)
        say(f"Errors: {errors}, warnings: {len(shown) - errors}, in {read}.")
    else:
        say(f"No problem found in {read}.")
    if not (full or as_json or errors):
        say("--full reads every voxel.")
    raise typer.Exit(1 if errors else 0)
