"""The command line: all commands in one application; each parses, calls the library and prints."""

from __future__ import annotations

import typer

from medsegdist.cli import cards, console, init, proof, rank, report, tasks, transfer
from medsegdist.cli.options import Command, Group

app = typer.Typer(
    cls=Group,
    help="Distances between medical segmentation datasets, to choose a source for pre-training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    callback=console.loudness,
)
for command in (
    rank.demo,
    rank.rank,
    rank.distances,
    init.check,
    transfer.transfer,
    report.report,
    proof.agreement,
    proof.learn,
    proof.paper,
    tasks.prepare,
    tasks.handover,
    init.init,
):
    app.command(cls=Command)(command)
lidc = typer.Typer(help="LIDC-IDRI by malignancy.", no_args_is_help=True, cls=Group)
lidc.command(cls=Command)(tasks.subsets)
lidc.command("export", cls=Command)(tasks.export_lidc)
app.add_typer(lidc, name="lidc")
app.add_typer(cards.cards, name="cards")
