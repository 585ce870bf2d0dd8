"""The first mask with foreground, which tells at little cost whether labels are named as they are stored."""

from __future__ import annotations

from collections.abc import Sequence

from medsegdist.data.case import Case
from medsegdist.data.case_reading import FOUND_LABELS
from medsegdist.data.dataset import mask_dataset
from medsegdist.data.label_tally import LabelTally, all_empty, holds_foreground
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.problems import Problem, case_problem
from medsegdist.errors import ManifestError


def look_for_foreground(manifest: DatasetManifest, cases: Sequence[Case]) -> list[Problem]:
    """Read masks in their order until one holds foreground: the first one, of most datasets.

    So all masks are read only of a dataset that names a label which none of them holds.

    Args:
        manifest: which dataset.
        cases: those whose headers are in order.

    Returns:
        What is wrong with the masks that were read; an error if none of all cases holds foreground.
    """
    dataset = mask_dataset(manifest, list(cases))
    tally = LabelTally(manifest.classes or manifest.foreground)
    problems = []
    for index, case in enumerate(cases):
        try:
            found = dataset[index][FOUND_LABELS]
        except ManifestError:
            raise
        # As in CaseReader: one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            problems.append(case_problem(error, manifest.name, case.id))
            continue
        if holds_foreground(found, manifest.label_values):
            return problems
        tally.note(found, case.id)
    if problems or not cases:
        return problems
    return [Problem(manifest.name, "", *text) for text in tally.problems(len(cases), complete=True)] or [
        Problem(manifest.name, "", *all_empty(len(cases)))
    ]
