"""What a value in a YAML file is called, and what was expected in its place, in words of YAML and not of Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from medsegdist.words import counted

_LONGEST = 80
_MOST_NAMED = 8

# By pydantic's names of its errors. Those with numbers in them are in `_limit`.
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "path_type": "the path of a folder",
    "invalid_key": "a text as key",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "of at most"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least"),
    "too_long": ("max_length", "at most"),
    "string_too_short": ("min_length", "at least"),
    "string_too_long": ("max_length", "at most"),
}


# How many entries a list has that somebody wrote as one number, by its key.
_ENTRIES = {
    "grid": ("(rows, columns), such as [{0}, {0}]", ", or (slices, rows, columns) in 3D"),
    "spacing": ("mm along (rows, columns), such as [{0}, {0}]", ", or along (slices, rows, columns) in 3D"),
    "window": ("(low, high), such as [0, 255]", ""),
    "ct_window": ("(low, high) in HU, such as [-1000, 400]", ""),
    "percentiles": ("(low, high), such as [0.5, 99.5]", ""),
}


def expected_and_found(kind: str, found: Any, context: Mapping[str, Any], key: object = "") -> str:
    """What was expected and what was found; empty for an error that has no words here.

    Args:
        kind: pydantic's name of the error.
        found: the value.
        context: what pydantic tells of it.
        key: under which it stands.
    """
    expected = _EXPECTED.get(kind) or _limit(kind, found, context)
    if not expected:
        return ""
    shown = _length(kind, found, context) or found_value(found)
    return f"expected {expected}, found {shown}{_remedy(kind, found, key)}"


def found_value(value: Any) -> str:
    """What a YAML file has in a place: an empty value, a list, a mapping, or the value itself.

    Args:
        value: as PyYAML reads it.
    """
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{_shortened(value)}'" if value else "an empty text"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        # Python itself refuses to write out a number that is long enough.
        return f"a number of more than {_LONGEST} digits"
    if isinstance(value, (int, float)):
        return _shortened(str(value))
    if isinstance(value, Mapping):
        return f"a mapping with {_keys(value)}" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return _list(value)
    if isinstance(value, (set, frozenset)):
        return "a set"
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    return "binary data" if isinstance(value, bytes) else _shortened(repr(value))


def _list(values: list[Any] | tuple[Any, ...]) -> str:
    if not values:
        return "an empty list"
    plain = all(isinstance(value, (str, int, float)) for value in values)
    if not plain or len(values) > _MOST_NAMED:
        return f"a list of {counted(len(values), 'entry', 'entries')}"
    return f"the list [{_shortened(', '.join(map(_plain, values)))}]"


def _plain(value: object) -> str:
    return _shortened(value) if isinstance(value, str) else found_value(value)


def _keys(value: Mapping[Any, Any]) -> str:
    names = [_plain(key) for key in value]
    more = ", ..." if len(names) > _MOST_NAMED else ""
    return f"the {'key' if len(names) == 1 else 'keys'} {_shortened(', '.join(names[:_MOST_NAMED]))}{more}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _limit(kind: str, found: Any, context: Mapping[str, Any]) -> str:
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"a number {words} {context[key]:g}"
    if kind == "string_pattern_mismatch":
        return f"a text that fits {context['pattern']}"
    if kind not in _LENGTHS:
        return ""
    key, words = _LENGTHS[kind]
    if kind.startswith("string"):
        return f"a text of {words} {counted(context[key], 'character')}"
    if isinstance(found, Mapping):
        return f"a mapping of {words} {counted(context[key], 'key')}"
    return f"a list of {words} {counted(context[key], 'entry', 'entries')}"


def _length(kind: str, found: Any, context: Mapping[str, Any]) -> str:
    """How long a list is where that is the matter; its entries do not help."""
    if kind not in ("too_short", "too_long") or not context.get("actual_length"):
        return f"one of {len(found)}" if kind == "string_too_long" else ""
    return str(context["actual_length"])


def _remedy(kind: str, found: Any, key: object) -> str:
    if kind in ("string_type", "path_type", "invalid_key"):
        if isinstance(found, bool):
            return ", as YAML reads yes, no, on and off; put the word in quotes"
        return "; put it in quotes" if isinstance(found, (int, float, date)) else ""
    if kind == "tuple_type" and isinstance(key, str) and key in _ENTRIES:
        entries, in_3d = _ENTRIES[key]
        kinds = (int,) if key == "grid" else (int, float)
        meant = isinstance(found, kinds) and not isinstance(found, bool) and 0 < found < math.inf
        usual = 64 if key == "grid" else 1
        return f"; write {entries.format(_plain(found) if meant else usual)}{in_3d}"
    if kind == "tuple_type" and isinstance(found, (str, int, float)) and not isinstance(found, bool) and found != "":
        return f"; write its entries in brackets, as [{_plain(found)}]"
    return ""
