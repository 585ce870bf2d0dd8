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

from medsegdist.errors import ManifestError

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_MOST_VALUES = 100_000


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
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ManifestError(f"{path}{place}: not valid YAML: {getattr(error, 'problem', None) or error}.") from error
    # What PyYAML lets out where a value cannot be what its form or its tag says: 2001-99-99, !!bool maybe, [[[...
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid YAML: {type(error).__name__}: {str(error)[:200]}.") from error
    if not isinstance(content, dict):
        raise ManifestError(f"{path}: expected a mapping of keys to values, found {type(content).__name__}.")
    # A few lines can stand for more values than any memory can hold, and every check and message would write them out.
    if _written_out(content, {}) > _MOST_VALUES:
        raise ManifestError(f"{path}: its aliases (*) stand for more than {_MOST_VALUES} values; write them out.")
    return content


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
    return [_line(details, model, file, prefix) for details in error.errors()]


def nearest(found: object, allowed: Iterable[str]) -> str:
    """A phrase that names what `found` was probably meant to be; empty if nothing is near."""
    # Nobody means GMM3D to be something else than gmm3d.
    names = {name.casefold(): name for name in allowed}
    near = difflib.get_close_matches(found[:100].casefold(), list(names), n=1) if isinstance(found, str) else []
    close = [names[name] for name in near]
    return f"; did you mean '{close[0]}'?" if close else ""


def _line(details: ErrorDetails, model: type[BaseModel], file: Path | str, prefix: Sequence[str | int]) -> str:
    places, holder = _walk(details["loc"], model)
    place = ".".join(str(part) for part in (*prefix, *places))
    start = f"{file}: {place}: " if place else f"{file}: "
    kind, found, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = sorted(holder.model_fields) if holder else []
        return f"{start}unknown key{nearest(places[-1], allowed) or '.'} Allowed here: {', '.join(allowed)}."
    if kind == "missing":
        return f"{start}this key is missing; it is required."
    if kind == "union_tag_not_found":
        return f"{start}the key {context['discriminator']} is missing; it says which kind this is."
    if kind == "union_tag_invalid":
        tags = context["expected_tags"]
        hint = nearest(context["tag"], tags.replace("'", "").split(", "))
        return f"{start}expected {context['discriminator']} to be one of {tags}, found '{context['tag']}'{hint or '.'}"
    if kind == "value_error":
        return f"{start}{str(context['error']).rstrip('.')}."
    if kind == "literal_error":
        hint = nearest(found, context["expected"].replace("'", "").replace(" or ", ", ").split(", "))
        return f"{start}expected {context['expected']}, found {_shortened(found)}{hint or '.'}"
    return f"{start}{details['msg'][:1].lower()}{details['msg'][1:]}, found {_shortened(found)}."


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
        raise ManifestError(f"{file}: {place}: expected a mapping of keys to values, found {_shortened(value)}.")
    return value
