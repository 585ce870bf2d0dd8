"""The JSON schema of studies and datasets, for editors: pydantic's own, with the words of the docstrings."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.study import Study

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# As in a docstring's "Args:": a name, a colon, and lines that are indented further.
_ARGUMENT = re.compile(r"^(\w+): (.*(?:\n[ ]+.*)*)", re.MULTILINE)


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study's YAML; an entry of its `datasets` is a description or the path of one."""
    schema = _schema_of(Study)
    datasets = schema["properties"]["datasets"]
    file = {"type": "string", "description": "Path of a dataset's YAML or card (.json), relative to this file."}
    datasets["items"] = {"anyOf": [file, datasets["items"]]}
    return schema


def dataset_schema() -> dict[str, Any]:
    """The JSON schema of a dataset's YAML."""
    return _schema_of(DatasetManifest)


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    models = {one.__name__: one for one in _models_in(model)}
    definitions = schema.get("$defs", {})
    for name, part in [(model.__name__, schema), *definitions.items()]:
        _describe(part, models[name])
    manifest = schema if model is DatasetManifest else definitions[DatasetManifest.__name__]
    _allow_single_values(manifest["properties"]["classes"])
    _count_items(schema)
    return {"$schema": DIALECT, **schema}


def _describe(part: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the docstring's sentences in the place of pydantic's titles, which repeat the keys."""
    text = inspect.cleandoc(model.__doc__ or "")
    head, _, tail = text.partition("\nArgs:\n")
    told = {name: _on_one_line(said) for name, said in _ARGUMENT.findall(textwrap.dedent(tail).partition("\n\n")[0])}
    part["description"] = _on_one_line(head.partition("\n\n")[0])
    for key, field in part.get("properties", {}).items():
        field.pop("title", None)
        if key in told:
            field["description"] = told[key]
    # Whoever writes a layout must say its kind, although the model has it as a default.
    kind = part.get("properties", {}).get("kind", {})
    if "const" in kind:
        part["required"] = ["kind", *(key for key in part.get("required", []) if key != "kind")]


def _allow_single_values(classes: dict[str, Any]) -> None:
    """Let one number stand for a list of one, as in `classes: {liver: 1}`; pydantic's schema does not know it."""
    for option in classes["anyOf"]:
        # Which of the two words pydantic uses depends on its version.
        patterns = option.get("patternProperties", {})
        for holder, name in [(option, "additionalProperties"), *((patterns, pattern) for pattern in patterns)]:
            if isinstance(holder.get(name), dict):
                holder[name] = {"anyOf": [{"type": "integer"}, holder[name]]}


def _count_items(part: Any) -> None:
    """Say `minItems` of arrays: where a validator stands between, pydantic says `minLength`, which is for texts."""
    if isinstance(part, dict):
        known = {"array": "minItems", "object": "minProperties"}.get(str(part.get("type")))
        if known and "minLength" in part:
            part[known] = part.pop("minLength")
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _count_items(inner)


def _models_in(annotation: Any, seen: set[Any] | None = None) -> Iterator[type[BaseModel]]:
    """A model, and those that its fields hold."""
    seen = set() if seen is None else seen
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models_in(field.annotation, seen)
    for part in get_args(annotation):
        yield from _models_in(part, seen)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
