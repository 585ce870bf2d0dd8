"""Experiments whose outcome is known: a source like the target helps more than one unlike it."""

import numpy as np

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.plan import IntensityScale
from medsegdist.transfer.runs import prepare_study, run_study
from tests.transfer.making import SMALL_DEEPLAB


def two_disks(name: str, *, label: str, patients: int, seed: int) -> SegmentationSamples:
    """A bright disk and a dark one a sample; `label` says which of them is foreground."""
    rng = np.random.default_rng(seed)
    n, size = 2 * patients, 32
    row, column = np.mgrid[:size, :size]
    images = rng.normal(110, 12, (n, size, size))
    masks = np.zeros((n, size, size), dtype=bool)
    for k in range(n):
        for kind, half, brightness in (("bright", 0, 70), ("dark", 1, -70)):
            radius = rng.uniform(3, 6)
            r, c = rng.uniform(radius, size - radius), rng.uniform(radius, size / 2 - radius) + half * size / 2
            disk = (row - r) ** 2 + (column - c) ** 2 <= radius**2
            images[k] += brightness * disk
            if kind == label:
                masks[k] = disk
        if rng.random() < 0.5:
            # Where a disk lies must not say which one it is.
            images[k], masks[k] = images[k, :, ::-1].copy(), masks[k, :, ::-1].copy()
    owners = [str(k // 2) for k in range(n)]
    return SegmentationSamples.from_arrays(name, images.clip(0, 255), masks, case_ids=owners, patient_ids=owners)


def test_a_source_with_the_targets_task_helps_more_than_one_with_another(tmp_path):
    samples = [
        two_disks("target", label="bright", patients=12, seed=0),
        two_disks("near", label="bright", patients=12, seed=1),
        two_disks("far", label="dark", patients=12, seed=2),
    ]
    options = TransferOptions(
        network=SMALL_DEEPLAB,
        steps=60,
        fine_tuning_steps=20,
        validate_every=10,
        batch_size=4,
        learning_rate=3e-3,
        target_cases=2,
        augmentation=None,
        control=False,
        seeds=(0, 1),
    )
    study = prepare_study(
        samples,
        options,
        targets=["target"],
        sources_of=lambda _: ["near", "far"],
        scale=IntensityScale(),
        folder=tmp_path,
    )
    gains = {(gain.source, gain.seed): gain.dice for gain in run_study(study).gains}
    for seed in options.seeds:
        assert gains["near", seed] > gains["far", seed] + 0.2, seed
