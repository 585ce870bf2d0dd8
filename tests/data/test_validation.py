"""Every key of a study, given every kind of wrong value, is refused in one short line with its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from medsegdist.data.manifest import load_dataset
from medsegdist.data.study import Study, load_study
from medsegdist.data.validation import explain, validate
from medsegdist.errors import ManifestError

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


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


MODELS = {model.__name__: model for model in models_in(Study)}
KEYS = [(model, key) for model in MODELS for key in MODELS[model].model_fields]


@pytest.mark.parametrize(("model", "key"), KEYS)
def test_a_wrong_value_of_any_kind_is_refused_in_one_line(model, key):
    refused = 0
    for value in KINDS.values():
        try:
            MODELS[model].model_validate({key: value})
        except ValidationError as error:
            lines = [
                line
                for line in explain(error, MODELS[model], "a.yaml")
                if not line.endswith("missing; it is required.")
            ]
            refused += bool(lines)
            for line in lines:
                assert line.startswith("a.yaml: ")
                assert line.endswith((".", "?"))
                assert "\n" not in line
                assert len(line) < 600
    # A text takes any text, and a number is no wrong seed; but no key takes a set.
    assert refused >= 1


@pytest.mark.parametrize(
    ("model", "values", "line"),
    [
        (
            "Preprocessing",
            {"grid": 32},
            "grid: expected a list, found 32; write its entries in brackets, as [32, ...].",
        ),
        ("Study", {"targets": "a"}, "targets: expected a list, found 'a'; write its entries in brackets, as ['a']."),
        ("Study", {"name": None}, "name: expected a text, found an empty value."),
        ("Study", {"name": 3}, "name: expected a text, found 3; put it in quotes."),
        ("Study", {"name": False}, "name: expected a text, found false; put it in quotes."),
        ("Study", {"nmae": "a"}, "nmae: unknown key; did you mean 'name'? Allowed here: {}."),
        ("Study", {"shared_images": "alow"}, "shared_images: expected 'refuse' or 'allow', found 'alow'; did you mean"),
        (
            "Preprocessing",
            {"grid": [64, 64], "seed": -1},
            "seed: expected a number greater than or equal to 0, found -1.",
        ),
        ("Preprocessing", {"grid": [64, 64], "percentiles": [1]}, "percentiles.1: the list ends before this entry."),
        ("DatasetManifest", {"layout": {"kind": 3}}, "layout: expected 'kind' to be one of 'decathlon', 'nnunet', "),
        ("DatasetManifest", {"layout": "a"}, "layout: expected a mapping of keys to values"),
        ("DatasetManifest", {"layout": {}}, "layout: the key 'kind' is missing; it says which kind this is."),
        ("DatasetManifest", {"classes": {1: 1}}, "classes.1: expected a text, found 1; put it in quotes."),
        ("DatasetManifest", {"name": "x" * 81}, "name: expected a text that should have at most 80 characters, found "),
    ],
)
def test_what_is_said(model, values, line):
    with pytest.raises(ValidationError) as caught:
        MODELS[model].model_validate(values)
    lines = [one for one in explain(caught.value, MODELS[model], "a.yaml") if "it is required" not in one]
    line = line.format(", ".join(sorted(MODELS[model].model_fields)))
    assert len(lines) == 1
    assert lines[0].startswith(f"a.yaml: {line}")


def test_entries_of_lists_are_called_by_their_names():
    content = {"name": "s", "datasets": [{"name": "lung", "modality": "CT"}, {"modality": 3}, 4], "targets": ["lung"]}
    with pytest.raises(ManifestError) as caught:
        validate(Study, content, Path("/a.yaml"))
    assert str(caught.value).splitlines() == [
        "/a.yaml: preprocessing: this key is missing; it is required.",
        "/a.yaml: datasets.0 ('lung').layout: this key is missing; it is required.",
        "/a.yaml: datasets.1.name: this key is missing; it is required.",
        "/a.yaml: datasets.1.modality: expected 'CT', 'MR' or 'other', found 3.",
        "/a.yaml: datasets.1.layout: this key is missing; it is required.",
        "/a.yaml: datasets.2: expected a mapping of keys to values, found 4.",
    ]


@pytest.mark.parametrize(
    ("values", "place", "found"),
    [
        ({"preprocessing": {"max_samples": True}}, "preprocessing.max_samples", "true"),
        ({"preprocessing": {"grid": [8, True]}}, "preprocessing.grid.1", "true"),
        ({"datasets": [{"foreground": [True]}, {}]}, "datasets.0.foreground.0", "true"),
        ({"datasets": [{}, {"classes": {"a": True}}]}, "datasets.1.classes.a", "true"),
        ({"datasets": [{"window": [False, 2]}, {}]}, "datasets.0.window.0", "false"),
        ({"datasets": [{"layout": {"channel": True}}, {}]}, "datasets.0.layout.channel", "true"),
        ({"transfer": {"seeds": [0, True]}}, "transfer.seeds.1", "true"),
        ({"distance": {"normalize": True}, "transfer": {"pooled": True}}, None, None),
    ],
)
def test_true_and_false_are_no_numbers(tmp_path, values, place, found):
    layout = {"kind": "folder", "root": ".", "images": "i/*.nii", "masks": "m/*.nii"}
    datasets = [
        {"name": name, "modality": "CT"} | given | {"layout": layout | given.get("layout", {})}
        for name, given in zip("ab", values.get("datasets", [{}, {}]), strict=True)
    ]
    content = {"name": "s", "targets": ["a"], **values, "datasets": datasets}
    content["preprocessing"] = {"grid": [8, 8]} | values.get("preprocessing", {})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    if place is None:
        assert load_study(file).transfer.pooled is True
        return
    with pytest.raises(ManifestError, match=rf"study\.yaml: {place}: expected a number, found {found}; write"):
        load_study(file)
    if "datasets" in values:
        dataset = datasets[int(place.split(".")[1])]
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(dataset))
        with pytest.raises(ManifestError, match=rf"dataset\.yaml: {place[11:]}: expected a number, found {found}"):
            load_dataset(tmp_path / "dataset.yaml")
