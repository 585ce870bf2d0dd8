"""One invented patient of each kind, from a seed to a stack of slices with its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from medsegdist.data.simulation.abdomen import Abdomen, AbdominalOrgan
from medsegdist.data.simulation.canvas import Canvas
from medsegdist.data.simulation.lesions import Lesion
from medsegdist.data.simulation.pelvis import NOTHING, Pelvis
from medsegdist.data.simulation.randomness import generator
from medsegdist.data.simulation.scanner import AIR, scan_ct, scan_mr
from medsegdist.data.simulation.thorax import Thorax


@dataclass(frozen=True, slots=True)
class Stack:
    """How the slices of an examination lie.

    Args:
        slices: how many.
        size: rows and columns.
        spacing_mm: between slices, rows and columns; None lets the examination choose.
    """

    slices: int
    size: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None

    def spacing(self, extent_mm: float, field_mm: float) -> tuple[float, float, float]:
        """Spacing in mm for an organ `extent_mm` high and a field of view `field_mm` wide."""
        if self.spacing_mm is not None:
            return self.spacing_mm
        pixel = field_mm / max(self.size)
        return 0.8 * extent_mm / self.slices, pixel, pixel

    def heights(self, bottom: float, top: float, step: float) -> list[float]:
        """Height z (mm) of each slice, from the feet up, around the middle of the organ."""
        return [(bottom + top) / 2 + (k - (self.slices - 1) / 2) * step for k in range(self.slices)]


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """A simulated stack of axial slices.

    Args:
        image: (slices, rows, columns) float32, HU or MR units; from the feet up, rows to the back, columns to the left.
        mask: (slices, rows, columns) bool.
        spacing_mm: between slices, rows and columns.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


def examine_chest(kind: str, number: int, seed: int, stack: Stack) -> Examination:
    """A chest CT with one lesion.

    Args:
        kind: "lung_tumor" or "tuberculoma".
        number: of the patient.
        seed: drives everything.
        stack: how the slices lie.
    """
    rng = generator(kind, number, seed)
    thorax = Thorax.draw(rng)
    tumor = kind == "lung_tumor"
    diameter = float(np.clip(rng.lognormal(3.7, 0.32), 20, 70) if tumor else np.clip(rng.lognormal(3.05, 0.32), 10, 40))
    level = float(rng.uniform(0.32, 0.84) if tumor else rng.uniform(0.66, 0.86))
    center = (*_place_in_lung(thorax, level, diameter, rng, upper_lobe=not tumor), level * thorax.height)
    lesion = Lesion.draw(
        rng,
        center,
        diameter,
        lumps=int(rng.integers(5, 10)) if tumor else int(rng.integers(0, 4)),
        strands=int(rng.integers(6, 20)) if tumor else 0,
    )
    # Blood reaches a tumor, and after contrast brightens it; a tuberculoma is a scar around caseous matter.
    value = float(rng.normal(30, 10)) + 0.25 * (thorax.blood_hu - 40) if tumor else float(rng.normal(52, 14))
    calcified = not tumor and rng.random() < 0.4
    field = 2 * (thorax.half_width + thorax.wall + thorax.fat) / float(rng.uniform(0.88, 0.96))
    step, row, column = stack.spacing(lesion.bottom_and_top[1] - lesion.bottom_and_top[0], field)
    images, masks = [], []
    for k, z in enumerate(stack.heights(*lesion.bottom_and_top, step)):
        canvas = Canvas(stack.size, (row, column), AIR)
        thickness = min(step, 5.0)
        thorax.paint(canvas, z / thorax.height, thickness, generator("texture", kind, number, seed))
        lung = canvas.label.copy()
        canvas.label[...] = False
        lesion.paint(canvas, z, thickness, value, lung, texture_hu=14 if tumor else 8)
        if calcified:
            _calcify(canvas, lesion, z, generator("calcium", number, seed))
        images.append(scan_ct(canvas, generator("noise", kind, number, k, seed), thorax.noise_hu))
        masks.append(canvas.label)
    return Examination(np.stack(images), np.stack(masks), (step, row, column))


def examine_abdomen(organ: AbdominalOrgan, number: int, seed: int, stack: Stack) -> Examination:
    """An abdominal CT with liver or spleen segmented.

    Args:
        organ: which one.
        number: of the patient.
        seed: drives everything.
        stack: how the slices lie.
    """
    rng = generator(organ, number, seed)
    abdomen = Abdomen.draw(rng)
    bottom, top = (level * abdomen.height for level in abdomen.extent(organ))
    field = 2 * (abdomen.half_width + 15 + abdomen.fat) / float(rng.uniform(0.84, 0.94))
    step, row, column = stack.spacing(top - bottom, field)
    images, masks = [], []
    for k, z in enumerate(stack.heights(bottom, top, step)):
        canvas = Canvas(stack.size, (row, column), AIR)
        abdomen.paint(canvas, z / abdomen.height, organ)
        images.append(scan_ct(canvas, generator("noise", organ, number, k, seed), abdomen.noise_hu))
        masks.append(canvas.label)
    return Examination(np.stack(images), np.stack(masks), (step, row, column))


def examine_pelvis(number: int, seed: int, stack: Stack) -> Examination:
    """A pelvic MR with the prostate segmented.

    Args:
        number: of the patient.
        seed: drives everything.
        stack: how the slices lie.
    """
    rng = generator("prostate", number, seed)
    pelvis = Pelvis.draw(rng)
    # A small field around the gland: prostate protocols ask for 120 to 200 mm.
    step, row, column = stack.spacing(pelvis.height, float(rng.normal(160, 6)))
    images, masks = [], []
    for k, z in enumerate(stack.heights(0.0, pelvis.height, step)):
        canvas = Canvas(stack.size, (row, column), NOTHING)
        pelvis.paint(canvas, z / pelvis.height)
        images.append(scan_mr(canvas, generator("noise", "prostate", number, k, seed), pelvis.noise, pelvis.bias))
        masks.append(canvas.label)
    return Examination(np.stack(images), np.stack(masks), (step, row, column))


def _place_in_lung(
    thorax: Thorax, level: float, diameter: float, rng: np.random.Generator, *, upper_lobe: bool
) -> tuple[float, float]:
    """x, y of a lesion that has lung around it, as far as the lungs are wide enough; mm."""
    canvas = Canvas((120, 120), (3.0, 3.0), AIR)
    thorax.paint(canvas, level, 3.0, rng)
    depth = distance_transform_edt(np.pad(canvas.label, 1))[1:-1, 1:-1] * 3.0
    roomy = depth >= min(0.4 * diameter, 0.8 * float(depth.max()))
    if upper_lobe:
        # Tuberculomas favor the apical and posterior segments.
        behind = roomy & (canvas.y[:, None] > thorax.center[1] - 0.2 * thorax.half_depth)
        roomy = behind if behind.any() else roomy
    rows, columns = np.nonzero(roomy)
    pick = int(rng.integers(len(rows)))
    return float(canvas.x[columns[pick]]), float(canvas.y[rows[pick]])


def _calcify(canvas: Canvas, lesion: Lesion, z: float, rng: np.random.Generator) -> None:
    """Calcium in the middle of a lesion, labeled with it."""
    x, y, middle, radius = lesion.balls[0]
    core = radius * float(rng.uniform(0.3, 0.6))
    if abs(z - middle) < core:
        cut = float(np.sqrt(core**2 - (z - middle) ** 2))
        region = canvas.ellipse((x, y), (cut, cut), softness=1.0)
        within = canvas.label[region.window].astype(np.float32)
        canvas.paint(region, float(rng.uniform(250, 700)), label=True, opacity=within)
