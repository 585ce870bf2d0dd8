"""Prepared cases on disk: whole or not there, read once, shared by processes, and never trusted when damaged."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from medsegdist.data import prepared_case
from medsegdist.data.collect import ReadCase, load_samples
from medsegdist.data.prepared_case import load_case, source_stamp
from medsegdist.data.problems import SkippedCasesWarning
from medsegdist.errors import DataError
from tests.data.interruptions import FORK, NO_ROOM, started
from tests.data.making import PREPROCESSING, SHAPE, task_manifest, voxels, write_task, write_volume
from tests.data.test_collect import assert_equal
from tests.data.test_dataset import changed


def stored_bytes(cache: Path) -> dict[str, bytes]:
    files = [path for path in cache.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(cache)): path.read_bytes() for path in files}


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The cases that are read in this process."""
    names, prepare = [], ReadCase._prepare

    def call(self, item, name):
        names.append(name)
        return prepare(self, item, name)

    monkeypatch.setattr(ReadCase, "_prepare", call)
    return names


def test_the_second_time_nothing_is_read(tmp_path, reads):
    manifest, cache = task_manifest(write_task(tmp_path / "task")), tmp_path / "cache"
    first = load_samples(manifest, PREPROCESSING, cache=cache)
    assert reads == ["p1_a", "p1_b", "p2_a"]
    again = load_samples(manifest, PREPROCESSING, cache=str(cache))
    assert_equal(again, first)
    assert again.case_summary == first.case_summary
    assert len(load_samples(manifest, changed(max_samples=2), cache=cache)) == 2
    assert len(reads) == 3
    assert_equal(load_samples(manifest, PREPROCESSING), first)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (lambda root, options: os.utime(root / "labelsTr" / "p1_b.nii.gz", ns=(0, 1)), ["p1_b"]),
        (
            lambda root, options: write_volume(
                root / "imagesTr" / "p1_a.nii.gz", np.random.default_rng(9).random(SHAPE)
            ),
            ["p1_a"],
        ),
        (lambda root, options: options.update(preprocessing=changed(seed=1)), ["p1_a", "p1_b", "p2_a"]),
        (
            lambda root, options: options.update(source=task_manifest(root, foreground=(1,))),
            ["p1_a", "p1_b", "p2_a"],
        ),
    ],
)
def test_what_has_changed_is_read_again(tmp_path, reads, change, read):
    root = write_task(tmp_path / "task")
    options = {"source": task_manifest(root), "preprocessing": PREPROCESSING, "cache": tmp_path / "cache"}
    load_samples(**options)
    reads.clear()
    change(root, options)
    samples = load_samples(**options)
    assert reads == read
    assert_equal(samples, load_samples(**options | {"cache": None}))


def test_a_link_to_another_file_of_its_size_and_time_is_read_again(tmp_path):
    root = write_task(tmp_path / "task", ("p1_a",))
    link = root / "imagesTr" / "p1_a.nii.gz"
    found = []
    for k in range(2):
        # Without compression, so that sizes are equal.
        file = write_volume(tmp_path / f"{k}.nii", voxels(k))
        os.utime(file, ns=(0, 1))
        link.unlink()
        link.symlink_to(file)
        found.append(load_samples(task_manifest(root), PREPROCESSING, cache=tmp_path / "cache"))
    assert_equal(found[1], load_samples(task_manifest(root), PREPROCESSING))
    assert not torch.equal(found[0].images, found[1].images)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of change")
def test_files_that_were_exchanged_or_given_their_old_time_are_read_again(tmp_path):
    root = write_task(tmp_path / "task", ("p1_a", "p1_b"))
    one, other = (root / "imagesTr" / f"p1_{name}.nii.gz" for name in "ab")
    content = one.read_bytes(), other.read_bytes()
    length = max(map(len, content))
    for file, part in zip((one, other), content, strict=True):
        file.write_bytes(part.ljust(length, b"\0"))
        os.utime(file, ns=(0, 1))
    options = {"source": task_manifest(root), "preprocessing": PREPROCESSING}
    cached = options | {"cache": tmp_path / "cache"}
    found = [load_samples(**cached)]
    for old, new in ((one, root / "aside"), (other, one), (root / "aside", other)):
        old.rename(new)
    found.append(load_samples(**cached))
    assert_equal(found[1], load_samples(**options))
    one.write_bytes(content[0].ljust(length, b"\0"))
    os.utime(one, ns=(0, 1))
    found.append(load_samples(**cached))
    assert_equal(found[2], load_samples(**options))
    assert not torch.equal(found[0].images, found[1].images)
    assert not torch.equal(found[1].images, found[2].images)


