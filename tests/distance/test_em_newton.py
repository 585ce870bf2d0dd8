"""Newton's method at the end of expectation-maximization."""

import pytest
import torch

from medsegdist.distance.em_newton import come_to_rest, step_and_slope
from medsegdist.distance.em_steps import Cells, climb, expectation, maximization, moments

FLOOR, TOLERANCE = 1e-6, 1e-11


def overlapping(dimensions, seed=0, apart=1.5, n=300):
    """Three Gaussian clouds so near one another that plain steps creep, in standard units."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.cat([torch.randn(n, dimensions, generator=generator).double() + apart * i for i in range(3)])
    masses = torch.rand(len(points), generator=generator).double() + 0.1
    return Cells.of_points((points - points.mean(0)) / points.std(0), masses / masses.sum())


def random_start(cells, components, seed=0, steps=9):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.randn(components, len(cells), generator=generator).double().mul(2).softmax(0)
    return climb(cells, ((shares * cells.masses) @ cells.monomials.T).unsqueeze(1), steps, FLOOR, TOLERANCE)[0]


def plain_step(cells, statistics):
    return expectation(cells, maximization(cells, statistics, FLOOR))


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("components", [1, 2, 4])
def test_the_derivative_is_that_of_finite_differences(dimensions, components):
    cells = overlapping(dimensions)
    statistics = random_start(cells, components)
    slope = step_and_slope(cells, statistics, FLOOR)
    likelihood, image = plain_step(cells, statistics)
    assert slope.log_likelihood == pytest.approx(float(likelihood), rel=1e-13)
    torch.testing.assert_close(slope.image, image, rtol=0, atol=1e-13)
    for index in range(statistics.numel()):
        push = torch.zeros(statistics.numel(), dtype=torch.float64)
        push[index] = 1e-6
        push = push.view_as(statistics)
        difference = (plain_step(cells, statistics + push)[1] - plain_step(cells, statistics - push)[1]) / 2e-6
        torch.testing.assert_close(slope.derivative[:, index], difference.flatten(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_near_the_top_a_step_gains_what_it_foretells_and_squares_the_error(dimensions):
    cells = overlapping(dimensions)
    slope = step_and_slope(cells, climb(cells, random_start(cells, 3), 4001, FLOOR, 1e-5)[0], FLOOR)
    assert slope.steepest < 1
    trial, foretold = slope.newton_step(0.0)
    after = step_and_slope(cells, trial, FLOOR)
    assert after.log_likelihood - slope.log_likelihood == pytest.approx(foretold, rel=0.05)
    assert after.change < 0.02 * slope.change


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_ends_on_a_maximum_uphill_from_its_start(dimensions, seed):
    cells = overlapping(dimensions, seed)
    start = random_start(cells, 3, seed, steps=1)
    rest = come_to_rest(cells, start, 2000, FLOOR, TOLERANCE)
    assert rest.change <= TOLERANCE
    assert rest.log_likelihood >= float(plain_step(cells, start)[0])
    slope = step_and_slope(cells, rest.statistics, FLOOR)
    assert slope.change <= TOLERANCE
    assert slope.steepest < 1


def test_it_is_the_maximum_that_plain_steps_creep_to():
    cells = overlapping(2)
    near = climb(cells, random_start(cells, 3), 4001, FLOOR, 1e-5)[0]
    rest = come_to_rest(cells, near, 100, FLOOR, TOLERANCE)
    statistics = near
    for _ in range(20000):
        statistics = plain_step(cells, statistics)[1]
    torch.testing.assert_close(rest.statistics, statistics, rtol=0, atol=1e-8)
    assert rest.steps < 10


def test_a_component_on_the_floor_is_left_to_plain_steps():
    cells = overlapping(2)
    clump = Cells.of_points(torch.full((1, 2), 5.0, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    cells = Cells(torch.cat([cells.monomials, clump.monomials], 1), torch.cat([0.9 * cells.masses, 0.1 * clump.masses]))
    own = torch.zeros(2, len(cells), dtype=torch.float64)
    own[0, :-1], own[1, -1] = 1, 1
    start = ((own * cells.masses) @ cells.monomials.T).unsqueeze(1)
    assert step_and_slope(cells, start, FLOOR) is None
    rest = come_to_rest(cells, start, 2000, FLOOR, TOLERANCE)
    assert rest.change <= TOLERANCE
    masses, means, _ = moments(rest.statistics[:, 0])
    torch.testing.assert_close(masses, torch.tensor([0.9, 0.1], dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(means[1], torch.full((2,), 5.0, dtype=torch.float64))


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("kind", ["full", "diag", "tied"])
def test_no_more_passes_than_allowed(steps, kind):
    cells = overlapping(2)
    rest = come_to_rest(cells, random_start(cells, 3, steps=1), steps, FLOOR, TOLERANCE, kind)
    assert rest.steps <= steps
    assert rest.change > TOLERANCE


def test_a_component_of_one_point_has_no_newton_step():
    """Its Fisher information has no inverse; whoever asks goes on by plain steps."""
    cells = overlapping(2)
    far = Cells.of_points(torch.tensor([[9.0, 9.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)).monomials
    start = torch.stack([0.75 * (cells.monomials @ cells.masses), 0.25 * far[:, 0]]).unsqueeze(1)
    assert step_and_slope(cells, start, floor=-1.0) is None
