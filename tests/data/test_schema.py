"""The JSON schema for editors agrees with what `load_study` takes and refuses."""

from __future__ import annotations

import copy
import re

import pytest
import yaml

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.schema import dataset_schema, study_schema
from medsegdist.data.study import Study, load_study
from medsegdist.errors import ManifestError

STUDY, DATASET = study_schema(), dataset_schema()
TYPES = {
    "string": str,
    "object": dict,
    "array": list,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
# All that the schemas use; what only explains a value is skipped.
EXPLAINING = {"title", "description", "default", "format", "discriminator", "$schema", "$defs"}


def fits(value, schema, root):
    """Whether a value fits a JSON schema, by the rules of the standard for the words that occur here."""
    return all(_fits(value, word, told, schema, root) for word, told in schema.items() if word not in EXPLAINING)


def _fits(value, word, told, schema, root):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match word:
        case "$ref":
            return fits(value, root["$defs"][told.removeprefix("#/$defs/")], root)
        case "type":
            return isinstance(value, TYPES[told]) and (told == "boolean" or not isinstance(value, bool))
        case "anyOf":
            return any(fits(value, one, root) for one in told)
        case "oneOf":
            return sum(fits(value, one, root) for one in told) == 1
        case "enum":
            return value in told
        case "const":
            return value == told
        case "properties":
            return not isinstance(value, dict) or all(fits(value[k], told[k], root) for k in told if k in value)
        case "required":
            return not isinstance(value, dict) or value.keys() >= set(told)
        case "additionalProperties":
            if told is False:
                return not isinstance(value, dict) or set(value) <= set(schema["properties"])
            extra = [one for key, one in value.items() if key not in schema.get("properties", {})]
            return all(fits(one, told, root) for one in extra)
        case "patternProperties":
            return all(fits(one, part, root) for p, part in told.items() for k, one in value.items() if re.search(p, k))
        case "propertyNames":
            return not isinstance(value, dict) or all(fits(key, told, root) for key in value)
        case "items":
            return not isinstance(value, list) or all(
                fits(one, told, root) for one in value[len(schema.get("prefixItems", ())) :]
            )
        case "prefixItems":
            return all(fits(one, part, root) for one, part in zip(value, told, strict=False))
        case "minItems" | "minProperties":
            return not isinstance(value, (list, dict)) or len(value) >= told
        case "maxItems":
            return not isinstance(value, list) or len(value) <= told
        case "minLength":
            return not isinstance(value, str) or len(value) >= told
        case "maxLength":
            return not isinstance(value, str) or len(value) <= told
        case "pattern":
            return not isinstance(value, str) or re.search(told, value) is not None
        case "minimum":
            return not number or value >= told
        case "maximum":
            return not number or value <= told
        case "exclusiveMinimum":
            return not number or value > told
        case "exclusiveMaximum":
            return not number or value < told
    raise AssertionError(f"a word that this test does not know: {word}")


def shipped(project_root):
    return sorted((project_root / "data_manifests").glob("*.yaml"))


def test_every_shipped_file_fits(project_root):
    for path in shipped(project_root):
        content = yaml.safe_load(path.read_text())
        schema = STUDY if "datasets" in content else DATASET
        assert fits(content, schema, schema), path


LAYOUT = {"kind": "folder", "root": "x", "images": "*.mha", "masks": "m/*.mha"}
GOOD = {
    "name": "tiny",
    "preprocessing": {"grid": [8, 8]},
    "datasets": [{"name": name, "modality": "CT", "layout": LAYOUT, "foreground": [1]} for name in "ab"],
    "targets": ["a"],
}


def changed(place, value):
    content = copy.deepcopy(GOOD)
    *way, last = place
    holder = content
    for key in way:
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
    holder[last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (("description",), "words", True),
        (("datasets", 0, "foreground"), None, True),
        (("distance", "components"), "bic", True),
        (("distance", "components"), 7, True),
        (("preprocessing", "spacing"), [1, 0.5], True),
        (("shared_images",), "allow", True),
        (("datasets", 0), {"name": "a", "modality": "CT", "layout": {"kind": "card", "file": "a.json"}}, True),
        (("datasets", 0), {"name": "a", "modality": "CT", "layout": {"kind": "card", "root": "a.json"}}, False),
        (("transfer", "network"), {"kind": "unet"}, True),
        (("sorces",), ["b"], False),
        (("datasets", 0, "modalty"), "CT", False),
        (("datasets", 0, "modality"), "ct", False),
        (("datasets", 0, "foreground"), [], False),
        (("datasets", 0, "layout", "kind"), "foldr", False),
        (("datasets", 0, "layout", "mask"), "x", False),
        (("preprocessing", "min_pixels"), 0, False),
        (("preprocessing", "dimensions"), 4, False),
        (("distance", "p"), 0.5, False),
        (("targets",), [], False),
    ],
)
def test_the_schema_and_the_loader_agree(tmp_path, place, value, expected):
    content = changed(place, value)
    assert fits(content, STUDY, STUDY) is expected
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    if expected:
        load_study(path)
    else:
        with pytest.raises(ManifestError):
            load_study(path)


@pytest.mark.parametrize(("classes", "expected"), [({"a": 1, "b": [2, 3]}, True), ({}, False), ({"a": "b"}, False)])
def test_classes_by_a_number_or_several(classes, expected):
    content = {"name": "a", "modality": "CT", "layout": LAYOUT, "classes": classes}
    assert fits(content, DATASET, DATASET) is expected


def test_a_dataset_of_a_study_may_be_a_path_and_a_layout_needs_its_kind():
    content = copy.deepcopy(GOOD) | {"datasets": ["a.yaml", "b.yaml"]}
    assert fits(content, STUDY, STUDY)
    content = copy.deepcopy(GOOD)
    del content["datasets"][0]["layout"]["kind"]
    assert not fits(content, STUDY, STUDY)


def test_every_key_of_studies_and_datasets_is_explained():
    for schema, model in ((STUDY, Study), (DATASET, DatasetManifest), (STUDY["$defs"]["Preprocessing"], None)):
        explained = {key for key, field in schema["properties"].items() if field.get("description")}
        assert explained == set(schema["properties"])
        assert model is None or explained == set(model.model_fields)