def test_another_version_reads_again(tmp_path, monkeypatch, reads):
    manifest = task_manifest(write_task(tmp_path / "task"))
    load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    monkeypatch.setattr(prepared_case, "version", lambda name: "99.0")
    load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    assert len(reads) == 6


def test_bad_cases_are_not_cached_and_are_skipped_again(tmp_path):
    root = write_task(tmp_path / "task")
    (root / "imagesTr" / "p1_b.nii.gz").write_bytes(b"")
    for _ in range(2):
        with pytest.warns(SkippedCasesWarning, match=r"left out 1 bad case:\n  case 'p1_b': image .*the file is empty"):
            samples = load_samples(task_manifest(root), PREPROCESSING, cache=tmp_path / "cache", on_bad_case="skip")
        assert samples.case_ids == ("p1_a", "p1_a", "p2_a", "p2_a")
    assert len(stored_bytes(tmp_path / "cache")) == 2


def test_no_changed_byte_goes_unnoticed(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "task", ("p1_a",)))
    first = load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    (file,) = (path for path in (tmp_path / "cache").rglob("*.npz"))
    whole = file.read_bytes()
    case = load_case(file, pixels=True)
    rng = random.Random(0)
    noticed = 0
    for place in rng.sample(range(len(whole)), 150):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = load_case(file, pixels=True)
        except DataError:
            noticed += 1
        else:
            # Bytes that hold nothing, such as the time of a file in the archive.
            assert np.array_equal(found.images, case.images)
            assert np.array_equal(found.masks, case.masks)
            assert (found.case_ids, found.sizes) == (case.case_ids, case.sizes)
    assert noticed > 120
    for content in (b"", whole[:-1], whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"is damaged \((.|\n)*delete the folder .*tiny-\w+ and run again"):
            load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    file.unlink()
    assert_equal(load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache"), first)


def load_sum(root: Path, cache: Path) -> float:
    return float(load_samples(task_manifest(root), PREPROCESSING, cache=cache).images.double().sum())


@pytest.mark.parametrize(("n", "how"), [(5, "kill"), (4, "full")])
def test_a_run_that_ended_early_goes_on_with_what_is_there(tmp_path, reads, n, how):
    root = write_task(tmp_path / "task")
    expected = load_samples(task_manifest(root), PREPROCESSING, cache=tmp_path / "undisturbed")
    process, said = started(lambda: load_sum(root, tmp_path / "cache"), tmp_path / "cache", n, how)
    process.join()
    assert process.exitcode == (-signal.SIGKILL if how == "kill" else 0)
    assert how == "kill" or NO_ROOM in said.get()
    left = stored_bytes(tmp_path / "cache")
    assert len(left) < 3
    reads.clear()
    assert_equal(load_samples(task_manifest(root), PREPROCESSING, cache=tmp_path / "cache"), expected)
    assert len(reads) == 3 - len(left)
    assert stored_bytes(tmp_path / "cache") == stored_bytes(tmp_path / "undisturbed")


def test_two_processes_on_one_cache_get_the_same(tmp_path):
    root = write_task(tmp_path / "task", tuple(f"p{k}_a" for k in range(12)))
    begin = FORK.Barrier(2)
    cache = tmp_path / "cache"
    both = [started(lambda: load_sum(root, cache), cache, begin=begin) for _ in range(2)]
    for process, _ in both:
        process.join()
        assert process.exitcode == 0
    alone = load_samples(task_manifest(root), PREPROCESSING, cache=tmp_path / "alone")
    assert [said.get() for _, said in both] == [float(alone.images.double().sum())] * 2
    assert stored_bytes(tmp_path / "cache") == stored_bytes(tmp_path / "alone")


def test_a_folder_of_files_changes_with_each_of_them(tmp_path):
    (tmp_path / "1.dcm").write_text("a")
    before = source_stamp(str(tmp_path))
    assert source_stamp(str(tmp_path)) == before
    (tmp_path / "1.dcm").write_text("ab")
    assert source_stamp(str(tmp_path)) != before
    assert source_stamp({"scan": 3}) == {"scan": 3}, "a layout may describe what is no file"
