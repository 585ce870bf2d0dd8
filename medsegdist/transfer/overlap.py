"""Test patients of a target that a source holds, too: a pre-training must not see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from medsegdist.data.samples import SegmentationSamples


def seen_test_samples(
    samples: Mapping[str, SegmentationSamples],
    tested: Mapping[str, Sequence[int]],
    sources_of: Callable[[str], Sequence[str]],
) -> dict[str, tuple[int, ...]]:
    """Samples of each source that its pre-training leaves out.

    Several tasks on the same images make such sources: one holds the images that another is tested on. Two datasets
    with an image in common are taken for such a pair; of the source, every patient is left out who has an image, or
    the name, of a test patient of the target. Datasets without a common image may use the same names for other
    patients.

    Args:
        samples: of every target and source, by name, with their own patient ids.
        tested: indices of each target's test samples.
        sources_of: names of the sources of a target.

    Returns:
        Indices by source, in increasing order, of those sources that have any.
    """
    digests = {name: [_digest(one, k) for k in range(len(one))] for name, one in samples.items()}
    left_out: dict[str, set[int]] = {}
    for target, rows in tested.items():
        of_target = set(digests[target])
        images = {digests[target][k] for k in rows}
        names = {samples[target].patient_ids[k] for k in rows}
        for source in sources_of(target):
            if of_target.isdisjoint(digests[source]):
                continue
            owners = samples[source].patient_ids
            patients = names | {owners[k] for k, digest in enumerate(digests[source]) if digest in images}
            left_out.setdefault(source, set()).update(k for k, owner in enumerate(owners) if owner in patients)
    return {source: tuple(sorted(found)) for source, found in left_out.items() if found}


def _digest(samples: SegmentationSamples, k: int) -> bytes:
    return hashlib.blake2b(samples.images[k].cpu().contiguous().numpy().data, digest_size=16).digest()
