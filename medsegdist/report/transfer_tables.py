"""What pre-training gained, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

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
    by_source: dict[str, list[Gain]] = {}
    for gain in gains:
        if gain.target == target and gain.status == "ok":
            by_source.setdefault(gain.source, []).append(gain)
    ranked = sorted(by_source.items(), key=lambda item: -fmean(gain.gain_percent for gain in item[1]))
    for source, found in ranked:
        table.add_row(escape(source), *_cells(found))
    of_control = [gain for gain in controls if gain.target == target and gain.status == "ok"]
    if of_control:
        table.add_section()
        table.add_row(FROM_SCRATCH, *_cells(of_control))
    return table


def _cells(gains: Sequence[Gain]) -> list[str]:
    changes = [gain.gain_percent for gain in gains]
    spread = f" ± {stdev(changes):.1f}" if len(changes) > 1 else ""
    return [
        str(len(gains)),
        f"{fmean(gain.dice for gain in gains):.3f}",
        f"{fmean(gain.dice_baseline for gain in gains):.3f}",
        f"{fmean(changes):+.1f}{spread}",
    ]
