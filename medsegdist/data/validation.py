"""What is wrong with the content of a YAML or JSON file: pydantic's messages, with their place and what was found."""

from __future__ import annotations

import re
import reprlib
import typing
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from medsegdist.data.layouts.paths import DIRECTORY
from medsegdist.errors import ManifestError
from medsegdist.words import counted, did_you_mean, listed, sentence

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = typing.TypeVar("_Model", bound=BaseModel)

# Pydantic's messages name types of Python, which a YAML file does not have.
_WORDS = {
    "Input should be": "expected",
    "String should": "expected a text that should",
    "an object": "a mapping of keys to values",
    "valid tuple": "list",
    "valid dictionary": "mapping of keys to values",
    "valid string": "text",
    "valid integer": "whole number",
    "valid number": "number",
    "valid boolean": "true or false",
}
# What is no file of ours has thousands of wrong keys.
_MOST_LINES = 20
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 80
_SHOWN.maxlist = _SHOWN.maxdict = _SHOWN.maxtuple = 8


def validate(model: type[_Model], content: object, file: Path) -> _Model:
    """What the content of a file describes.

    Raises:
        ManifestError: something in it is wrong; every problem is listed with its place.
    """
    try:
        return model.model_validate(content, context={DIRECTORY: file.parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, model, file, content))) from error


def explain(
    error: ValidationError,
    model: type[BaseModel],
    file: Path | str,
    content: object = None,
    *,
    known: Mapping[tuple[str | int, ...], str] | None = None,
) -> list[str]:
    """One line for each problem: file, dotted place, what was expected and what was found; several places if equal.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        file: where the values are from.
        content: the values; entries of lists are called by their names if it is given.
        known: lines that come first, of places whose problems are left out.
    """
    known = known or {}
    details = [one for one in error.errors() if one["loc"] not in known and not _follows(one)]
    equal: dict[str, list[str]] = {}
    for line in "\n".join(known.values()).splitlines():
        equal.setdefault(line.split(": ", 2)[-1], []).append(line)
    rest = 0
    for one in details:
        # Messages of our own say all that there is to know, wherever they stand: a variable that is not set.
        problem = sentence(_problem(one)) if one["type"] == "value_error" else str(one["loc"])
        if problem in equal or len(equal) < _MOST_LINES + len(known):
            equal.setdefault(problem, []).append(_line(one, model, file, content))
        else:
            rest += 1
    lines = [
        lines[0] if len(lines) == 1 else f"{listed([one.removesuffix(f': {text}') for one in lines], 3)}: {text}"
        for text, lines in equal.items()
    ]
    return [*lines, f"{file}: and {counted(rest, 'more problem')}."] if rest else lines


def _follows(details: ErrorDetails) -> bool:
    """Whether a list is called too short only because entries of it are wrong, which have lines of their own."""
    least = details.get("ctx", {}).get("min_length", 0)
    return details["type"] == "too_short" and isinstance(details["input"], list) and len(details["input"]) >= least


def _line(details: ErrorDetails, model: type[BaseModel], file: Path | str, content: object) -> str:
    place, holder = _place(details["loc"], model, content)
    start = f"{file}: {place}" if place else str(file)
    if details["type"] == "extra_forbidden":
        allowed = sorted(holder.model_fields) if holder else []
        hint = did_you_mean(details["loc"][-1], allowed) or "."
        return f"{start}: unknown key{hint} Allowed here: {', '.join(allowed)}."
    return f"{start}: {sentence(_problem(details))}"


def _problem(details: ErrorDetails) -> str:
    """What was expected and what was found, without the place."""
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        is_entry = bool(details["loc"]) and isinstance(details["loc"][-1], int)
        return "the list ends before this entry" if is_entry else "this key is missing; it is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing; it says which kind this is"
    if kind in ("too_short", "too_long"):
        bound, key = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        return f"expected at {bound} {counted(context[key], 'entry', 'entries')}, found {context['actual_length']}"
    message, hint = re.sub(" or instance of .*", "", details["msg"]), ""
    if kind == "union_tag_invalid":
        found = found[context["discriminator"].strip("'")]
        message = f"expected {context['discriminator']} to be one of {context['expected_tags']}"
    if kind in ("literal_error", "union_tag_invalid"):
        hint = did_you_mean(found, re.findall("'([^']*)'", context.get("expected") or context["expected_tags"]))
    elif kind in ("string_type", "path_type") and isinstance(found, (bool, int, float, date)):
        # YAML reads yes, no, on, off, numbers and dates where a text was meant.
        hint = "; put it in quotes"
    elif kind == "tuple_type" and isinstance(found, (str, int, float)):
        # Of numbers, most lists have one for each axis or end.
        hint = f"; write its entries in brackets, as [{_shown(found)}{'' if isinstance(found, str) else ', ...'}]"
    elif kind.startswith(("greater", "less")):
        message = message.replace("Input should be", "expected a number")
    for python, yaml in _WORDS.items():
        message = message.replace(python, yaml)
    return f"{message}, found {_shown(found)}{hint}"


def _shown(value: object) -> str:
    """A value of a YAML file, short enough for a message."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return _SHOWN.repr(value)
    except ValueError:
        # Python does not write out integers of thousands of digits.
        return "a number that is too long"


def _place(loc: Sequence[str | int], model: type[BaseModel], content: object) -> tuple[str, type[BaseModel] | None]:
    """The dotted place as it is in the file, and the model that holds its last key.

    Entries of lists are called by their names, too: nobody counts them from 0. Pydantic puts the tag of a discriminated
    union into the place, and "[key]" after a key that is itself wrong.
    """
    places: list[str] = []
    holder: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        tagged = [candidate for candidate in candidates if len(candidates) > 1 and _tag(candidate) == part]
        if tagged:
            candidates = tagged
        if tagged or part == "[key]":
            continue
        try:
            content = content[part]  # type: ignore[index]
        except (LookupError, TypeError):
            content = None
        name = content.get("name") if isinstance(part, int) and isinstance(content, Mapping) else None
        places.append(f"{part} ({_shown(name)})" if isinstance(name, str) and name else str(part)[:80])
        if isinstance(part, str):
            holder = candidates[0] if candidates else None
            field = holder.model_fields.get(part) if holder else None
            candidates = _models_in(field.annotation) if field else []
    return ".".join(places), holder


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation)[0] if field else None
