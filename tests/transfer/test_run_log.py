"""runs.jsonl: whole lines, whatever happens while one is written."""

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.errors import DataError
from medsegdist.transfer.runs import RunLog

DONE = {"kind": "baseline", "status": "done"}
LINES = [
    {"run": "a", **DONE, "dice": 0.5},
    {"run": "b", "kind": "control", "status": "failed"},
    {"run": "a", **DONE, "dice": 0.75},
]
NEW = {"run": "new", **DONE, "dice": 1.0}


def written(path):
    log = RunLog(path)
    for line in LINES:
        log.append(line)
    return path


def test_the_last_line_of_a_run_counts(tmp_path):
    path = written(tmp_path / "deep" / "runs.jsonl")
    for log in (RunLog(path), RunLog(path)):
        assert log.outcome("a") == LINES[2]
        assert log.outcome("b") == LINES[1]
        assert log.outcome("c") is None
    assert [json.loads(line) for line in path.read_text().splitlines()] == LINES


@given(cut=st.integers(0, 200))
def test_a_torn_line_is_cut_off_and_all_others_are_kept(cut, tmp_path_factory):
    path = written(tmp_path_factory.mktemp("torn") / "runs.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    RunLog(path).append(NEW)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*LINES[:whole], NEW]


DAMAGES = [
    *(b"{]", b"[1]", b"{}", b'"run"', b"\xff\xfe", b"3", b"[" * 100_000, b'{"run": "a", "run": NaN}'),
    *(
        json.dumps({"run": "a", **DONE, "dice": 0.5} | change).encode()
        for change in (
            *({"dice": dice} for dice in (None, "0.5", -0.1, 1.1, 1e999, True, [])),
            *({"status": status} for status in (None, "", "ok", 3)),
            *({"kind": "other"}, {"run": 3}, {"hardened": "no"}, {"kind": "pretraining"}),
        )
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage[:70].decode("latin-1"))
def test_damage_before_the_last_line_is_an_error(damage, tmp_path):
    path = written(tmp_path / "runs.jsonl")
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + damage + b"\n" + rest)
    with pytest.raises(DataError, match=r"runs.jsonl: line 2 is damaged; expected how a run ended, as"):
        RunLog(path)


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = written(tmp_path / "runs.jsonl")
    before, log = path.read_bytes(), RunLog(path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.append(NEW)
    assert path.read_bytes() == before
    assert log.outcome("new") is None
