"""Mixtures of real pixels: where two seeds do not fit the same one, the spread of the fits says so."""

import subprocess
import sys

import pandas as pd
import pytest

STUDY = """
name: hard to fit
preprocessing: {dimensions: 2, grid: [96, 96], intensity: zscore, min_pixels: 8, max_samples: 200, max_per_case: 4}
targets: [optic discs]
datasets:
"""
DATASETS = {"optic discs": "drions_opticdisc2d", "nuclei": "dsb2018_nuclei_fluo2d", "polyps": "kvasir_polyp2d_train256"}


@pytest.mark.slow
@pytest.mark.realdata
def test_seeds_agree_or_the_spread_shows_it(project_root, data_root, tmp_path):
    text = STUDY
    for name, folder in DATASETS.items():
        layout = f'{{kind: folder, root: "{data_root / folder}", images: "images/*.png", masks: "masks/*.png"}}'
        text += f"  - {{name: {name}, modality: other, foreground: [255], layout: {layout}}}\n"
    (tmp_path / "study.yaml").write_text(text)
    script = [sys.executable, project_root / "scripts" / "mixture_seeds.py", tmp_path / "study.yaml"]
    arguments = ["--out", tmp_path, "--components", "5", "--workers", "1"]
    subprocess.run([*script, *arguments], check=True, capture_output=True)
    table = pd.read_csv(tmp_path / "mixture_seeds.csv")
    assert len(table) == 2 * len(DATASETS)
    planes, with_intensities = (table[table["method"] == method] for method in ("gmm2d", "gmm3d"))
    assert (planes["seed_distance"] < 0.01).all()
    # Both seeds stay within what either fit says of itself.
    assert (with_intensities["seed_distance"] <= with_intensities["fit_spread"].clip(lower=0.01)).all()
