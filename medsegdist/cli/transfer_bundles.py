"""`medsegdist transfer --bundle`: the best pre-training for each target as a MONAI Bundle."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsegdist.data.study import Study
    from medsegdist.transfer.study import TransferResult, TransferStudy


def write_bundles(
    study: TransferStudy, result: TransferResult, described: Study, targets: Sequence[str], directory: Path
) -> dict[str, Path]:
    """Writes the pre-training of each target's best source.

    Args:
        study: whose runs have ended.
        result: of these runs.
        described: the same study as its YAML says.
        targets: names.
        directory: where a folder for each target is written.

    Returns:
        The bundle of each target that has a best source.
    """
    from medsegdist.transfer.bundle import BundleContent, export_bundle
    from medsegdist.transfer.winners import winning_pretraining

    written: dict[str, Path] = {}
    # Of all datasets, so that a name does not depend on which targets are asked for.
    names = bundle_names(dataset.name for dataset in described.datasets)
    for target in targets:
        run = winning_pretraining(study, result.gains, target)
        outcome = None if run is None else study.journal.outcome(run.key)
        if run is None or outcome is None:
            continue
        source = described.dataset(run.source or "")
        said = f"Pre-trained on {source.name} by medsegdist, to be fine-tuned on {target}."
        license_of_data = f" License of the training data, as its origin states it: {source.license}."
        content = BundleContent(
            name=source.name,
            description=said + (license_of_data if source.license else ""),
            modality=source.modality,
            grid=described.preprocessing.grid,
            preprocessing=described.preprocessing.model_dump(mode="json"),
            dice=float(outcome["validation_dice"]),
        )
        place = directory / names[target]
        export_bundle(study.assignment(run, "cpu").weights(run.key), run.recipe, content, place)
        written[target] = place
    return written


def bundle_names(datasets: Iterable[str]) -> dict[str, str]:
    """The name of each dataset's folder in OUT/bundles."""
    names = {name: re.sub(r"[^A-Za-z0-9._-]+", "_", name) for name in datasets}
    found = dict(names)
    # Digits of a hash of the name itself, so that a folder does not depend on an order: a and A are one on many disks.
    for digits in (8, 64):
        taken = Counter(folder.casefold() for folder in found.values())
        clashing = [name for name, folder in found.items() if taken[folder.casefold()] > 1]
        hashes = {name: hashlib.sha256(repr(name).encode()).hexdigest()[:digits] for name in clashing}
        found |= {name: f"{names[name]}_{hashes[name]}" for name in clashing}
    return found
