#!/usr/bin/env python
"""Folders of images and masks as a Decathlon task, by medsegdist's own API.

    python scripts/prepare_decathlon_task.py ~/ct "images/*.nii.gz" "masks/*.nii.gz" Task11_Nodules --modality CT

`medsegdist prepare` does the same for every layout, from a YAML file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from medsegdist.data.export import export_task
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.progress import show_progress


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the dataset's folder")
    parser.add_argument("images", help="where images lie in it, with one *")
    parser.add_argument("masks", help="where masks lie in it, with one *")
    parser.add_argument("task", type=Path, help="new folder, named like Task11_Nodules")
    parser.add_argument("--modality", choices=("CT", "MR", "other"), default="other")
    parser.add_argument("--foreground", type=int, nargs="+", help="label values [default: the only one besides 0]")
    parser.add_argument("--patient", help="regular expression with one group that finds the patient in a file's name")
    options = parser.parse_args(arguments)

    layout = FolderLayout(
        root=options.root, images=options.images, masks=options.masks, patient_pattern=options.patient
    )
    manifest = DatasetManifest(
        name=options.root.resolve().name,
        modality=options.modality,
        layout=layout,
        foreground=tuple(options.foreground) if options.foreground else None,
    )
    with show_progress():
        task = export_task(manifest, options.task)
    print(f"{task.directory} is ready; {task.directory / 'dataset.yaml'} names it in a study.")


if __name__ == "__main__":
    main()
