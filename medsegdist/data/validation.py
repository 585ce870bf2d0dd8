"""YAML files of anybody: plain values only, with what YAML passes over in silence refused, and what is wrong with them.

Of content that is not what a model describes, pydantic's messages say why, with their place and what was found.
"""

from __future__ import annotations

import re
import reprlib
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from medsegdist.data.layouts.paths import DIRECTORY
from medsegdist.errors import DataError, ManifestError
from medsegdist.files import read_text
from medsegdist.words import counted, did_you_mean, listed, sentence

if typing.TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = typing.TypeVar("_Model", bound=BaseModel)

MAX_YAML_BYTES = 1 << 20
"""Larger YAML files are refused; every value of one is held several times while it is checked."""

_MOST_VALUES = 50_000

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
_MOST_LINES = 20  # what is no file of ours has thousands of wrong keys
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 80
_SHOWN.maxlist = _SHOWN.maxdict = _SHOWN.maxtuple = 8


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file of at most 1 MiB holds, made of plain values only.

    Keys given twice, merge keys (`<<`) and aliases inside of what an alias stands for are refused: YAML keeps the last
    of two keys silently, and a few lines of nested aliases stand for more values than any memory can hold.

    Raises:
        ManifestError: there is no such file, it is no YAML, or it holds no mapping.
    """
    path = Path(path)
    try:
        content = yaml.load(read_text(path, max_bytes=MAX_YAML_BYTES), Loader=_StrictLoader)
    except FileNotFoundError as error:
        raise ManifestError(_missing(path)) from error
    except DataError as error:
        raise ManifestError(error.problem, error.remedy) from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ManifestError(f"{path}{place}: not valid YAML: {_yaml_problem(error)}.") from error
    # What PyYAML raises for a value that cannot be what its form or its tag says: 2001-99-99, !!bool maybe, [[[...
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid YAML: {type(error).__name__}: {str(error)[:200]}.") from error
    if not isinstance(content, dict):
        found = "an empty file" if content is None else repr(str(content)[:80])
        raise ManifestError(f"{path}: expected a mapping of keys to values, found {found}.")
    return content


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with what :func:`read_yaml` refuses."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.anchored = self.values = 0
        self.sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, yaml.AliasEvent)
        problem = ""
        if is_alias and self.anchored:
            problem = f"the alias *{event.anchor} is part of what another alias stands for; write it out"
        here, before = int(not is_alias and event.anchor is not None), self.values
        self.anchored += here
        node = None if problem else super().compose_node(parent, index)
        self.anchored -= here
        # What an alias stands for counts each time, as it is checked each time.
        self.values += self.sizes.get(event.anchor, 1) if is_alias else 1
        if self.values > _MOST_VALUES:
            problem = f"expected at most {_MOST_VALUES} values, found more; write fewer"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
        if here:
            self.sizes[event.anchor] = self.values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                problem = f"the key '{key.value}' is given twice" if (key.tag, key.value) in seen else ""
                if key.tag == "tag:yaml.org,2002:merge":
                    problem = "merge keys (<<) are not read; write the keys out"
                if problem:
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What PyYAML found, and what to do about the commonest mistakes."""
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t'" in problem:
        return f"{problem}; indent by spaces, as YAML takes no tabs"
    if problem.startswith("expected <block end>"):
        return "the indentation of this line differs from that of its neighbors; line it up with them"
    if problem == "mapping values are not allowed here":
        return f"{problem}; indent the line as its neighbors, or put a text that holds ': ' in quotes"
    return problem


def _missing(path: Path) -> str:
    """What was looked for, from where, and what it was probably meant to be."""
    start = f"{path}: expected a YAML file here, found none; the current folder is {Path.cwd()}"
    if not path.parent.is_dir():
        return f"{start}, and there is no folder {path.parent}."
    there = [file.name for file in path.parent.iterdir() if file.suffix.lower() in (".yaml", ".yml")]
    return f"{start}{did_you_mean(path.name, there) or '; correct the path, which is relative to that folder.'}"


def validate(model: type[_Model], content: object, file: Path) -> _Model:
    """What the content of a file describes, or a ManifestError that lists every problem with its place."""
    try:
        found = model.model_validate(content, context={DIRECTORY: file.parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, model, file, content))) from error
    refuse_booleans(content, found, file)
    return found


def refuse_booleans(content: object, found: object, file: Path, place: str = "") -> None:
    """Refuse true and false where pydantic has taken them for 1 and 0: YAML reads yes, no, on and off so."""
    if isinstance(content, bool) and not isinstance(found, bool):
        raise ManifestError(f"{file}: {place}: expected a number, found {_shown(content)}", "write the number")
    parts: Iterable[tuple[object, object, object]] = ()
    values = vars(found) if isinstance(found, BaseModel) else found
    if isinstance(content, dict) and isinstance(values, dict):
        parts = ((key, part, values.get(key)) for key, part in content.items())
    elif isinstance(content, list) and isinstance(found, tuple):
        parts = zip(range(len(content)), content, found, strict=True)
    for key, part, value in parts:
        refuse_booleans(part, value, file, f"{place}.{key}" if place else str(key))


def explain(
    error: ValidationError,
    model: type[BaseModel],
    file: Path | str,
    content: object = None,
    *,
    known: Mapping[tuple[str | int, ...], str] | None = None,
) -> list[str]:
    """One line for each problem: file, dotted place, what was expected and what was found; several places if equal.

    Entries of lists are called by their names in `content`. Lines of places that are `known` come first, and in place
    of theirs.
    """
    known = known or {}
    equal: dict[str, list[str]] = {}
    for line in "\n".join(known.values()).splitlines():
        equal.setdefault(line.split(": ", 2)[-1], []).append(line)
    rest = 0
    for one in error.errors():
        if one["loc"] in known or _follows(one):
            continue
        # Messages of our own say all that there is to know, wherever they stand: a variable that is not set.
        problem = sentence(_problem(one)) if one["type"] == "value_error" else str(one["loc"])
        if problem not in equal and len(equal) >= _MOST_LINES + len(known):
            rest += 1
            continue
        place, holder = _place(one["loc"], model, content)
        if one["type"] == "extra_forbidden":
            allowed = sorted(holder.model_fields) if holder else []
            said = f"unknown key{did_you_mean(one['loc'][-1], allowed) or '.'} Allowed here: {', '.join(allowed)}."
        else:
            said = sentence(_problem(one))
        equal.setdefault(problem, []).append(": ".join(filter(None, [str(file), place, said])))
    lines = [
        lines[0] if len(lines) == 1 else f"{listed([one.removesuffix(f': {text}') for one in lines], 3)}: {text}"
        for text, lines in equal.items()
    ]
    return [*lines, f"{file}: and {counted(rest, 'more problem')}."] if rest else lines


def _follows(details: ErrorDetails) -> bool:
    """Whether a list is called too short only because entries of it are wrong, which have lines of their own."""
    least = details.get("ctx", {}).get("min_length", 0)
    return details["type"] == "too_short" and isinstance(details["input"], list) and len(details["input"]) >= least


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
    for python, plain in _WORDS.items():
        message = message.replace(python, plain)
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
        kinds = [getattr(one.model_fields.get("kind"), "default", None) for one in candidates]
        tagged = [one for one, kind in zip(candidates, kinds, strict=True) if len(candidates) > 1 and kind == part]
        if tagged or part == "[key]":
            candidates = tagged or candidates
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
