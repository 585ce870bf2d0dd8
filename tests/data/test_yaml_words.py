"""Every key of a study and of a dataset, given every kind of wrong value, is refused in words of YAML."""

from __future__ import annotations

import re
from datetime import date
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from medsegdist.data.study import Study
from medsegdist.data.yaml_errors import explain
from medsegdist.data.yaml_words import found_value

KINDS = {
    "empty": None,
    "text": "words",
    "empty text": "",
    "long text": "x" * 300,
    "empty list": [],
    "list of numbers": [1, 2, 3],
    "list of anything": ["a", None, {}],
    "empty mapping": {},
    "mapping": {"a": 1},
    "mapping of numbers": {1: 2},
    "mapping of a wrong kind": {"kind": None},
    "whole number": 3,
    "negative number": -3,
    "zero": 0,
    "fraction": 1.5,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "more digits than Python writes": 16**5000,
    "true": True,
    "date": date(2001, 1, 1),
    "binary": b"x",
    "set": {1},
}


def _models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models_in(field.annotation)
    for part in get_args(annotation):
        yield from _models_in(part)


LAYOUTS = "'decathlon', 'nnunet', 'datalist', 'folder', 'dicom', 'lidc', 'phantom', 'card'"
KEYS = [(model, key) for model in dict.fromkeys(_models_in(Study)) for key in model.model_fields]
OF_PYTHON = re.compile(
    r"NoneType|\bNone\b|\bTrue\b|\bFalse\b|\btuple|\bdict|\bstr\b|string|\bint\b|integer|\bfloat\b|\bbool|instance of|"
    r"\bobject\b|[Ii]nput|valid\b|\bitems?\b|discriminator|class '|datetime|\binf\b(?<!\.inf)|\bnan\b(?<!\.nan)|"
    r"\w+Error|Exceeds|unable"
)
SAID = re.compile(
    r"(expected .+, found .+|unknown key.* Allowed here: .+|the key 'kind' is missing; it says which kind this is|"
    r"this key is missing; it is required|the list ends before this entry|the path is empty|0 is the background; .+|"
    r"not a regular expression: .+|a label value is named twice .+|.*expected .+ found .+|.*expected .+)[.?]"
)


@pytest.mark.parametrize(("model", "key"), KEYS, ids=[f"{model.__name__}.{key}" for model, key in KEYS])
def test_a_wrong_value_of_any_kind_is_told_in_words_of_yaml(model, key):
    refused = 0
    for kind, value in KINDS.items():
        try:
            model.model_validate({key: value})
        except ValidationError as error:
            lines = [line for line in explain(error, model, "a.yaml") if not line.endswith("missing; it is required.")]
            refused += bool(lines)
            for line in lines:
                assert "\n" not in line
                assert len(line) < 600
                place, said = re.fullmatch(r"a\.yaml: (?:([\w.-]+): )?(.*)", line).groups()
                assert OF_PYTHON.search(said) is None, (kind, line)
                assert SAID.fullmatch(said), (kind, line)
                if "found" in said and place is None:
                    # A rule of the whole model names its keys itself.
                    assert ": expected" in said or "`" in said or "'" in said, (kind, line)
    # A text takes any text, and a number is no wrong seed; but no key takes a set.
    assert refused >= 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "an empty value"),
        (True, "true"),
        ("", "an empty text"),
        ("a", "'a'"),
        (3, "3"),
        (1.5, "1.5"),
        (float("-inf"), "-.inf"),
        (float("nan"), ".nan"),
        ([], "an empty list"),
        ([1, "a", False], "the list [1, a, false]"),
        ([None], "a list of 1 entry"),
        (list(range(30)), "a list of 30 entries"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping with the key a"),
        ({"a": 1, 2: 3}, "a mapping with the keys a, 2"),
        (dict.fromkeys("abcdefghijk"), "a mapping with the keys a, b, c, d, e, f, g, h, ..."),
        (date(2001, 1, 1), "the date 2001-01-01"),
        (b"x", "binary data"),
        ({1}, "a set"),
        pytest.param(16**5000, "a number of more than 80 digits", id="long number"),
        ("x" * 100, f"'{'x' * 77}...'"),
    ],
)
def test_what_a_value_is_called(value, told):
    assert found_value(value) == told


