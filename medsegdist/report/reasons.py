"""What speaks for the recommended source, what against it, and what to do next: in words, from what is saved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medsegdist.recommend.learned import LearnedRanking
from medsegdist.recommend.pair_features import FEATURES, pair_features
from medsegdist.report.gain_words import measured
from medsegdist.report.results import Results
from medsegdist.report.verdict import Answer
from medsegdist.words import and_listed, counted

CLEAR = 0.5  # standard deviations among the sources of a target from which on a feature is named
REASONS, OBJECTIONS = 3, 2  # features at most that are named for a source, and against it
FEW_PATIENTS = 10  # a dataset with fewer says little of how patients differ
NEARLY = 1.0  # Dice points by which two choices may differ and be about as good
SMALL_SHARE = 0.1  # masks with a smaller part in the distance hardly count


def reasons(run: Results, answer: Answer) -> dict[str, tuple[str, ...]]:
    """In what the recommended source is `alike` the target, more than the other sources, and in what it is `unlike`."""
    rows = run.table.to_frame()
    of_target = rows[(rows["target"] == answer.target) & rows["method"].isin(answer.by)]
    compared = [answer.target, *(one.source for one in answer.order)]
    means = run.record.means if run.record else pd.DataFrame(index=compared)
    features = pair_features(of_target, means.reindex(compared))
    names = [name for name in FEATURES if not name.startswith("own ") and name != "term images"]
    values = features[names].to_numpy()
    own = values[[source for _, source in features.index].index(answer.first)]
    pairs = zip(own, values.std(axis=0), names, strict=True)
    # What is not known, or the same for all sources, distinguishes none.
    known = sorted((float(value / spread), name) for value, spread, name in pairs if spread > 0)
    alike = [one for one in known if one[0] <= -CLEAR]
    unlike = [one for one in known[::-1] if one[0] >= CLEAR]
    return {
        "alike": tuple(FEATURES[name][0] for _, name in alike[:REASONS]),
        "unlike": tuple(FEATURES[name][1] for _, name in unlike[:OBJECTIONS]),
    }


def reasons_said(run: Results, answer: Answer) -> str:
    """The same in a sentence; empty if there are none."""
    said = "; but ".join(filter(None, map(", ".join, reasons(run, answer).values())))
    return said and f"Compared with the other sources, {answer.first} has: {said}."


def cautions(run: Results, answer: Answer) -> Iterator[str]:
    """What speaks against the recommended source, or against being sure of it; sentences."""
    first, target, record = answer.first, answer.target, run.record
    one, other = (record.dataset(name) if record else None for name in (first, target))
    if one and other:
        if one.modality and other.modality and one.modality != other.modality:
            # "other" may also stand for what nobody knows.
            yield f"Another modality: the study calls {first} {one.modality} and {target} {other.modality}."
        elif None not in (one.oriented, other.oriented) and one.oriented != other.oriented:
            slices = first if one.oriented else target
            yield f"Another kind of images: only those of {slices} are slices of volumes."
        few = [f"{dataset.name} ({dataset.patients})" for dataset in (other, one) if dataset.patients < FEW_PATIENTS]
        if few:
            yield f"Few patients: {and_listed(few)}. So few say little of how patients differ."
        unknown = [dataset.name for dataset in (other, one) if dataset.patients_known is False]
        if unknown:
            yield (
                f"Who the cases of {and_listed(unknown)} show is not known: each counts as a patient, and chances are "
                "too sure where patients have several."
            )
        doubtful = [f"{one.doubtful} of {one.cases} of {one.name}" for one in (other, one) if one.doubtful]
        if doubtful:
            yield (
                f"Files of {and_listed(doubtful)} leave something open and were read as they stand: `medsegdist check "
                "--full` says what."
            )
        if record and record.shared_images:
            yield "The study allows sources that hold images or patients of a target, and such a source is always near."
    rows = [row for row in run.table.rows if (row.source, row.target) == (first, target) and row.method in answer.by]
    unclear = [row.method for row in rows if row.rank > 1 or row.tied]
    if unclear and len(unclear) < len(rows) and not answer.alone:
        yield f"By {and_listed(unclear)} alone it is not ahead of all others."
    if answer.alike:
        several = counted(len(answer.alike), "other source")
        yield f"{several} cannot be distinguished from it; training on each would decide."
    shares = [row.mask_term / row.distance for row in rows if row.distance > 0]
    if shares and (share := float(np.mean(shares))) < SMALL_SHARE:
        yield f"Masks make up {share:.1%} of its distance: the order rests almost on the images alone."


def explained(run: Results, answer: Answer) -> Iterator[str]:
    """Reasons and cautions as lines for a terminal."""
    if run.record and not run.approximate and not any(one.formula.get("normalize") for one in run.record.methods):
        yield "Image and mask terms are added in their own units, as published."
    against = (f"Against it: {caution}" for caution in cautions(run, answer))
    said = [reasons_said(run, answer), *against, trust(run, answer)[1], measured(run, answer.target)]
    yield from filter(None, said)


def trust(run: Results, answer: Answer) -> tuple[str, str]:
    """How well the rule behind an answer chose for public targets whose transfers were measured.

    It is how often the first choice was nearly the best source, and that in sentences; empty if nobody measured it.
    """
    formulas = {one.name: one.formula for one in run.record.methods} if run.record else {}
    normalized = all(formulas.get(method, {}).get("normalize") for method in answer.by)
    # Only distances with normalized terms were measured, and a learned rule may be of any library.
    if run.approximate or not normalized or answer.order[0].learned:
        return "", ""
    learned = LearnedRanking.load()
    rule, random = (learned.evidence.get(name) for name in (answer.order[0].rule, "a source at random"))
    if rule is None or random is None:
        return "", ""
    said = (
        f"On {rule.targets} public targets of 2D slices, the first choice of this rule was within 2 Dice points of "
        f"the best source for {rule.within_2:.0%} of them and {rule.regret:.1f} points behind it on average, "
        f"against {random.within_2:.0%} and {random.regret:.1f} for a source at random, after {learned.steps} steps "
        "of fine-tuning on 4 patients."
    )
    if pooled := learned.evidence.get("all sources together"):
        alike = ", which is about as good" if abs(pooled.regret - rule.regret) < NEARLY else ""
        behind = f"{pooled.regret:.1f} points behind the best single one{alike}."
        said += f" Pre-training on all sources together was {behind}"
    return f"{rule.within_2:.0%}, at random {random.within_2:.0%}", said
