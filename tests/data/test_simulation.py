"""Simulated anatomy: areas by closed form, noise by its statistics, chests by what they must hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.data.simulation.canvas import Canvas
from medsegdist.data.simulation.lesions import Lesion
from medsegdist.data.simulation.randomness import generator, smooth_field
from medsegdist.data.simulation.scanner import AIR, scan_ct, scan_mr
from medsegdist.data.simulation.thorax import Pocket, Thorax

radius = st.floats(8, 30)
place = st.floats(-20, 20)


def area(canvas, region):
    return float(region.weight.sum(dtype=float)) * canvas.pixel_mm[0] * canvas.pixel_mm[1]


@given(place, place, radius, radius, st.floats(0, math.pi))
def test_the_area_of_an_ellipse_is_pi_a_b(x, y, a, b, angle):
    canvas = Canvas((240, 200), (0.5, 0.6), 0.0)
    assert area(canvas, canvas.ellipse((x, y), (a, b), angle)) == pytest.approx(math.pi * a * b, rel=0.02)


@given(place, place, place, place, st.floats(3, 15))
def test_the_area_of_a_capsule_is_that_of_a_rectangle_and_two_half_discs(x0, y0, x1, y1, r):
    canvas = Canvas((240, 200), (0.5, 0.6), 0.0)
    expected = 2 * r * math.hypot(x1 - x0, y1 - y0) + math.pi * r**2
    assert area(canvas, canvas.capsule((x0, y0), (x1, y1), r)) == pytest.approx(expected, rel=0.03)


@given(radius, radius, st.floats(0.1, 0.95), st.floats(0, 3))
def test_squareness_lies_between_the_ellipse_and_its_rectangle(a, b, squareness, angle):
    canvas = Canvas((256, 256), (0.5, 0.5), 0.0)
    bent = area(canvas, canvas.ellipse((0, 0), (a, b), angle, squareness=squareness))
    assert math.pi * a * b * 0.98 < bent < 4 * a * b * 1.02


@given(radius, st.complex_numbers(max_magnitude=0.15), st.complex_numbers(max_magnitude=0.1))
def test_a_bent_circle_has_the_area_of_its_harmonics(r, second, third):
    """Area of the curve r (1 + sum of harmonics) = pi r^2 (1 + sum of squared amplitudes / 2)."""
    canvas = Canvas((320, 320), (0.3, 0.3), 0.0)
    expected = math.pi * r**2 * (1 + (abs(second) ** 2 + abs(third) ** 2) / 2)
    assert area(canvas, canvas.ellipse((0, 0), (r, r), wobble=[second, third])) == pytest.approx(expected, rel=0.03)


def test_shapes_over_the_border_are_cut():
    canvas = Canvas((64, 64), (1.0, 1.0), 0.0)
    half = canvas.ellipse((32.0, 0.0), (10, 10))  # on the outer edge of the last pixel
    assert area(canvas, half) == pytest.approx(math.pi * 50, rel=0.02)
    assert canvas.ellipse((500, 0), (10, 10)).weight.size == 0


def test_what_is_painted_later_covers_image_and_label():
    canvas = Canvas((64, 64), (1.0, 1.0), AIR)
    canvas.paint(canvas.ellipse((0, 0), (20, 20)), 100.0, label=True)
    assert canvas.label.sum() == pytest.approx(math.pi * 400, rel=0.02)
    canvas.paint(canvas.ellipse((0, 0), (10, 10)), -50.0)
    assert canvas.label.sum() == pytest.approx(math.pi * 300, rel=0.03)
    assert (canvas.image[32, 32], canvas.image[32, 47], canvas.image[0, 0]) == (-50, 100, AIR)
    canvas.paint(canvas.ellipse((0, 0), (10, 10)), 0.0, opacity=0.4)
    assert canvas.image[32, 32] == pytest.approx(-30)
    assert canvas.image[32, 47] == 100


def test_smooth_noise_has_its_mean_scale_and_seed():
    fields = np.stack([smooth_field(generator("field", k), (96, 80), 8) for k in range(40)])
    assert fields.mean() == pytest.approx(0, abs=0.05)
    assert fields.std() == pytest.approx(1, abs=0.1)
    step = np.abs(np.diff(fields, axis=1)).mean()
    assert step < 0.3  # white noise steps by 1.13
    np.testing.assert_array_equal(fields[3], smooth_field(generator("field", 3), (96, 80), 8))
    assert not np.array_equal(fields[3], fields[4])


@pytest.mark.parametrize("noise", [10.0, 30.0])
def test_ct_noise_has_the_standard_deviation_asked_for(noise):
    canvas = Canvas((256, 256), (1.0, 1.0), 40.0)
    image = scan_ct(canvas, generator("noise"), noise)
    assert image.mean() == pytest.approx(40, abs=0.5)
    assert image.std() == pytest.approx(noise, rel=0.05)
    np.testing.assert_array_equal(image, np.rint(image))


def test_mr_noise_is_rician():
    """Where there is no signal its mean is sigma sqrt(pi / 2); magnitudes are never negative."""
    empty = scan_mr(Canvas((256, 256), (1.0, 1.0), 0.0), generator("noise"), 20.0, bias=0.0)
    assert empty.min() >= 0
    assert empty.mean() == pytest.approx(20 * math.sqrt(math.pi / 2), rel=0.02)
    bright = scan_mr(Canvas((256, 256), (1.0, 1.0), 900.0), generator("noise"), 20.0, bias=0.0)
    assert bright.mean() == pytest.approx(math.hypot(900, 20), rel=0.01)


@given(st.floats(-0.9, 0.9))
def test_a_ball_is_cut_in_a_disc(height):
    ball = Lesion.draw(generator("ball"), (0.0, 0.0, 50.0), 50.0, lumps=0, strands=0)
    (main,) = ball.balls
    assert ball.bottom_and_top == pytest.approx((50 - main[3], 50 + main[3]))
    canvas = Canvas((128, 128), (0.5, 0.5), -850.0)
    ball.paint(canvas, 50 + height * main[3], 1.0, 40.0, np.ones((128, 128), dtype=bool), texture_hu=0.0)
    expected = math.pi * main[3] ** 2 * (1 - height**2)
    assert canvas.label.sum() * 0.25 == pytest.approx(expected, rel=0.05)


def test_a_lesion_stays_in_its_tissue():
    lesion = Lesion.draw(generator("lesion"), (0.0, 0.0, 0.0), 40.0, lumps=6, strands=12)
    canvas = Canvas((128, 128), (0.5, 0.5), -850.0)
    within = np.zeros((128, 128), dtype=bool)
    within[:, :64] = True
    lesion.paint(canvas, 0.0, 2.0, 40.0, within, texture_hu=10.0)
    assert canvas.label.any()
    assert not canvas.label[:, 64:].any()
    assert (canvas.image[:, 64:] == -850).all()


nodule_places = st.lists(
    st.builds(
        Pocket, x=st.floats(-125, 125), y=st.floats(-70, 95), radius=st.floats(4, 12), level=st.floats(0.2, 0.85)
    ),
    min_size=1,
    max_size=4,
)
# No nodule grows in the spine, and no room is made for one there.
nodule_places = nodule_places.filter(lambda pockets: all(abs(pocket.x) > 35 for pocket in pockets))


@settings(max_examples=15)
@given(nodule_places, st.integers(0, 50))
def test_a_nodules_place_is_lung_wherever_it_lies(pockets, seed):
    thorax = Thorax.draw(generator("thorax", seed)).holding(pockets)
    for pocket in pockets:
        canvas = Canvas((130, 130), (2.8, 2.8), AIR)
        thorax.paint(canvas, pocket.level, 3.0, generator("texture", seed), [pocket])
        place = canvas.ellipse((pocket.x, pocket.y), (pocket.radius, pocket.radius))
        # Lung that was there, or room made for the nodule; ribs may cross what touches the wall.
        assert canvas.label[place.window][place.weight >= 0.5].mean() > 0.3


def test_a_chest_that_holds_its_nodules_is_left_as_it_is():
    thorax = Thorax.draw(generator("thorax"))
    assert thorax.holding([]) is thorax
    kept = thorax.holding([Pocket(x=thorax.center[0] + 60, y=thorax.center[1], radius=5, level=0.5)])
    assert kept == thorax


@pytest.mark.parametrize("level", [0.25, 0.4, 0.55, 0.7, 0.85])
def test_a_chest_has_two_lungs_air_fat_muscle_and_bone(level):
    thorax = Thorax.draw(generator("thorax", 5))
    canvas = Canvas((200, 200), (1.9, 1.9), AIR)
    thorax.paint(canvas, level, 3.0, generator("texture"))
    lung = canvas.label
    middle = round(100 + thorax.center[0] / 1.9)
    assert lung[:, : middle - 8].sum() * 1.9**2 > 2500
    assert lung[:, middle + 8 :].sum() * 1.9**2 > 2500
    assert -900 < np.median(canvas.image[lung]) < -800
    assert (canvas.image > 350).sum() * 1.9**2 > 500
    assert np.mean(np.abs(canvas.image + 100) < 15) > 0.02
    assert np.mean(canvas.image == AIR) > 0.1
