"""Fingerprints of a preprocessing, and its defaults."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.manifest import Preprocessing


def test_fingerprint_is_the_same_in_another_process():
    code = "from medsegdist.data.preprocessing import Preprocessing; print(Preprocessing(grid=(8, 9)).fingerprint)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == Preprocessing(grid=(8, 9)).fingerprint


@given(
    grid=st.tuples(st.integers(1, 512), st.integers(1, 512)),
    intensity=st.sampled_from(["window", "hounsfield", "zscore"]),
    seed=st.integers(0, 2**63),
    low=st.floats(-2000, 0),
)
def test_fingerprint_survives_json(grid, intensity, seed, low):
    preprocessing = Preprocessing(grid=grid, intensity=intensity, seed=seed, ct_window=(low, low + 1))
    again = Preprocessing.model_validate_json(preprocessing.model_dump_json())
    assert again.fingerprint == preprocessing.fingerprint
    assert len(again.fingerprint) == 16


@pytest.mark.parametrize(("intensity", "delta"), [("window", -1), ("hounsfield", -2048), ("zscore", -6)])
def test_delta_has_the_rules_own_default(intensity, delta):
    assert Preprocessing(grid=(8, 8), intensity=intensity).effective_delta == delta
    assert Preprocessing(grid=(8, 8), intensity=intensity, delta=-9999).effective_delta == -9999
