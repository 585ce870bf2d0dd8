"""Which cases gave no sample, and why."""

from __future__ import annotations

import pytest
import torch
from monai.data import Dataset

from medsegdist.data.case_tally import CaseTally
from tests.data.test_collect import collected, item


def tally_of(dataset, **options) -> CaseTally:
    told = []
    collected(dataset, tallied=told.append, **options)
    (tally,) = told
    return tally


def test_cases_without_a_sample_are_told_with_the_reason():
    items = [item(0), item(1, pixels=2), item(2, pixels=0), [item(3, pixels=1), item(3, pixels=6)], []]
    tally = tally_of(Dataset([*items]), min_pixels=3)
    assert tally.cases == 5
    assert tally.without_sample == {
        "c1": "segment below min_pixels = 3",
        "c2": "mask without foreground",
        "4": "mask without foreground",
    }
    assert tally_of([item(0), item(1)]) == CaseTally(2, {})


def test_a_mask_that_the_grid_cuts_off_is_not_called_empty():
    items = [
        item(0),
        item(1, pixels=0, found_labels=torch.tensor([True])),
        item(2, pixels=0, found_labels=torch.tensor([False])),
    ]
    assert tally_of(items, foreground=(1,)).without_sample == {
        "c1": "no foreground left on the grid",
        "c2": "mask without foreground",
    }


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6])
def test_cases_that_max_samples_leaves_out_are_told(most):
    items = [[item(k), item(k)] for k in range(3)]
    told = []
    samples = collected(items, max_samples=most, tallied=told.append)
    assert set(told[0].without_sample) == {"c0", "c1", "c2"} - set(samples.case_ids)
    assert set(told[0].without_sample.values()) <= {f"not drawn for max_samples = {most}"}


def test_a_case_of_several_items_has_a_sample_if_one_of_them_has():
    tally = tally_of([item(0, pixels=1), item(0), item(1, pixels=1), item(1, pixels=1)], min_pixels=3)
    assert (tally.cases, set(tally.without_sample)) == (2, {"c1"})


def test_a_tally_is_said_in_one_line_that_no_name_can_break():
    small, empty = "segment below min_pixels = 10", "mask without foreground"
    assert CaseTally(8, {"Patient3": small}).sentence("Heart") == (
        "Heart: 1 of 8 cases has no sample: Patient3 (segment below min_pixels = 10)."
    )
    many = {f"c{k}": small for k in range(5)} | {"x\n\x1b[2J": empty}
    assert CaseTally(9, many).sentence("Heart") == (
        "Heart: 6 of 9 cases have no sample: c0, c1, c2 and 2 more (segment below min_pixels = 10); "
        "x\\n\\x1b[2J (mask without foreground)."
    )
    assert CaseTally(9, many).reasons == {small: 5, empty: 1}
    assert CaseTally(9).sentence("Heart") == ""
