"""What gains say, in the words of terminal and page: of each source, of the recommended one, and of distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from medsegdist.transfer.gains import SourceGain, summarize_gains
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.report.results import Results
    from medsegdist.transfer.agreement import Agreement

FEW_STEPS = 100  # fewer steps of fine-tuning than this are warned of
SMALLEST_TEST = 40  # permutations below which no two-sided p-value is less than 5%


def in_percent(found: SourceGain) -> str:
    """Mean and deviation over the seeds: +12.3% ± 1.4."""
    return f"{found.gain:+.1f}%" + ("" if found.deviation is None else f" ± {found.deviation:.1f}")


def transfer_verdict(run: Results, target: str) -> str:
    """Which source gained a target most, where the recommended one came in, and what that rests on."""
    sources = summarize_gains(run.gains, target)
    control = next(iter(summarize_gains(run.controls, target)), None)
    if not sources:
        return f"No pre-training for {target} has a gain."
    best = sources[0]
    unequal = len({len(one.gains) for one in (*sources, *([control] if control else []))}) > 1
    gained = f"{in_percent(best)}{_seeds(best) if unequal else ''}"
    if best.gain > 0:
        found = f"For {target} pre-training on {best.source} gained most: {gained}."
    else:
        found = f"For {target} no pre-training gained anything; {best.source} lost least: {gained}."
    if control is not None:
        beyond = "" if best.gain > control.gain else ", no less than the best source"
        found += f" From scratch with as many steps: {in_percent(control)}{_seeds(control) if unequal else ''}{beyond}."
    place, _ = _recommended(run, target)
    return " ".join(filter(None, [found, place, _rests_on(run, target, [len(one.gains) for one in sources])]))


def _seeds(found: SourceGain) -> str:
    return f" over {counted(len(found.gains), 'seed')}"


def measured(run: Results, target: str) -> str:
    """Where the recommended source of a target came in by measured gain; empty where nothing was measured."""
    place, repetitions = _recommended(run, target)
    return f"{place} {_rests_on(run, target, repetitions)}".strip() if place else ""


def _recommended(run: Results, target: str) -> tuple[str, list[int]]:
    """Where the recommended source came in, and the repetitions of each source that was measured."""
    if target not in run.table.targets:
        return "", []
    order = [one.source for one in run.table.recommended(target)]
    known = {one.source: (one.gain, len(one.gains)) for one in summarize_gains(run.gains, target)}
    if not run.gains:
        pairs = [pair for one in run.agreements for pair in one.pairs if pair.target == target]
        known = {pair.source: (pair.gain, pair.seeds) for pair in pairs}
    known = {source: known[source] for source in order if source in known}
    if not known:
        return "", []
    best = max(known, key=lambda source: known[source][0])
    recommended, of_best = f"The recommended source, {order[0]},", f"{best}, {_gained(known[best][0])}"
    if order[0] not in known:
        found = f"{recommended} has no measured gain; the best of {counted(len(known), 'other')}, {of_best}."
    elif len(known) == 1:
        found = f"{recommended} {_gained(known[best][0])}; no other source was measured."
    else:
        gain = known[order[0]][0]
        place = 1 + sum(other > gain for other, _ in known.values())
        found = f"{recommended} {_gained(gain)}, place {place} of {len(known)} by measured gain"
        found += "." if place == 1 else f"; the best, {of_best}."
    return found, [runs for _, runs in known.values()]


def _gained(gain: float) -> str:
    return f"gained {gain:+.1f}%" if gain > 0 else f"lost {-gain:.1f}%" if gain < 0 else "gained nothing"


def _rests_on(run: Results, target: str, repetitions: Sequence[int]) -> str:
    """Repetitions and steps behind gains, and what so few of them leave open."""
    least, most = min(repetitions), max(repetitions)
    of_target = [one for one in run.gains if one.target == target]
    # One run without a seed may be the mean of any number.
    numbered = not of_target or any(one.seed is not None for one in of_target)
    parts = [counted(most, "repetition") if least == most else f"{least} to {most} repetitions"] if numbered else []
    options = {} if run.transfer is None else run.transfer.options
    steps = options.get("fine_tuning_steps") or options.get("steps")
    if isinstance(steps, int):
        parts.append(f"{counted(steps, 'step')} of fine-tuning")
    found = f"Measured with {', '.join(parts)}." if parts else ""
    if not numbered:
        found += " How many repetitions that rests on is not known."
    elif least == 1:
        found += " One repetition does not separate gain from chance."
    if isinstance(steps, int) and steps < FEW_STEPS:
        found += f" {counted(steps, 'step')} {'is' if steps == 1 else 'are'} few: after more, the order may be another."
    return found.strip()


def agreement_verdict(agreements: Sequence[Agreement]) -> list[str]:
    """Whether distance predicts gain, in sentences: reliability, the answer, and what choosing by distance costs."""
    said = []
    found = next((one.reliability for one in agreements if one.reliability is not None), None)
    if found is not None:
        said.append(
            f"Reliability of the gains over {found.seeds} seeds: {found.reliability:.2f}; no predictor can "
            f"be expected to correlate with them by more than {found.ceiling:.2f}."
        )
    said += _answer(agreements)
    regrets = [one.regret for one in agreements if one.regret is not None]
    chances = [target.chance_regret for one in agreements for target in one.targets if target.sources > 1]
    if regrets:
        low, high = min(regrets), max(regrets)
        span = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}, by the method,"
        said.append(
            f"The nearest source is {span} points of gain behind the best one on average, and a source drawn at random "
            f"{fmean(chances):.1f}."
        )
    return said


def _answer(agreements: Sequence[Agreement]) -> Iterator[str]:
    """The methods by which gains go with distance beyond chance, all methods together being tested."""
    from statsmodels.stats.multitest import multipletests

    from medsegdist.transfer.agreement import SIGNIFICANT
    from medsegdist.transfer.regression import makes_line

    tested: list[tuple[Agreement, float, float]] = []
    for one in agreements:
        # The more cautious test counts where it could find anything.
        tests = [
            test for test in (one.within_targets, one.whole_sources) if test and test.permutations >= SMALLEST_TEST
        ]
        if tests and one.ranks is not None and makes_line(one.pairs):
            spearman = one.ranks.spearman if one.over_targets is None else one.over_targets.spearman
            tested.append((one, spearman, max(test.p_rank for test in tests)))
    if not tested:
        most = max((len(one.pairs) for one in agreements), default=0)
        yield f"Whether distance predicts gain cannot be said from {counted(most, 'pair')}."
        return
    found = multipletests([p for *_, p in tested], method="holm")[1].tolist()
    sure = [(one, rho) for (one, rho, _), p in zip(tested, found, strict=True) if p < SIGNIFICANT]
    by = f"of {counted(len(tested), 'method')}"
    for sign, which in ((-1, "Nearer"), (1, "Farther")):
        some = sorted((sign * -rho, one.method, rho) for one, rho in sure if rho * sign > 0)
        if some:
            named = ", ".join(f"{method} (Spearman {rho:.2f})" for _, method, rho in some)
            yield f"{which} sources gained more by {len(some)} {by}, beyond chance: {named}."
    if not sure:
        one, rho, p = min(tested, key=lambda item: item[2])
        yield (
            f"By none {by} do gains go with distance beyond chance; the least p is {p:.2g}, of {one.method} (Spearman "
            f"{rho:.2f}, {counted(len(one.pairs), 'pair')})."
        )
    if len(tested) > 1:
        yield f"Chance: ranks shuffled, at 5% for the {len(tested)} methods together (Holm)."
