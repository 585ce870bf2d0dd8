#!/usr/bin/env python
"""Which source to pre-train on, out of datasets that MONAI code has already: no manifest, no study.

    python scripts/monai_workflow.py TARGET_TASK SOURCE_DATALIST.json [SOURCE_DATALIST.json ...]

The target is a Decathlon task; each source is a datalist of MONAI or Auto3DSeg, whose files are in its folder.
Distances read any dataset of items with "image" and "label": here one that is in memory already for training, and plain
ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from medsegdist.transforms import preprocessing_pipeline
from monai.data import CacheDataset, Dataset, load_decathlon_datalist
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from medsegdist import DatasetDistance, EuclideanMetric, GmmMetric, collect, compare_all

KEYS = ("image", "label")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="folder of a Decathlon task")
    parser.add_argument("sources", type=Path, nargs="+", help="datalists with a list 'training'")
    parser.add_argument("--grid", type=int, nargs=2, default=(128, 128), metavar=("ROWS", "COLUMNS"))
    options = parser.parse_args(arguments)

    # One preprocessing for all; its name is what keeps samples that were made in another way from being compared.
    steps = preprocessing_pipeline(grid=options.grid, foreground=(1,))
    transform = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS), *steps.transforms])
    made = f"slices of {options.grid[0]} x {options.grid[1]}"

    datalist = load_decathlon_datalist(options.target / "dataset.json")
    cached = CacheDataset(datalist, transform, num_workers=2, progress=False)
    target = collect(cached, name=options.target.name, preprocessing=made, delta=-1)

    sources = []
    for file in options.sources:
        # Fold 0 is for validation, as Auto3DSeg has it.
        entries = [entry for entry in load_decathlon_datalist(file) if entry.get("fold") != 0]
        sources.append(collect(Dataset(entries, transform), name=file.stem, preprocessing=made, delta=-1))

    distances = {"euclidean": DatasetDistance(EuclideanMetric()), "gmm2d": DatasetDistance(GmmMetric(intensity=False))}
    table = compare_all([target, *sources], distances, targets=[target.name])
    for method in table.methods:
        print(f"{method}, nearest first:")
        for row in table.ranking(target.name, method):
            print(f"  {row.source}: {row.distance:.4g}")


if __name__ == "__main__":
    main()
