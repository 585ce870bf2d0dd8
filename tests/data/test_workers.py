"""Reading in several processes gives what reading in one gives, or its errors, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from medsegdist.data.collect import collect, load_samples
from medsegdist.errors import DataError
from tests.data.making import PREPROCESSING, task_manifest, write_task
from tests.data.test_collect import assert_equal
from tests.data.test_collect import item as collect_item

GRID = (40, 50)
item = partial(collect_item, pixels=60, grid=GRID)


@dataclass
class Items:
    """A dataset that is made as it is read, by a function of the index that processes can load."""

    n: int
    make: Callable[[int], object]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> object:
        return self.make(k)


def uneven(k: int) -> object:
    """The first ones take longest; some are lists, and some samples are too small."""
    time.sleep(0.05 if k % 4 == 0 else 0)
    return [item(k), item(100 + k, pixels=k)] if k % 3 == 0 else item(k)


def with_bad_ones(k: int) -> object:
    if k == 2:
        raise KeyError("not what you think")
    if k == 5:
        return item(k, grid=(3, 4))
    return {"image": 1} if k == 7 else item(k)


def full_disk(k: int) -> object:
    if k == 3:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return item(k)


def collected(dataset, workers, **options):
    return collect(dataset, **{"name": "tiny", "workers": workers} | options)


def test_any_number_of_workers_gives_the_same_samples():
    one, two = (collected(Items(17, uneven), workers, max_samples=12, min_pixels=5) for workers in (1, 2))
    assert len(one) == 12
    assert_equal(two, one)


def test_all_bad_cases_are_listed_in_order():
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError) as caught:
            collected(Items(9, with_bad_ones), workers)
        messages.append(str(caught.value))
    assert [line.split(":")[0].strip() for line in messages[0].splitlines()] == [
        "dataset 'tiny'", "case '2'", "case '5'", "case '7'"
    ]  # fmt: skip
    assert messages[1] == messages[0]


def test_files_are_read_alike(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "task"))
    assert_equal(load_samples(manifest, PREPROCESSING, workers=2), load_samples(manifest, PREPROCESSING))
    next((tmp_path / "task" / "imagesTr").iterdir()).write_bytes(b"damaged")
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError) as error:
            load_samples(manifest, PREPROCESSING, workers=workers)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


# It comes last: it ends the processes, which are then started again.
def test_the_machines_trouble_comes_through():
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        collected(Items(9, full_disk), 2, on_bad_case="skip")
    assert caught.value.errno == errno.ENOSPC
