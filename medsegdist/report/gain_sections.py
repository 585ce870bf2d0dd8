"""What a report says of gains: what pre-training brought, and whether distance foretold it."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from medsegdist.report.figure_places import Figures
from medsegdist.report.gain_summary import SourceGain, summarize_gains, targets_of
from medsegdist.report.mixture_plots import gain_plot
from medsegdist.report.regression import gain_points, of_other_tables, regress
from medsegdist.report.results import Results
from medsegdist.report.transfer_plot import in_percent, transfer_plot
from medsegdist.transfer.gains import UNDEFINED
from medsegdist.words import counted


def transfer_section(run: Results, figures: Figures) -> dict[str, Any] | None:
    """Gains, baselines and controls of each target, and what ended otherwise; None where nothing was trained.

    Args:
        run: with what training left in the folder.
        figures: where figures are placed.
    """
    if not (run.gains or run.controls or run.transfer):
        return None
    told = run.transfer
    asked = told.targets if told else ()
    targets = [
        _target(run, name, figures) for name in dict.fromkeys((*asked, *targets_of((*run.gains, *run.controls))))
    ]
    # Where gains.csv has the runs without a gain, they are told of by it.
    named = any(one.gain_percent is None for one in run.gains)
    return {
        "targets": targets,
        "has_gains": any(target["sources"] or target["control"] for target in targets),
        "left_out": left_out(run),
        "not_converged": told.not_converged if told else (),
        "undefined": told.undefined if told and not named else (),
        "failed": told.failed if told else (),
    }


def gain_section(run: Results, figures: Figures) -> dict[str, Any] | None:
    """Gain against distance by each method; None where no pair has both and nobody wrote an agreement.

    Args:
        run: with distances and gains, or their agreement.
        figures: where figures are placed.
    """
    methods = []
    for method, points in gain_points(run).items():
        fit = regress(method, points)
        figure = figures.add(gain_plot(method, points, fit))
        methods.append({"method": method, "fit": fit, "n": len(points), "figure": figure})
    if not methods and run.agreement is None:
        return None
    warnings: dict[str, list[str]] = {}
    for one in run.agreements:
        for text in one.warnings:
            warnings.setdefault(text, []).append(one.method)
    every = len(run.agreements)
    return {
        "methods": methods,
        "agreements": run.agreements,
        "warnings": [("all methods" if len(of) == every > 1 else ", ".join(of), text) for text, of in warnings.items()],
        "table": run.agreement,
        "of_other_tables": of_other_tables(run),
        "left_out": left_out(run),
    }


def left_out(run: Results) -> list[str]:
    """In words, the runs that are in no mean, no figure and no line, and why."""
    found = []
    for one in (*run.gains, *run.controls):
        if one.gain_percent is None:
            name = f"{one.source or 'from scratch, as many steps'} \N{RIGHTWARDS ARROW} {one.target}"
            seed = "" if one.seed is None else f", seed {one.seed}"
            undefined = "the Dice from scratch is 0, which no gain is relative to"
            found.append(f"{name}{seed}: {undefined if one.status == UNDEFINED else 'did not converge'}")
    if not run.gains:
        pairs = dict.fromkeys(pair for one in run.agreements for pair in one.left_out.not_converged)
        found += [f"{source} \N{RIGHTWARDS ARROW} {target}: no run has a gain" for source, target in pairs]
        some = dict.fromkeys(pair for one in run.agreements for pair in one.left_out.partly_converged)
        found += [f"{source} \N{RIGHTWARDS ARROW} {target}: {count} of its runs" for source, target, count in some]
    return found


def _target(run: Results, target: str, figures: Figures) -> dict[str, Any]:
    sources = sorted(summarize_gains(run.gains, target), key=lambda one: -one.gain)
    control = next(iter(summarize_gains(run.controls, target)), None)
    baselines = {
        one.seed: one.dice_baseline
        for one in (*run.gains, *run.controls)
        if one.target == target and one.gain_percent is not None and one.dice_baseline is not None
    }
    return {
        "name": target,
        "verdict": _verdict(target, sources, control),
        "baseline": fmean(baselines.values()) if baselines else None,
        "baseline_seeds": len(baselines),
        "sources": sources,
        "control": control,
        "figure": figures.add(transfer_plot(target, sources, control)) if sources else None,
    }


def _verdict(target: str, sources: list[SourceGain], control: SourceGain | None) -> str:
    if not sources:
        return f"No pre-training for {target} has a gain."
    best = sources[0]
    unequal = len({len(one.gains) for one in (*sources, *([control] if control else []))}) > 1
    gained = f"{in_percent(best)}{_seeds(best) if unequal else ''}"
    if best.gain > 0:
        found = f"For {target} pre-training on {best.source} gained most: {gained}."
    else:
        found = f"For {target} no pre-training gained anything; {best.source} lost least: {gained}."
    if control is None:
        return found
    beyond = "" if best.gain > control.gain else ", no less than the best source"
    return (
        f"{found} From scratch with as many steps: {in_percent(control)}{_seeds(control) if unequal else ''}{beyond}."
    )


def _seeds(found: SourceGain) -> str:
    return f" over {counted(len(found.gains), 'seed')}"
