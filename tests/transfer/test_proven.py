"""A training that learned nothing is repeated, and then says so."""

import pytest
import torch
from torch import nn

from medsegdist.errors import ConvergenceError
from medsegdist.transfer import proven
from medsegdist.transfer.proven import hardened, train_proven
from medsegdist.transfer.training import train
from tests.transfer.making import disks, equal_weights, halves, quick
from tests.transfer.test_training import Exploding


class Blind(nn.Module):
    """Marks nothing, whatever it is shown: a collapsed network."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-100.0))

    def forward(self, images):
        return images * 0 + self.bias


def run(recipe, **options):
    samples = disks()
    return train_proven(samples, halves(samples), recipe, seed=0, **{"floor": 0.3, **options})


def test_a_training_that_learns_is_left_alone():
    recipe = quick(steps=60, validate_every=20, learning_rate=1e-2)
    result = run(recipe)
    samples = disks()
    assert (result.converged, result.hardened) == (True, False)
    assert equal_weights(result.training.network, train(samples, halves(samples), recipe, seed=0).network)


def test_the_second_training_can_save_it(monkeypatch):
    recipe = quick(steps=60, validate_every=20, learning_rate=1e-2)
    seen = []

    def collapses_with_dice(samples, split, given, **options):
        seen.append(given)
        make = Blind if given.loss == "dice" else None
        return train(samples, split, given, **options, make_network=make)

    monkeypatch.setattr(proven, "train", collapses_with_dice)
    result = run(recipe)
    assert seen == [recipe, hardened(recipe)]
    assert (result.converged, result.hardened) == (True, True)
    assert result.training.dice >= 0.3


def test_a_collapse_in_both_is_said():
    result = run(quick(), make_network=Blind)
    assert (result.converged, result.hardened, result.training.dice) == (False, True, 0.0)


def test_a_hardened_recipe_samples_by_foreground_and_adds_cross_entropy():
    recipe = quick()
    found = hardened(recipe)
    assert (found.balanced, found.loss) == (True, "dice_ce")
    differing = {name for name, value in recipe.as_json().items() if found.as_json()[name] != value}
    assert differing == {"balanced", "loss"}


def test_a_diverging_training_is_repeated_once():
    with pytest.raises(ConvergenceError, match="the training diverged"):
        run(quick(), make_network=Exploding)


def test_both_trainings_resume(tmp_path):
    checkpoint, steps = tmp_path / "run.state.pt", []
    first = run(quick(), make_network=Blind, checkpoint=checkpoint)
    assert {path.name for path in tmp_path.iterdir()} == {"run.state.pt", "run.state.second.pt"}
    again = run(
        quick(), make_network=Blind, checkpoint=checkpoint, progress=lambda done, total: steps.append((done, total))
    )
    assert not steps
    assert again.training.history == first.training.history


def test_the_losses_are_the_papers_formula():
    from medsegdist.transfer.losses import make_loss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 5, 6, generator=generator, dtype=torch.float64)
    masks = (torch.rand(3, 1, 5, 6, generator=generator) > 0.5).double()
    p = logits.sigmoid()
    tp, fp, fn = (p * masks).sum(), (p * (1 - masks)).sum(), ((1 - p) * masks).sum()
    dice = 1 - (2 * tp + 1e-5) / (2 * tp + fn + fp + 1e-5)
    assert make_loss("dice")(logits, masks).item() == pytest.approx(dice.item(), abs=1e-6)
    cross_entropy = -(masks * p.log() + (1 - masks) * (1 - p).log()).mean()
    assert make_loss("dice_ce")(logits, masks).item() == pytest.approx((dice + cross_entropy).item(), abs=1e-6)
