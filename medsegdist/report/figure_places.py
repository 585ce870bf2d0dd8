"""Figures and their places on the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medsegdist.report.plots import Plot


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot in its place on the page.

    Args:
        id: of the element that it is drawn in.
        plot: what is drawn.
    """

    id: str
    plot: Plot


class Figures:
    """Gives every plot the id of its place."""

    def __init__(self) -> None:
        self.all: list[Figure] = []

    def add(self, plot: Plot) -> Figure:
        """A new figure."""
        self.all.append(Figure(f"figure-{len(self.all) + 1}", plot))
        return self.all[-1]

    def add_all(self, plots: Iterable[Plot]) -> list[Figure]:
        """One figure after another."""
        return [self.add(plot) for plot in plots]
