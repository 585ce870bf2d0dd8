"""YAML read safely, and what is wrong with it said in the reader's terms."""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from medsegdist.data.layouts._paths import DIRECTORY
from medsegdist.data.yaml_words import expected_and_found, found_value
from medsegdist.errors import ManifestError
from medsegdist.words import sentence

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_MOST_VALUES = 100_000
_Model = typing.TypeVar("_Model", bound=BaseModel)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: YAML's own rule keeps the last one silently.

    Keys are compared as they are written, before a merge (`<<: *defaults`) brings in those that may be overridden.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' is given twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: the file; read with a safe loader, so it can make plain values only.

    Raises:
        ManifestError: the file is missing, is no YAML, gives a key twice, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise ManifestError(_missing(path)) from error
    except IsADirectoryError as error:
        raise ManifestError(
            f"{path}: expected a YAML file, found a folder; name a YAML file that lies in it."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ManifestError(f"{path}{place}: not valid YAML: {_yaml_problem(error)}.") from error
    # What PyYAML lets out where a value cannot be what its form or its tag says: 2001-99-99, !!bool maybe, [[[...
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid YAML: {type(error).__name__}: {str(error)[:200]}.") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: expected a mapping of keys to values, found {found_value(content)}.")
    # A few lines can stand for more values than any memory can hold, and every check and message would write them out.
    if _written_out(content, {}) > _MOST_VALUES:
        raise ManifestError(f"{path}: its aliases (*) stand for more than {_MOST_VALUES} values; write them out.")
    return content


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What PyYAML found, in words for somebody who has not read YAML's grammar, and what to do where that is known."""
    problem = str(getattr(error, "problem", None) or error)
    expected, _, found = problem.partition(", but found ")
    blocks = ("'<block mapping start>'", "'<block sequence start>'", "'-'", "'?'")
    if expected in ("expected <block end>", "expected '<document start>'") and found in blocks:
        return "the indentation of this line differs from that of its neighbors; line it up with them"
    if problem == "mapping values are not allowed here":
        return (
            "this line has a key where none can be; give it the indentation of its neighbors, or put a text that holds "
            "': ' in quotes"
        )
    return f"{problem}; indent by spaces, as YAML takes no tabs" if "'\\t'" in problem else problem


def _missing(path: Path) -> str:
    """What was looked for, from where, and what it was probably meant to be."""
    start = f"{path}: expected a YAML file here, found none; the current folder is {Path.cwd()}"
    if not path.parent.is_dir():
        return f"{start}, and there is no folder {path.parent}."
    there = [file.name for file in path.parent.iterdir() if file.suffix.lower() in (".yaml", ".yml")]
    return f"{start}{nearest(path.name, there) or '; correct the path, which is relative to that folder.'}"


def _written_out(value: object, known: dict[int, float]) -> float:
    """How many values `value` has where each alias counts as what it stands for; infinite if it holds itself."""
    if not isinstance(value, (list, dict)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(value)]


def explain(
    error: ValidationError, model: type[BaseModel], file: Path | str, prefix: Sequence[str | int] = ()
) -> list[str]:
    """One line for each problem: file, dotted place, what was expected and what was found.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        file: where the values come from.
        prefix: place of the model within the file.
    """
    return [_line(details, model, file, prefix) for details in error.errors() if not _follows(details)]


def nearest(found: object, allowed: Iterable[str]) -> str:
    """A phrase that names what `found` was probably meant to be; empty if nothing is near."""
    # Nobody means GMM3D to be something else than gmm3d.
    names = {name.casefold(): name for name in allowed}
    near = difflib.get_close_matches(found[:100].casefold(), list(names), n=1) if isinstance(found, str) else []
    close = [names[name] for name in near]
    return f"; did you mean '{close[0]}'?" if close else ""


def _follows(details: ErrorDetails) -> bool:
    """Whether a list is called too short only because entries of it are wrong, which are told of themselves."""
    found = details["input"]
    least = details.get("ctx", {}).get("min_length", 0)
    return details["type"] == "too_short" and isinstance(found, (list, tuple)) and len(found) >= least


def _line(details: ErrorDetails, model: type[BaseModel], file: Path | str, prefix: Sequence[str | int]) -> str:
    places, holder = _walk(details["loc"], model)
    place = ".".join(str(part) for part in (*prefix, *places))
    start = f"{file}: {place}: " if place else f"{file}: "
    if details["type"] == "extra_forbidden":
        allowed = sorted(holder.model_fields) if holder else []
        return f"{start}unknown key{nearest(places[-1], allowed) or '.'} Allowed here: {', '.join(allowed)}."
    return start + sentence(_told(details, is_entry=bool(places) and isinstance(places[-1], int)))


def _told(details: ErrorDetails, *, is_entry: bool) -> str:
    """What was expected and what was found, without the place."""
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return "the list ends before this entry" if is_entry else "this key is missing; it is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing; it says which kind this is"
    if kind == "union_tag_invalid":
        tags = context["expected_tags"]
        key = context["discriminator"].strip("'")
        tag = found.get(key) if isinstance(found, Mapping) else context["tag"]
        hint = nearest(tag, tags.replace("'", "").split(", "))
        return f"expected '{key}' to be one of {tags}, found {found_value(tag)}{hint}"
    if kind == "literal_error":
        hint = nearest(found, context["expected"].replace("'", "").replace(" or ", ", ").split(", "))
        return f"expected {context['expected']}, found {found_value(found)}{hint}"
    key = details["loc"][-1] if details["loc"] else ""
    return expected_and_found(kind, found, context, key) or f"{details['msg']}, found {found_value(found)}"


def _walk(loc: Sequence[str | int], model: type[BaseModel]) -> tuple[list[str | int], type[BaseModel] | None]:
    """The keys of `loc` as they stand in the file, and the model that holds the last one.

    Pydantic puts the tag of a discriminated union into the place; nobody wrote it there.
    """
    places: list[str | int] = []
    holder: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        tagged = [candidate for candidate in candidates if len(candidates) > 1 and _tag(candidate) == part]
        if tagged:
            candidates = tagged
            continue
        if part == "[key]":
            # Pydantic's way to say that the key is wrong and not its value.
            continue
        places.append(part)
        if isinstance(part, int):
            continue
        holder = candidates[0] if candidates else None
        field = holder.model_fields.get(part) if holder else None
        candidates = _models_in(field.annotation) if field else []
    return places, holder


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation)[0] if field else None


def as_mapping(value: object, file: Path, place: str) -> Mapping[str, Any]:
    """`value`, which must be a mapping.

    Args:
        value: what stands in the file.
        file: the file.
        place: dotted place in it.

    Raises:
        ManifestError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise ManifestError(f"{file}: {place}: expected a mapping of keys to values, found {found_value(value)}.")
    return value


def validated(model: type[_Model], content: Mapping[str, Any], file: Path, prefix: Sequence[str | int] = ()) -> _Model:
    """What a mapping of a YAML file describes.

    Args:
        model: what it is meant to be.
        content: the mapping; relative folders in it are relative to the file.
        file: where it stands.
        prefix: where in the file.

    Raises:
        ManifestError: something in it is wrong; every problem is listed with its place.
    """
    try:
        return model.model_validate(content, context={DIRECTORY: file.parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, model, file, prefix))) from error
