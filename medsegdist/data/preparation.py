"""How a dataset is to be prepared to be compared with those of a study, without the study's other datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from medsegdist.data.options import DistanceOptions
from medsegdist.data.preprocessing import Preprocessing
from medsegdist.data.study import Study, read_study
from medsegdist.data.validation import validate
from medsegdist.errors import ManifestError
from medsegdist.words import did_you_mean


class Preparation(BaseModel):
    """What datasets must have in common to be compared.

    Args:
        name: of the study; empty if it has none.
        preprocessing: the one way in which all of them are prepared.
        distance: how distances are computed.
        shared_images: whether a source may hold images or patients of a target.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    preprocessing: Preprocessing
    distance: DistanceOptions = DistanceOptions()
    shared_images: Literal["refuse", "allow"] = "refuse"


def load_preparation(path: str | Path) -> Preparation:
    """Read `preprocessing` and `distance` of a study; its datasets need not be here, nor be named at all.

    Args:
        path: a YAML file of a study, or of these two keys alone.

    Raises:
        ManifestError: the file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    content = read_study(file)
    allowed = sorted(Study.model_fields)
    unknown = [key for key in content if key not in allowed]
    if unknown:
        lines = (f"{file}: {key}: unknown key{did_you_mean(key, allowed) or '.'}" for key in unknown)
        raise ManifestError("\n".join([*lines, f"Allowed here: {', '.join(allowed)}."]))
    return validate(Preparation, {key: content[key] for key in Preparation.model_fields if key in content}, file)
