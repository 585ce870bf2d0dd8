"""The figure of gains, as Plotly describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medsegdist.report.gain_summary import SourceGain
from medsegdist.report.plots import FRAME_HEIGHT, ROW_HEIGHT, Plot, axis, dataset_axis, label, layout


def transfer_plot(target: str, sources: Sequence[SourceGain], control: SourceGain | None) -> Plot:
    """The gain of each source, greatest on top: a dot for each seed and one for their mean; the control is a line.

    Args:
        target: its name.
        sources: in any order.
        control: from scratch with as many steps; None where there was none.
    """
    ranked = sorted(sources, key=lambda one: -one.gain)
    dots = [(gain, place) for place, one in enumerate(ranked) for gain in one.gains]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [gain for gain, _ in dots],
            "y": [place for _, place in dots],
            "marker": {"color": "var(--neutral)", "size": 6, "opacity": 0.7},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [one.gain for one in ranked],
            "y": list(range(len(ranked))),
            "marker": {"color": "var(--accent)", "size": 10, "line": {"color": "var(--surface)", "width": 1.5}},
            "hoverinfo": "text",
            "hovertext": [f"{label(one.source, None)}<br>{in_percent(one)}" for one in ranked],
        },
    ]
    lines = [(0.0, "var(--line-strong)", "solid")]
    if control is not None:
        lines.append((control.gain, "var(--second)", "dot"))
    shapes = [
        {
            "type": "line",
            "x0": place,
            "x1": place,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "line": {"color": color, "width": 1.5, "dash": dash},
        }
        for place, color, dash in lines
    ]
    # The lines belong to the axis, too.
    places = [*(gain for gain, _ in dots), *(place for place, *_ in lines)]
    margin = 0.06 * (max(places) - min(places)) or 1.0
    said = "; ".join(f"{one.source} {in_percent(one)}" for one in ranked)
    controlled = "" if control is None else f" From scratch with as many steps {in_percent(control)}."
    return Plot(
        data,
        layout(
            ROW_HEIGHT * len(ranked) + FRAME_HEIGHT + 14,
            shapes=shapes,
            xaxis=axis(
                range=[min(places) - margin, max(places) + margin],
                nticks=6,
                tickangle=0,
                title={"text": "gain (%)", "standoff": 6},
            ),
            yaxis=dataset_axis([label(one.source) for one in ranked]),
        ),
        f"What pre-training gained for {target}, greatest first: {said}.{controlled}",
        f"Gain for {target}",
    )


def in_percent(found: SourceGain) -> str:
    """Mean and deviation over the seeds: +12.3% ± 1.4."""
    return f"{found.gain:+.1f}%" + ("" if found.deviation is None else f" ± {found.deviation:.1f}")
