"""What is wrong with many cases, said once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from medsegdist.data.problems import Problem, Severity
from medsegdist.errors import DataError
from medsegdist.words import counted

_NAMED = 3
# As the loader of files begins a message, see `_file_reading`.
_FILE = re.compile(r"\b(image|label) (/.*?): ")


def gathered(
    dataset: str, cases: Sequence[str], total: int, problem: str, remedy: str, severity: Severity = "warning"
) -> list[Problem]:
    """One problem for all cases that have it, so that what is wrong with a whole dataset is said once.

    Args:
        dataset: its name.
        cases: which cases; none make no problem.
        total: how many were read.
        problem: what is the matter with each of them.
        remedy: what to do.
        severity: how bad it is.
    """
    if not cases:
        return []
    if len(cases) == 1:
        return [Problem(dataset, cases[0], problem, remedy, severity, total=total)]
    text = f"{len(cases)} of {counted(total, 'case')}, {named(cases)}: {problem}"
    return [Problem(dataset, "", text, remedy, severity, tuple(cases), total)]


def grouped(problems: Sequence[Problem]) -> list[Problem]:
    """The problems, with those of single cases of a dataset that read alike gathered in one.

    Alike are texts that differ in the name of the case, in its file, or in numbers only. Where numbers differ, the
    text is that of the first case, and says so.

    Args:
        problems: of any datasets; the order is kept, each group standing where its first one stood.
    """
    groups: dict[object, list[Problem]] = {}
    for index, problem in enumerate(problems):
        key = (problem.dataset, _alike(problem), problem.severity) if problem.case else index
        groups.setdefault(key, []).append(problem)
    return [_as_one(group) for group in groups.values()]


def named(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are.

    Args:
        names: at least one.
    """
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more


def as_error(problems: Sequence[Problem], dataset: str, read: int) -> DataError:
    """All problems of a dataset in one error.

    Args:
        problems: at least one.
        dataset: name of the dataset.
        read: how many cases were read.
    """
    lines = [f"  {problem}" for problem in grouped([replace(problem, total=read) for problem in problems])]
    cases = len({problem.case for problem in problems if problem.case})
    what = f"{cases} of {counted(read, 'case')} cannot be used"
    head = f"dataset '{dataset}': {what}" if cases else f"dataset '{dataset}'"
    return DataError("\n".join([f"{head}:", *lines]))


def _alike(problem: Problem) -> str:
    """A text that is the same for problems that read alike."""
    own = re.compile(rf"(?<![^\W_]){re.escape(problem.case)}(?![^\W_])")
    # One mark for both: a case may be called by a number.
    return re.sub(r"\d+", "#", own.sub("#", f"{problem.problem}; {problem.remedy}"))


def _as_one(group: Sequence[Problem]) -> Problem:
    first = group[0]
    if len(group) == 1:
        return first
    texts = {_FILE.sub(lambda match: _starred(match, one.case), one.problem) for one in group}  # noqa: B023
    cases = tuple(dict.fromkeys(one.case for one in group))
    if len(texts) == 1 and len({one.remedy for one in group}) == 1:
        (text,) = texts
    else:
        text = f"{first.problem} (so of '{first.case}'; the others alike)"
    total = first.total or len(cases)
    (one,) = gathered(first.dataset, cases, total, text, first.remedy, first.severity)
    return one


def _starred(match: re.Match[str], case: str) -> str:
    return f"{match.group(1)} {match.group(2).replace(case, '*')}: "
