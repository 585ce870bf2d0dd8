"""What datasets look like, as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.distance.characteristics import DatasetCharacteristics
    from medsegdist.transfer.characteristic_agreement import CharacteristicAgreement


def characteristics_tables(datasets: Sequence[DatasetCharacteristics]) -> Iterator[Table]:
    """What is in units of intensity, and the rest: a row per dataset with means over its samples."""
    for title, of_intensity in (("Intensities", True), ("Segments", False)):
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("Dataset")
        chosen = [k for k, value in enumerate(datasets[0].values) if (value.unit == "intensity") is of_intensity]
        for k in chosen:
            value = datasets[0].values[k]
            unit = f" ({value.unit})" if value.unit and not of_intensity else ""
            table.add_column(value.name.replace("_", "\n") + unit, justify="right")
        for one in datasets:
            table.add_row(Text(printable(one.dataset)), *(_number(one.values[k].mean) for k in chosen))
        yield table


def correlation_table(correlated: Sequence[CharacteristicAgreement]) -> Table:
    """A row per characteristic: how the difference between source and target goes with gain."""
    table = Table("Characteristic", title="Differences and gain", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("Pairs", "Difference", "p", "adjusted", "Direction"):
        table.add_column(head, justify="right")
    for one in correlated:
        p_values = ("-" if value is None else f"{value:.2g}" for value in (one.p_difference, one.p_adjusted))
        direction = "-" if math.isnan(one.direction) else f"{one.direction:.2f}"
        table.add_row(one.characteristic, str(one.pairs), f"{one.difference:.2f}", *p_values, direction)
    return table


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
