"""The command line: all commands in one application."""

from __future__ import annotations

import typer

from medsegdist.cli.agreement import agreement
from medsegdist.cli.cards import cards
from medsegdist.cli.check import check
from medsegdist.cli.console import loudness
from medsegdist.cli.handover import handover
from medsegdist.cli.init import init
from medsegdist.cli.learn import learn
from medsegdist.cli.lidc import export_lidc, subsets
from medsegdist.cli.options import Command, Group
from medsegdist.cli.paper import paper
from medsegdist.cli.prepare import prepare
from medsegdist.cli.rank import demo, distances, rank
from medsegdist.cli.report import report
from medsegdist.cli.transfer import transfer

app = typer.Typer(
    cls=Group,
    help="Distances between medical segmentation datasets, to choose a source for pre-training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    callback=loudness,
)
for command in (demo, rank, distances, check, transfer, report, agreement, learn, paper, prepare, handover, init):
    app.command(cls=Command)(command)
lidc = typer.Typer(help="LIDC-IDRI by malignancy.", no_args_is_help=True, cls=Group)
lidc.command(cls=Command)(subsets)
lidc.command("export", cls=Command)(export_lidc)
app.add_typer(lidc, name="lidc")
app.add_typer(cards, name="cards")
