"""What pre-training gained, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from medsegdist.report.gain_summary import SourceGain, summarize_gains

if TYPE_CHECKING:
    from medsegdist.transfer.gains import Gain

FROM_SCRATCH = "from scratch, as many steps"


def gain_table(target: str, gains: Iterable[Gain], controls: Iterable[Gain]) -> Table:
    """The sources of one target by their mean gain over seeds, greatest first, and the control below.

    Args:
        target: its name.
        gains: of any targets; those that are not "ok" are left out.
        controls: in the same way.
    """
    table = Table(
        "Source",
        title=f"Transfer to {escape(target)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("Seeds", "Dice", "From scratch", "Gain (%)"):
        table.add_column(column, justify="right")
    ranked, of_control = (
        sorted(summarize_gains((one for one in some if one.status == "ok"), target), key=lambda one: -one.gain)
        for some in (gains, controls)
    )
    for found in ranked:
        table.add_row(escape(found.source), *_cells(found))
    if of_control:
        table.add_section()
        table.add_row(FROM_SCRATCH, *_cells(of_control[0]))
    return table


def _cells(found: SourceGain) -> list[str]:
    spread = "" if found.deviation is None else f" ± {found.deviation:.1f}"
    return [
        str(len(found.gains)),
        f"{found.dice:.3f}",
        f"{found.dice_baseline:.3f}",
        f"{found.gain:+.1f}{spread}",
    ]
