"""Names of files that tell what is in them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

LONGEST = 60
"""Characters of a name in a file's name."""

Label = tuple[str, ...]
"""What a file shows, in parts: ("ranking", "gmm2d", "Liver")."""

_Key = TypeVar("_Key", bound=Hashable)


def file_names(labels: Iterable[Label]) -> dict[Label, str]:
    """The name of each file of a folder by its label, without an ending.

    Args:
        labels: of all files of the folder.
    """
    return distinct({label: "_".join(map(file_name, label)) for label in labels})


def file_name(name: str) -> str:
    """A dataset's or method's name as a part of a file's name: letters, digits, `_` and `-`.

    Spaces become `_`; whatever else is lost of a name is told by digits of its hash. Names that differ in spaces or in
    capitals only may still become one, see :func:`distinct`.

    Args:
        name: any text.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name.strip())[:LONGEST].strip("_")
    if plain == name.replace(" ", "_"):
        return plain
    return f"{plain}_{_hashed(name, 8)}".lstrip("_")


def distinct(names: Mapping[_Key, str]) -> dict[_Key, str]:
    """The same names, with digits of a hash behind those that would be one file, as `a` and `A` are on many disks.

    Args:
        names: of files by what is in them; the hash is that of the keys, so that a name does not depend on an order.
    """
    found = dict(names)
    for digits in (8, 64):
        taken = Counter(name.casefold() for name in found.values())
        clashing = [key for key, name in found.items() if taken[name.casefold()] > 1]
        found |= {key: f"{names[key]}_{_hashed(repr(key), digits)}" for key in clashing}
    return found


def _hashed(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
