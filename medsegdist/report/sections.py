"""Sections of a page: what pre-training brought, whether distance predicts it, and how relevant the cases are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from medsegdist.distance.order import RankedCase
from medsegdist.report.figures import Plot, amount_axis, in_rows, label, scatter, titled, vertical_line
from medsegdist.report.gain_words import in_percent
from medsegdist.report.tables import FROM_SCRATCH
from medsegdist.report.verdict import Answer, amount
from medsegdist.transfer.gains import UNDEFINED, SourceGain, TransferPair, all_pairs, summarize_gains
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.report.results import Results
    from medsegdist.transfer.regression import GainPrediction, LinearFit

# Nine targets look different, and neighbors do so by color and by shape.
COLORS = ("var(--accent)", "var(--second)", "var(--third)")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "triangle-down", "cross", "hexagon")

LEGEND_ABOVE: dict[str, Any] = {  # of a figure's layout
    "showlegend": True,
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
    "margin": {"l": 4, "r": 14, "t": 30, "b": 40},
}


def trained_targets(run: Results) -> list[str]:
    """The targets that were asked for, and the other ones that have runs."""
    asked = run.transfer.targets if run.transfer else ()
    return list(dict.fromkeys((*asked, *(one.target for one in (*run.gains, *run.controls)))))


def left_out(run: Results) -> list[str]:
    """In words, the runs that are in no mean, no figure and no line, and why."""
    arrow, found = " \N{RIGHTWARDS ARROW} ", []
    for one in (*run.gains, *run.controls):
        if one.gain_percent is None:
            seed = "" if one.seed is None else f", seed {one.seed}"
            undefined = "the Dice from scratch is 0, which no gain is relative to"
            why = undefined if one.status == UNDEFINED else "did not converge"
            found.append(f"{one.source or FROM_SCRATCH}{arrow}{one.target}{seed}: {why}")
    if not run.gains:
        lost = [one.left_out for one in run.agreements]
        pairs = dict.fromkeys(pair for one in lost for pair in one.not_converged)
        some = dict.fromkeys(pair for one in lost for pair in one.partly_converged)
        found += [f"{source}{arrow}{target}: no run has a gain" for source, target in pairs]
        found += [f"{source}{arrow}{target}: {count} of its runs" for source, target, count in some]
    return found


PLACES = 41  # distances at which the band is drawn


def gain_points(run: Results) -> dict[str, tuple[TransferPair, ...]]:
    """All pairs that have a distance and a gain, by the methods that know any.

    They are those of `agreement.json` where it is there, since it says what was compared, and else what distances and
    gains of the folder have in common. Runs without a gain, such as collapsed ones, are in neither.
    """
    return {one.method: one.pairs for one in run.agreements} or _pairs_here(run)


def of_other_tables(run: Results) -> bool:
    """Whether `agreement.json` compared other distances or gains than those in its folder."""
    here, compared = (
        {(method, one.source, one.target): (one.distance, one.gain) for method, pairs in known.items() for one in pairs}
        for known in (_pairs_here(run), {one.method: one.pairs for one in run.agreements})
    )
    return bool(here) and not all(
        key in here and np.allclose(numbers, here[key], 1e-9, 0) for key, numbers in compared.items()
    )


def _pairs_here(run: Results) -> dict[str, tuple[TransferPair, ...]]:
    return {one.method: one.pairs for one in all_pairs(run.distances, run.gains) if one.pairs}


def regress(points: Sequence[TransferPair]) -> tuple[LinearFit, list[GainPrediction]] | None:
    """The regression of gain on distance (the paper's Fig. 9 to 13), and its line with the 95% band.

    None for too few pairs, or equal distances.
    """
    from medsegdist.transfer.regression import fit_line, makes_line, predict_gain

    if not makes_line(points):
        return None
    distances = [point.distance for point in points]
    places = np.linspace(min(distances), max(distances), PLACES)
    return fit_line(points), [predict_gain(points, place) for place in places.tolist()]


def transfer_plot(target: str, sources: Sequence[SourceGain], control: SourceGain | None) -> Plot:
    """The gain of each source, greatest on top: a dot for each seed and one for their mean; the control is a line."""
    x = [gain for one in sources for gain in one.gains]
    y = [place for place, one in enumerate(sources) for _ in one.gains]
    seed = {"color": "var(--neutral)", "size": 6, "opacity": 0.7}
    mean = {"color": "var(--accent)", "size": 10, "line": {"color": "var(--surface)", "width": 1.5}}
    hover = [f"{label(one.source, None)}<br>{in_percent(one)}" for one in sources]
    data = [
        scatter("markers", x, y, marker=seed),
        scatter("markers", [one.gain for one in sources], list(range(len(sources))), hover, marker=mean),
    ]
    lines = [(0.0, "var(--line-strong)", "solid"), *([(control.gain, "var(--second)", "dot")] if control else [])]
    shapes = [
        {**vertical_line(place, color=color, width=1.5, dash=dash), "layer": "below"} for place, color, dash in lines
    ]
    # The lines belong to the axis, too.
    places = [*x, *(place for place, *_ in lines)]
    margin = 0.06 * (max(places) - min(places)) or 1.0
    said = "; ".join(f"{one.source} {in_percent(one)}" for one in sources)
    controlled = "" if control is None else f" From scratch with as many steps {in_percent(control)}."
    span = {"range": [min(places) - margin, max(places) + margin], "tickangle": 0}
    return Plot(
        data,
        in_rows([label(one.source) for one in sources], titled("gain (%)", **span), frame=76, shapes=shapes),
        f"What pre-training gained for {target}, greatest first: {said}.{controlled}",
        f"Gain for {target}",
    )


def curve_plot(run: Results, target: str) -> Plot | None:
    """Dice by steps of fine-tuning, mean over seeds; the best and the recommended source stand out.

    None if no source has two points.
    """
    from medsegdist.transfer.outcomes import LearningCurve, mean_curve

    by_source: dict[str, list[LearningCurve]] = {}
    for one in run.curves:
        if one.target == target:
            by_source.setdefault(one.source, []).append(one)
    means = {source: mean_curve(curves) for source, curves in by_source.items()}
    # A training from scratch may have gone on for longer; it is compared after as many steps.
    last = max((points[-1][0] for source, points in means.items() if source and points), default=0)
    compared = {source: [point for point in points if point[0] <= last] for source, points in means.items()}
    lines = {source: points for source, points in compared.items() if len(points) > 1}
    if not any(lines):
        return None
    best = next((one.source for one in summarize_gains(run.gains, target)), "")
    recommended = run.table.recommended(target)[0].source if target in run.table.targets else ""
    gained = f"gained most{', as recommended' * (best == recommended)}: {label(best)}"
    styles = {
        recommended: (f"recommended: {label(recommended)}", "var(--third)", 2.5, "solid"),
        best: (gained, "var(--accent)", 2.5, "solid"),
        "": ("from scratch", "var(--second)", 2.0, "dash"),
    }
    data: list[dict[str, Any]] = []
    others = [source for source in lines if source not in styles]
    for source in (*others, *(one for one in styles if one in lines)):
        name, color, width, dash = styles.get(source, ("other sources", "var(--line-strong)", 1.2, "solid"))
        x, y = [step for step, _ in lines[source]], [dice for _, dice in lines[source]]
        hover = [f"{label(source, None) or name}<br>Dice {dice:.3f} after {step} steps" for step, dice in lines[source]]
        shown = source in styles or source == others[0]
        marker = {"color": color, "size": 5}
        line = {"color": color, "width": width, "dash": dash}
        data.append(scatter("lines+markers", x, y, hover, name=name, showlegend=shown, marker=marker, line=line))
    said = "; ".join(f"{source or 'from scratch'} {points[-1][1]:.3f}" for source, points in lines.items())
    return Plot(
        data,
        {
            "height": 340,
            **LEGEND_ABOVE,
            "xaxis": titled("steps of fine-tuning, or from scratch"),
            "yaxis": titled("Dice"),
        },
        f"Learning curves for {target}: mean Dice after {last} steps: {said}.",
        f"Learning curves for {target}",
    )


MOST_NAMED = 12  # points whose sources stand at them; of more, the names would cover one another


def gain_plot(method: str, points: Sequence[TransferPair], fit: tuple[LinearFit, list[GainPrediction]] | None) -> Plot:
    """Gain against distance, with the line and its 95% band (Fig. 9 to 13)."""
    data: list[dict[str, Any]] = []
    fitted = ""
    if fit is not None:
        found, line = fit
        fitted = f" Line: slope {found.slope:.3g}% per unit, R2 {found.r_squared:.2f}, p {found.p_slope:.2g}."
        x = [one.distance for one in line]
        around = [*(one.mean_low for one in line), *(one.mean_high for one in line[::-1])]
        band: dict[str, Any] = {"fill": "toself", "fillcolor": "var(--band)", "line": {"width": 0}, "showlegend": False}
        data.append(scatter("lines", x + x[::-1], around, **band))
        ink = {"color": "var(--ink-soft)", "width": 1.5}
        data.append(scatter("lines", x, [one.gain for one in line], line=ink, showlegend=False))
    middle = (min(point.distance for point in points) + max(point.distance for point in points)) / 2
    for k, target in enumerate(dict.fromkeys(point.target for point in points)):
        symbol, color = SYMBOLS[k % len(SYMBOLS)], COLORS[k % len(COLORS)]
        of_target = [point for point in points if point.target == target]
        x, y = [point.distance for point in of_target], [point.gain for point in of_target]
        marker = {"symbol": symbol, "color": color, "size": 9, "line": {"color": "var(--surface)", "width": 1}}
        hover = [
            f"{label(point.source, None)}<br>to {label(point.target, None)}<br>"
            f"distance {amount(point.distance)}, gain {point.gain:.1f}%"
            for point in of_target
        ]
        named: dict[str, Any] = {}
        if len(points) <= MOST_NAMED:
            sides = ["middle left" if point.distance > middle else "middle right" for point in of_target]
            named = {"text": [label(point.source, 14) for point in of_target], "textposition": sides}
        mode = "markers+text" if named else "markers"
        data.append(scatter(mode, x, y, hover, name=label(target), showlegend=True, marker=marker, **named))
    said = "; ".join(f"{p.source} to {p.target}: distance {amount(p.distance)}, gain {p.gain:.1f}%" for p in points)
    return Plot(
        data,
        {
            "height": max(320, 260 + 20 * len({point.target for point in points})),
            **LEGEND_ABOVE,
            "xaxis": titled("distance", **amount_axis([point.distance for point in points]) | {"range": None}),
            "yaxis": titled("gain (%)", zeroline=True, zerolinecolor="var(--line-strong)"),
        },
        f"Gain of transfer learning against distance by {method}.{fitted} {said}.",
        method,
    )


MOST_SOURCES = 4  # sources of a target whose cases are shown
MOST_NEAREST = 50  # cases that a command takes, but no more than half of those that there are known to be


def case_sections(run: Results) -> list[dict[str, Any]]:
    """The cases of each target's recommended source, and of up to three that it cannot be distinguished from."""
    sections = []
    for target in run.targets if run.cases else ():
        answer = Answer.of(run.table, target)
        for source in (answer.first, *answer.alike)[:MOST_SOURCES]:
            cases = [one for one in run.cases if (one.target, one.source) == (target, source)]
            if len(cases) < 2:
                continue
            cases.sort(key=lambda one: one.place)
            nearest, costs = min(MOST_NEAREST, len(cases) // 2), [one.cost for one in cases]
            said = (
                f"The {'nearest case costs' if nearest == 1 else f'nearest {nearest} cases cost'} "
                f"{fmean(costs[:nearest]):.2f} times what a sample of {source} costs on average, the "
                f"{counted(len(cases) - nearest, 'other one')} {fmean(costs[nearest:]):.2f} times."
            )
            names = {"source": source, "target": target, "nearest": nearest}
            sections.append({**names, "said": said, "figure": case_plot(cases, nearest)})
    return sections


def case_plot(cases: Sequence[RankedCase], nearest: int) -> Plot:
    """The cost of each case of one source at its place; the nearest ones stand out."""
    costs, places = [one.cost for one in cases], list(range(1, len(cases) + 1))
    colors = ["var(--accent)" if place <= nearest else "var(--neutral)" for place in places]
    hover = [f"place {place} of {len(cases)}<br>{cost:.3g}" for place, cost in zip(places, costs, strict=True)]
    source, target = cases[0].source, cases[0].target
    return Plot(
        [scatter("markers", places, costs, hover, marker={"color": colors, "size": 6})],
        {
            "height": 220,
            "shapes": [vertical_line(nearest + 0.5, color="var(--line-strong)", width=1.2, dash="dot")],
            "xaxis": titled("place"),
            "yaxis": titled("cost", nticks=5, rangemode="tozero"),
        },
        f"Cost of each of the {len(cases)} cases of {source} for {target}, the most relevant first, in multiples of "
        f"the mean: from {costs[0]:.2f} to {costs[-1]:.2f}.",
        f"{source} to {target}",
    )
