"""Simulated patients: organs and lesions drawn from a seed, with no file and no download.

They are ellipsoids from a table, drawn in chance-made variations. Nothing here is real. Lengths are mm: x runs to the
patient's left, y to the back, z to the head. Intensities are HU for the chest and the abdomen, and the arbitrary units
of an MR scanner for the pelvis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from medsegdist.data.layouts.listing import Case

Organ = Literal["lung_tumor", "tuberculoma", "liver", "spleen", "prostate"]
Image = NDArray[np.float32]
Affine = NDArray[np.float64]

AIR = -1000.0
TALL = math.inf  # height of a part that all slices show
_WARP_MM = 2.0


class Part(NamedTuple):
    """An ellipsoid of tissue, painted over the parts before it."""

    name: str  # parts of one name make one organ
    center: tuple[float, float, float]  # x, y, z in mm
    radii: tuple[float, float, float]  # along x, y and z before turning, mm
    value: float
    spread: float = 0.0  # standard deviation of the value between patients
    texture: float = 0.0  # standard deviation within the part
    turn: float = 0.0  # degrees from x toward y
    paired: bool = False  # whether a mirror image is on the other side


CHEST = (
    Part("fat", (0, 5, 0), (165, 122, TALL), -100, 5),
    Part("muscle", (0, 5, 0), (151, 109, TALL), 50, 5, 8),
    *(
        Part("rib", (142 * math.cos(t), 5 + 100 * math.sin(t), 0), (7, 5, TALL), 420, 60, paired=True)
        for t in (-0.8, 0, 0.7)
    ),
    Part("lung", (71, 3, 0), (66, 94, 135), -865, 20, 30, paired=True),
    Part("mediastinum", (0, 0, 0), (26, 78, TALL), 10, 20, 15),
    Part("heart", (18, -26, -55), (58, 46, 62), 55, 25),
    Part("liver", (-66, -8, -140), (60, 78, 62), 75, 15),
    Part("aorta", (22, 46, 0), (12, 12, TALL), 90, 50),
    Part("trachea", (0, 8, 90), (8, 8, 60), -980),
    Part("vertebra", (0, 76, 0), (21, 18, TALL), 260, 40, 60),
)
ABDOMEN = (
    Part("fat", (0, 5, 0), (165, 120, TALL), -100, 5),
    Part("muscle", (0, 5, 0), (150, 104, TALL), 55, 5, 8),
    Part("fat", (0, 0, 0), (138, 90, TALL), -102, 5, 10),
    Part("muscle", (34, 62, 0), (30, 26, TALL), 58, 5, paired=True),
    Part("vertebra", (0, 52, 0), (24, 20, TALL), 280, 40, 60),
    Part("bowel", (52, -36, -75), (52, 30, 60), 45, 20, 40, paired=True),
    Part("kidney", (66, 44, -60), (27, 34, 58), 178, 15, paired=True),
    Part("aorta", (9, 22, 0), (11, 11, TALL), 155, 20),
    Part("vena cava", (-22, 20, 0), (13, 10, TALL), 140, 20),
    Part("stomach", (55, -34, 40), (46, 40, 70), 35, 15),
    Part("gas", (52, -52, 40), (26, 13, 40), -940),
    Part("spleen", (98, 22, 38), (26, 46, 52), 118, 10, 4, 25),
    Part("liver", (-68, -4, 28), (60, 72, 78), 106, 11, 4, 10),
    Part("liver", (-6, -44, 45), (62, 27, 44), 106, 11, 4, -10),
)
PELVIS = (
    Part("skin", (0, 6, 0), (178, 112, TALL), 200),
    Part("fat", (0, 6, 0), (175, 109, TALL), 650, 20, 25),
    Part("gluteus", (76, 80, 0), (58, 27, TALL), 140, 10, 12, -28, paired=True),
    Part("thigh", (122, -18, 0), (22, 40, TALL), 140, 10, 12, -11, paired=True),
    Part("femur", (94, 4, 0), (30, 30, TALL), 45, paired=True),
    Part("femur", (94, 4, 0), (26, 26, TALL), 480, 30, 20, paired=True),
    Part("pubis", (27, -54, 0), (26, 11, TALL), 400, 30, 20, -14, paired=True),
    Part("obturator", (46, 3, 0), (8, 36, TALL), 140, 10, 12, 7, paired=True),
    Part("bladder", (0, -20, 46), (32, 20, 40), 900, 40),
    Part("rectum", (1, 38, 0), (18, 14, TALL), 210, 20),
    Part("gas", (1, 38, 0), (12, 8, TALL), 120, 60),
    Part("prostate", (0, 2, 0), (27, 20, 23), 590, 20, 50),
    Part("prostate", (0, -3, 0), (19, 13, 17), 285, 20, 45),
)


def generator(*key: str | int) -> np.random.Generator:
    """Random numbers that depend on the key alone, such as ("noise", scan, seed)."""
    return np.random.default_rng([crc32(part.encode()) if isinstance(part, str) else part for part in key])


def vary(region: Sequence[Part], rng: np.random.Generator, scale: float) -> list[Part]:
    """The parts of one patient: those of a region, each moved, resized and brightened a bit, pairs on both sides."""
    value = {part.name: float(rng.normal(0, part.spread)) for part in region}  # one for each organ
    parts = []
    for part in region:
        for side in (1, -1) if part.paired else (1,):
            # Tall parts make up the frame of the body, which only grows as a whole.
            move, grow = (rng.normal(0, 2, 3), rng.normal(1, 0.06, 3)) if part.radii[2] < TALL else (0, 1)
            x, y, z = (np.array(part.center) * scale + move).tolist()
            radii = tuple((np.array(part.radii) * scale * grow).tolist())
            parts.append(
                part._replace(
                    center=(side * x, y, z), radii=radii, turn=side * part.turn, value=part.value + value[part.name]
                )
            )
    return parts


def _lesion(organ: str, parts: Sequence[Part], rng: np.random.Generator) -> list[Part]:
    """A lesion as a clump of balls in a lung; a tuberculoma is smoother, in an upper lobe, often with calcium."""
    tumor = organ == "lung_tumor"
    radius = float(np.clip(rng.lognormal(2.95, 0.3), 10, 33) if tumor else np.clip(rng.lognormal(2.35, 0.3), 5, 18))
    lung = [part for part in parts if part.name == "lung"][int(rng.integers(2))]
    side = math.copysign(1, lung.center[0])
    low, high = (-0.3, 0.5) if tumor else (0.3, 0.55)
    # Outward of the middle of the lung, where no heart is.
    place = np.array([side * rng.uniform(0.05, 0.3), rng.uniform(-0.35, 0.5), rng.uniform(low, high)])
    center = np.array(lung.center) + place * lung.radii
    value, texture = (float(rng.normal(42, 12)), 12.0) if tumor else (float(rng.normal(55, 14)), 8.0)
    balls = [(center, 0.85 * radius)]
    for _ in range(int(rng.integers(5, 10)) if tumor else int(rng.integers(0, 4))):
        heading = rng.standard_normal(3)
        small = radius * rng.uniform(0.35, 0.6)
        balls.append((center + heading / np.linalg.norm(heading) * (radius - small), small))
    lesion = [Part(organ, tuple(at.tolist()), (r, r, r), value, texture=texture) for at, r in balls]
    if not tumor and rng.random() < 0.45:
        core = radius * float(rng.uniform(0.4, 0.6))
        lesion.append(Part(organ, tuple(center.tolist()), (core, core, core), float(rng.uniform(300, 700))))
    return lesion


class Plane:
    """The pixels of one patient's slices, all warped a little in one way, so that no organ is a true ellipse."""

    def __init__(self, size: tuple[int, int], pixel_mm: tuple[float, float], rng: np.random.Generator) -> None:
        self.pixel_mm = math.sqrt(pixel_mm[0] * pixel_mm[1])
        self._rows, self._columns = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, pixel_mm, strict=True))
        down, across = (_WARP_MM * smooth_field(rng, size, 45 / self.pixel_mm) for _ in range(2))
        self.y = (self._rows[:, None] + down).astype(np.float32)
        self.x = (self._columns[None] + across).astype(np.float32)
        # How far beyond an ellipse its warped edge fades.
        self._margin = 2 * self.pixel_mm + float(max(np.abs(down).max(), np.abs(across).max()))
        self.texture = smooth_field(rng, size, 6 / self.pixel_mm)

    def paint(
        self, parts: Sequence[Part], z: float, background: float, organ: str = ""
    ) -> tuple[Image, NDArray[np.bool_]]:
        """One slice at height z, (rows, columns) of intensities, and where its topmost part is the organ."""
        image = np.full(self.x.shape, background, dtype=np.float32)
        mask = np.zeros(image.shape, dtype=np.bool_)
        for part in parts:
            flat = 1 - ((z - part.center[2]) / part.radii[2]) ** 2
            if flat <= 0:
                continue
            a, b = (radius * math.sqrt(flat) for radius in part.radii[:2])
            cosine, sine = math.cos(math.radians(part.turn)), math.sin(math.radians(part.turn))
            rows, columns = (
                slice(*np.searchsorted(axis, (middle - reach - self._margin, middle + reach + self._margin)))
                for axis, middle, reach in (
                    (self._rows, part.center[1], math.hypot(a * sine, b * cosine)),
                    (self._columns, part.center[0], math.hypot(a * cosine, b * sine)),
                )
            )
            x, y = self.x[rows, columns] - part.center[0], self.y[rows, columns] - part.center[1]
            far = np.sqrt(((cosine * x + sine * y) / a) ** 2 + ((cosine * y - sine * x) / b) ** 2)
            # An edge fades over one pixel, as partial volume makes it.
            weight = np.clip((1 - far) * (math.sqrt(a * b) / self.pixel_mm) + 0.5, 0, 1)
            image[rows, columns] += weight * (
                part.value + part.texture * self.texture[rows, columns] - image[rows, columns]
            )
            np.copyto(mask[rows, columns], part.name == organ, where=weight >= 0.5)
        return image, mask