def line_of(model_name, **values):
    (model,) = (one for one in dict.fromkeys(_models_in(Study)) if one.__name__ == model_name)
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return [line for line in explain(caught.value, model, "a.yaml") if "it is required" not in line]


@pytest.mark.parametrize(
    ("model", "values", "lines"),
    [
        (
            "Study",
            {"targets": "a"},
            ["a.yaml: targets: expected a list, found 'a'; write its entries in brackets, as [a]."],
        ),
        (
            "Preprocessing",
            {"grid": 48},
            [
                (
                    "a.yaml: grid: expected a list, found 48; write (rows, columns), such as [48, 48], or "
                    "(slices, rows, columns) in 3D."
                )
            ],
        ),
        (
            "Preprocessing",
            {"grid": "large"},
            [
                (
                    "a.yaml: grid: expected a list, found 'large'; write (rows, columns), such as [64, 64], or "
                    "(slices, rows, columns) in 3D."
                )
            ],
        ),
        (
            "Preprocessing",
            {"grid": [64, 64], "spacing": 0.5},
            [
                (
                    "a.yaml: spacing: expected a list, found 0.5; write mm along (rows, columns), such as [0.5, 0.5], "
                    "or along (slices, rows, columns) in 3D."
                )
            ],
        ),
        (
            "DatasetManifest",
            {"window": 255},
            ["a.yaml: window: expected a list, found 255; write (low, high), such as [0, 255]."],
        ),
        ("Study", {"name": None}, ["a.yaml: name: expected a text, found an empty value."]),
        ("Study", {"name": 3}, ["a.yaml: name: expected a text, found 3; put it in quotes."]),
        (
            "Study",
            {"name": False},
            ["a.yaml: name: expected a text, found false, as YAML reads yes, no, on and off; put the word in quotes."],
        ),
        ("Study", {"targets": [1]}, ["a.yaml: targets.0: expected a text, found 1; put it in quotes."]),
        ("Preprocessing", {"grid": [64, 64], "seed": -1}, ["a.yaml: seed: expected a number of at least 0, found -1."]),
        (
            "Preprocessing",
            {"grid": [64, 64], "percentiles": [1]},
            ["a.yaml: percentiles.1: the list ends before this entry."],
        ),
        (
            "Preprocessing",
            {"grid": [64, 64], "percentiles": [1, 2, 3]},
            ["a.yaml: percentiles: expected a list of at most 2 entries, found 3."],
        ),
        (
            "DistanceOptions",
            {"components": None},
            ["a.yaml: components: expected a number >= 1 or one of bic, elbow, silhouette, found an empty value."],
        ),
        (
            "DistanceOptions",
            {"classes": "gab"},
            ["a.yaml: classes: expected a number >= 1 or one of elbow, bic, gap, found 'gab'; did you mean 'gap'?"],
        ),
        (
            "DatasetManifest",
            {"layout": {"kind": 3}},
            [f"a.yaml: layout: expected 'kind' to be one of {LAYOUTS}, found 3."],
        ),
        ("DatasetManifest", {"layout": "a"}, ["a.yaml: layout: expected a mapping of keys to values, found 'a'."]),
        ("DatasetManifest", {"classes": {1: 1}}, ["a.yaml: classes.1: expected a text, found 1; put it in quotes."]),
        (
            "DatasetManifest",
            {"name": "x" * 81},
            ["a.yaml: name: expected a text of at most 80 characters, found one of 81."],
        ),
    ],
)
def test_what_is_said_in_full(model, values, lines):
    assert line_of(model, **values) == lines
