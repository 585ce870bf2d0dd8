"""What prepared samples are stored under: a name that changes with all that they are made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from importlib.metadata import version
from pathlib import Path

from medsegdist.data.case import Case
from medsegdist.data.collect import OnBadCase
from medsegdist.data.itk import detached_data
from medsegdist.data.manifest import DatasetManifest, Preprocessing


def cache_name(
    manifest: DatasetManifest, preprocessing: Preprocessing, cases: list[Case], on_bad_case: OnBadCase
) -> str:
    """Name of a directory that another content of manifest, preprocessing or files never gets.

    Args:
        manifest: which dataset.
        preprocessing: how it is prepared.
        cases: all of its cases.
        on_bad_case: "raise" or "skip".
    """
    content = {
        # Another version may draw or prepare the same cases in another way.
        "medsegdist": version("medsegdist"),
        "manifest": manifest.model_dump(mode="json"),
        "preprocessing": preprocessing.fingerprint,
        "on_bad_case": on_bad_case,
        "cases": [[case.id, case.patient_id, source_stamp(case.image), source_stamp(case.label)] for case in cases],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', manifest.name)}-{digest[:20]}"


def source_stamp(source: object) -> object:
    """What changes when the content of an image's source changes; a description that is no file is its own stamp.

    Args:
        source: the `image` or `label` of a Case.
    """
    if not isinstance(source, (str, os.PathLike)):
        return source
    path = Path(source)
    try:
        if path.is_dir():
            return [str(path), [source_stamp(part) for part in sorted(path.iterdir())]]
        status = path.stat()
    except OSError:
        return [str(path), None]
    # An .mhd is a header only, and its voxels change without it.
    data = detached_data(path)
    return [str(path), status.st_size, status.st_mtime_ns, *([] if data is None else [source_stamp(data)])]