def smooth_field(rng: np.random.Generator, size: tuple[int, ...], scale: float) -> Image:
    """(rows, columns) noise of mean 0 and standard deviation about 1 that changes over `scale` pixels."""
    from skimage.transform import resize

    knots = [max(2, round(length / scale) + 1) for length in size]
    # Interpolating averages, and so shrinks.
    return np.asarray(1.4 * resize(rng.standard_normal(knots), size, order=1, mode="edge"), dtype=np.float32)


def scan_ct(image: Image, rng: np.random.Generator, noise_hu: float) -> Image:
    """A slice, (rows, columns), as a CT scanner stores it: blurred, noisy, whole HU from -1024 to 3071."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), 0.7, truncate=2.0)
    # A Gaussian of 0.7 pixels leaves 0.41 of white noise's standard deviation.
    values = gaussian_filter(image, 0.45, truncate=2.5) + noise * np.float32(noise_hu / 0.41)
    return np.asarray(np.clip(np.rint(values), -1024, 3071), dtype=np.float32)


def scan_mr(image: Image, rng: np.random.Generator, noise: float) -> Image:
    """A slice, (rows, columns), as an MR scanner stores it: whole numbers from 0, with Rician noise."""
    from scipy.ndimage import gaussian_filter

    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.rint(np.hypot(gaussian_filter(image, 0.6, truncate=2.5) + real, imaginary)), dtype=np.float32)


def axial_affine(spacing_mm: tuple[float, float, float], size: tuple[int, int], bottom_mm: float = 0.0) -> Affine:
    """(4, 4) from the index of an axial slice, row and column to mm (LPS), the middle of the slice at x = y = 0."""
    step, row, column = spacing_mm
    left, front = -column * (size[1] - 1) / 2, -row * (size[0] - 1) / 2
    return np.array([[0, 0, column, left], [0, row, 0, front], [step, 0, 0, bottom_mm], [0, 0, 0, 1]], dtype=np.float64)


class PhantomLayout(BaseModel, frozen=True, extra="forbid"):
    """Simulated patients with one segmented organ or lesion each; masks and intensities are simulated.

    - "lung_tumor": CT of the chest in HU; an irregular mass of 2 to 7 cm in a lung.
    - "tuberculoma": CT of the chest; a smooth, dense, often calcified nodule of 1 to 4 cm in an upper lobe.
    - "liver", "spleen": CT of the upper abdomen after contrast.
    - "prostate": T2-weighted MR of the pelvis in arbitrary units; the whole gland.

    Slices are spread over the middle four fifths of the organ, and pixels fit to the body (CT) or to some 160 mm (MR).
    A patient does not depend on the other options: `patients: 30` adds ten to `patients: 20`.
    """

    kind: Literal["phantom"] = "phantom"
    organ: Organ
    patients: Annotated[int, Field(ge=1, le=9999)] = 20
    slices: Annotated[int, Field(ge=1, le=500)] = 5  # axial slices of each patient
    # Rows and columns.
    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=32, le=2048)]] = (256, 256)
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def simulates(self) -> str:
        """What is simulated."""
        return "everything"

    def cases(self) -> list[Case]:
        """One case for each patient; nothing is drawn yet."""
        ids = [f"{self.organ}_{number:04d}" for number in range(1, self.patients + 1)]
        return [Case(id=name, patient_id=name, image=number, label=number) for number, name in enumerate(ids, start=1)]

    def load(
        self, item: Mapping[Any, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Any, Any]:
        """An item with "image" and "label" drawn: (1, slices, rows, columns) float32, HU or MR units and 0/1."""
        from medsegdist.data.dicom.series import as_tensor

        organ, number, seed = self.organ, item["image"], self.seed
        rng = generator(organ, number, seed)
        is_mr = organ == "prostate"
        region = PELVIS if is_mr else CHEST if organ in ("lung_tumor", "tuberculoma") else ABDOMEN
        parts = vary(region, rng, scale=float(rng.normal(1, 0.05)))
        if region is CHEST:
            parts += _lesion(organ, parts, rng)
        shown = [part for part in parts if part.name == organ]
        bottom = min(part.center[2] - part.radii[2] for part in shown)
        top = max(part.center[2] + part.radii[2] for part in shown)
        field_mm = float(rng.normal(160, 6)) if is_mr else 2 * parts[0].radii[0] / float(rng.uniform(0.9, 1.0))
        pixel, step = field_mm / max(self.size), 0.8 * (top - bottom) / self.slices
        plane = Plane(self.size, (pixel, pixel), generator("plane", organ, number, seed))
        level, gain = float(rng.uniform(14, 30)), float(rng.uniform(0.7, 1.5))
        images, masks = [], []
        for k in range(self.slices):
            z = (bottom + top) / 2 + (k - (self.slices - 1) / 2) * step
            image, mask = plane.paint(parts, z, 0.0 if is_mr else AIR, organ)
            noise = generator("noise", organ, number, k, seed)
            scan = scan_mr(image * np.float32(gain), noise, 14 * gain) if is_mr else scan_ct(image, noise, level)
            images.append(scan)
            masks.append(mask)
        affine = axial_affine((step, pixel, pixel), self.size)
        return {**item, "image": as_tensor(np.stack(images), affine), "label": as_tensor(np.stack(masks), affine)}
