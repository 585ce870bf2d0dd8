"""Names of files that tell what is in them."""

from __future__ import annotations

import hashlib
import re

LONGEST = 60
"""Characters of a name in a file's name."""


def file_name(name: str) -> str:
    """A dataset's or method's name as a part of a file's name: letters, digits, `_` and `-`.

    Two names never become one: what is lost of a name is told by digits of its hash.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name.strip())[:LONGEST].strip("_")
    if plain == name.replace(" ", "_"):
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("_")
