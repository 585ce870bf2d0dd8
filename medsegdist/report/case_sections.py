"""What a report says of the cases of a source: how their relevance is spread, without a name of any of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from medsegdist.distance.relevance import RankedCase
from medsegdist.report.figures import Plot, scatter, vertical_line
from medsegdist.report.verdict import MOST_NAMED, Answer
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.report.results import Results

MOST_NEAREST = 50
"""Cases that the command of a page writes; half of them where there are fewer than twice as many."""


def case_sections(run: Results) -> list[dict[str, Any]]:
    """The cases of each target's recommended source, and of up to two that it cannot be distinguished from.

    Args:
        run: with the cases that were ranked; without them nothing is said.
    """
    sections = []
    for target in run.targets if run.cases else ():
        answer = Answer.of(run.table, target)
        for source in (answer.first, *answer.alike)[:MOST_NAMED]:
            cases = [one for one in run.cases if (one.target, one.source) == (target, source)]
            if len(cases) > 1:
                sections.append(_section(sorted(cases, key=lambda one: one.place)))
    return sections


def _section(cases: Sequence[RankedCase]) -> dict[str, Any]:
    """The section of at least two cases of one source, the best first."""
    target, source = cases[0].target, cases[0].source
    nearest = min(MOST_NEAREST, len(cases) // 2)
    costs = [one.cost for one in cases]
    first, rest = fmean(costs[:nearest]), fmean(costs[nearest:])
    said = (
        f"The {'nearest case costs' if nearest == 1 else f'nearest {nearest} cases cost'} {first:.2f} times what a "
        f"sample of {source} costs on average, the {counted(len(cases) - nearest, 'other one')} {rest:.2f} times."
    )
    asked = f"--dataset {shlex.quote(source)} --nearest {nearest} --target {shlex.quote(target)}"
    return {
        "target": target,
        "source": source,
        "said": said,
        "command": f"medsegdist prepare STUDY.yaml {asked} --out Task01_Nearest",
        "figure": case_plot(cases, nearest),
    }


def case_plot(cases: Sequence[RankedCase], nearest: int) -> Plot:
    """The cost of each case at its place.

    Args:
        cases: of one source, the best first.
        nearest: how many of them stand out.
    """
    costs, places = [one.cost for one in cases], list(range(1, len(cases) + 1))
    colors = ["var(--accent)" if place <= nearest else "var(--neutral)" for place in places]
    hover = [f"place {place} of {len(cases)}<br>{cost:.3g}" for place, cost in zip(places, costs, strict=True)]
    source, target = cases[0].source, cases[0].target
    return Plot(
        [scatter("markers", places, costs, hover, marker={"color": colors, "size": 6})],
        {
            "height": 220,
            "shapes": [vertical_line(nearest + 0.5, color="var(--line-strong)", width=1.2, dash="dot")],
            "xaxis": {"title": {"text": "place", "standoff": 6}, "nticks": 6},
            "yaxis": {"title": {"text": "cost", "standoff": 6}, "nticks": 5, "rangemode": "tozero"},
        },
        f"Cost of each of the {len(cases)} cases of {source} for {target}, the most relevant first, in multiples of "
        f"the mean: from {costs[0]:.2f} to {costs[-1]:.2f}.",
        f"{source} to {target}",
    )
