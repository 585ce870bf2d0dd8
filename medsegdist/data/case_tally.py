"""Which cases of a dataset gave it no sample, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from medsegdist.data.problems import printable
from medsegdist.words import counted

EMPTY_MASK = "mask without foreground"
OFF_GRID = "no foreground left on the grid"

MOST_NAMED = 3
"""Cases that are named for each reason; the others are counted."""


@dataclass(frozen=True, slots=True)
class CaseTally:
    """How many cases were read, and which of them gave no sample.

    Args:
        cases: how many were read.
        without_sample: why each case without a sample has none, by the name of the case.
    """

    cases: int
    without_sample: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, int]:
        """How many cases have no sample for each reason; no case is named."""
        return dict(Counter(self.without_sample.values()))

    def sentence(self, dataset: str) -> str:
        """Which cases have no sample, on one line; empty if all have one.

        Args:
            dataset: its name.
        """
        if not self.without_sample:
            return ""
        said = []
        for reason, count in self.reasons.items():
            names = [case for case, why in self.without_sample.items() if why == reason][:MOST_NAMED]
            more = count - len(names)
            named = ", ".join(map(printable, names)) + (f" and {more} more" if more else "")
            said.append(f"{named} ({reason})")
        verb = "has" if len(self.without_sample) == 1 else "have"
        cases = counted(self.cases, "case")
        return f"{dataset}: {len(self.without_sample)} of {cases} {verb} no sample: {'; '.join(said)}."


Tallied = Callable[[CaseTally], None]
"""Is told which cases of a dataset gave no sample."""


def too_small(min_pixels: int) -> str:
    """The reason of a case all of whose segments are smaller than that."""
    return f"segment below min_pixels = {min_pixels}"


def not_drawn(max_samples: int | None) -> str:
    """The reason of a case none of whose samples was drawn."""
    return f"not drawn for max_samples = {max_samples}"
