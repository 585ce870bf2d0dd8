"""Options that are one of a few words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def check_choice(what: str, found: object, allowed: Iterable[str]) -> None:
    """Refuses a word that is none of those allowed.

    Args:
        what: what the word chooses, for the message.
        found: the word.
        allowed: the words there are.

    Raises:
        ValueError: it is none of them; the message names the nearest one.
    """
    words = list(allowed)
    if found not in words:
        close = difflib.get_close_matches(found[:100], words, n=1) if isinstance(found, str) else []
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"expected {what} to be one of {', '.join(words)}, found {found!r}{hint}")


def check_count(what: str, found: object, rules: Iterable[str] = ()) -> None:
    """Refuses what is neither a number >= 1 nor the name of a rule that chooses one.

    Args:
        what: what is counted, in the singular.
        found: the number, or the rule.
        rules: the rules there are.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(found, int) and not isinstance(found, bool):
        if found < 1:
            raise ValueError(f"expected at least 1 {what}, found {found}.")
    else:
        check_choice(f"the number of {what}s, where it is no number,", found, rules)
