"""runs.jsonl: whole lines, whatever happens while one is written."""

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.errors import DataError
from medsegdist.transfer.runs import RunLog

LINES = [{"run": "a", "status": "done", "dice": 0.5}, {"run": "b", "status": "failed"}, {"run": "a", "dice": 0.75}]


def written(path):
    log = RunLog(path)
    for line in LINES:
        log.append(line)
    return path


def test_the_last_line_of_a_run_counts(tmp_path):
    path = written(tmp_path / "deep" / "runs.jsonl")
    for log in (RunLog(path), RunLog(path)):
        assert log.outcome("a") == {"run": "a", "dice": 0.75}
        assert log.outcome("b") == LINES[1]
        assert log.outcome("c") is None
    assert [json.loads(line) for line in path.read_text().splitlines()] == LINES


@given(cut=st.integers(0, 200))
def test_a_torn_line_is_cut_off_and_all_others_are_kept(cut, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("torn") / "runs.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    RunLog(path).append({"run": "new"})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*LINES[:whole], {"run": "new"}]


@pytest.mark.parametrize("damage", [b"{]", b"[1]", b"{}", b'"run"', b"\xff\xfe", b"3"])
def test_damage_before_the_last_line_is_an_error(damage, tmp_path):
    path = written(tmp_path / "runs.jsonl")
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + damage + b"\n" + rest)
    with pytest.raises(DataError, match=r"runs.jsonl: line 2 is damaged; expected a JSON object with the key 'run'"):
        RunLog(path)


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = written(tmp_path / "runs.jsonl")
    before, log = path.read_bytes(), RunLog(path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.append({"run": "new"})
    assert path.read_bytes() == before
    assert log.outcome("new") is None
