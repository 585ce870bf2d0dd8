"""Small parts of messages: numbers with their nouns, lists of names, spelling suggestions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 case", "2 cases"; a plural that is not given adds an s.

    >>> counted(2, "study", "studies")
    '2 studies'
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def sentence(text: str) -> str:
    """`text` with one mark at its end: a full stop unless it is a question.

    >>> sentence("did you mean 'CT'?")
    "did you mean 'CT'?"
    """
    text = text.strip().rstrip(".")
    return text if text.endswith(("?", "!")) else f"{text}."


def listed(names: Sequence[object], most: int = 5, *, quoted: bool = False) -> str:
    """The first of some names, and how many more there are.

    >>> listed(["a", "b", "c", "d"], most=2, quoted=True)
    "'a', 'b' and 2 more"
    """
    shown = ", ".join(f"'{name}'" if quoted else str(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def and_listed(names: Sequence[str]) -> str:
    """All of some names, at least one.

    >>> and_listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def did_you_mean(found: object, allowed: Iterable[str]) -> str:
    """The end of a message that suggests the nearest allowed word; empty if no word is near.

    >>> did_you_mean("GMM3D", ["gmm2d", "gmm3d"])
    "; did you mean 'gmm3d'?"
    """
    names = {name.casefold(): name for name in allowed}
    # Long texts would take difflib minutes.
    near = difflib.get_close_matches(found[:100].casefold(), list(names), n=1) if isinstance(found, str) else []
    return f"; did you mean '{names[near[0]]}'?" if near else ""


def check_choice(what: str, found: object, allowed: Iterable[str]) -> None:
    """Refuse, by ValueError, a word that is not allowed; `what` it chooses, and the nearest one, are in the message."""
    words = list(allowed)
    if found not in words:
        hint = did_you_mean(found, words) or "."
        raise ValueError(f"expected {what} to be one of {', '.join(words)}, found {found!r}{hint}")


def printable(text: str) -> str:
    r"""`text` on one line, with every character that could steer a terminal written out as Python would.

    Names of files may hold anything.

    >>> print(printable("a\tb"))
    a\tb
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
