"""One training run: it learns, follows from its seed, goes on where it was killed, and is repeated if it collapses."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
import torch
from torch import nn

from medsegdist.data.options import Augmentation
from medsegdist.errors import ConvergenceError, DataError, MedSegDistError
from medsegdist.transfer import train as training
from medsegdist.transfer.evaluate import evaluate, make_loss
from medsegdist.transfer.networks import build_network, load_network, save_weights
from medsegdist.transfer.plan import Split
from medsegdist.transfer.train import train, train_with_retry
from tests.transfer.making import SMALL_DEEPLAB, TINY, Counting, disks, equal_weights, halves, quick


@pytest.mark.parametrize("network", [TINY, SMALL_DEEPLAB])
def test_a_trivially_learnable_set_is_learned(network):
    samples = disks()
    recipe = quick(network=network, steps=160, validate_every=40, learning_rate=1e-2)
    result = train(samples, halves(samples), recipe, seed=0)
    assert result.dice > 0.9
    found = evaluate(result.network, samples, range(len(samples)), recipe)
    assert found > 0.9


class Pointwise(nn.Module):
    """Judges every point by itself, and notes the shapes that it is given."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, images):
        self.shapes.append(tuple(images.shape))
        return images + 0.25


def test_windows_that_slide_over_a_volume_cover_it_once_put_together():
    samples = disks(grid=(10, 13, 9), slices=1)
    whole, windowed = Pointwise(), Pointwise()
    expected = evaluate(whole, samples, range(5), quick())
    found = evaluate(windowed, samples, range(5), quick(patch_size=(4, 8, 8)))
    assert set(whole.shapes) == {(4, 1, 10, 13, 9), (1, 1, 10, 13, 9)}
    assert {shape[1:] for shape in windowed.shapes} == {(1, 4, 8, 8)}
    assert max(shape[0] for shape in windowed.shapes) <= 4
    assert found == expected
    assert 0.1 < found < 1


def test_the_result_is_that_of_the_best_validation():
    samples, recipe = disks(), quick(steps=12, learning_rate=0.05)
    split = halves(samples)
    result = train(samples, split, recipe, seed=0)
    by_step = {step: dice for step, dice, _ in result.history}
    assert list(by_step) == [2, 4, 6, 8, 10, 12]
    assert result.dice == by_step[result.best_step] == max(by_step.values())
    assert evaluate(result.network, samples, split.validation, recipe) == result.dice


def test_a_seed_fixes_the_weights_and_no_other_seed_gives_them():
    samples = disks()
    recipe = quick(augmentation=Augmentation(flip=0.5))
    before = torch.get_rng_state()
    first, again, other = (train(samples, halves(samples), recipe, seed=seed).network for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert equal_weights(first, again)
    assert not equal_weights(first, other)


CURVE = (0, 2, 6)
RECIPE = quick(augmentation=None, balanced=True, network=quick().network.model_copy(update={"dropout": 0.3}))


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_killed_run_goes_on_to_the_same_weights(step, tmp_path):
    checkpoint = tmp_path / "state.pt"

    def kill_after(started: int) -> None:
        if started > step:
            os.kill(os.getpid(), signal.SIGKILL)

    def die() -> None:
        make = lambda: Counting(kill_after, recipe=RECIPE)  # noqa: E731
        train(disks(), halves(disks()), RECIPE, seed=5, checkpoint=checkpoint, curve=CURVE, make_network=make)

    child = multiprocessing.get_context("fork").Process(target=die)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    # A checkpoint every two steps.
    assert checkpoint.exists() == (step > 1)
    samples, steps = disks(), []
    split = halves(samples)
    start = step // 2 * 2
    make = lambda: Counting(steps.append, start, RECIPE)  # noqa: E731
    resumed = train(samples, split, RECIPE, seed=5, checkpoint=checkpoint, curve=CURVE, make_network=make)
    assert steps == list(range(1 + start, 7))
    whole = train(samples, split, RECIPE, seed=5, curve=CURVE, make_network=make)
    assert equal_weights(resumed.network, whole.network)
    assert resumed.history == whole.history
    assert resumed.curve == whole.curve
    assert [point for point, _ in whole.curve] == list(CURVE)
    assert (resumed.dice, resumed.best_step, resumed.steps) == (whole.dice, whole.best_step, whole.steps)


def test_an_early_stop_waits_as_long_as_its_patience(tmp_path):
    samples = disks()
    # A rate so small that no prediction changes: the first validation stays the best.
    recipe = quick(
        steps=20, patience=3, learning_rate=1e-12, network=SMALL_DEEPLAB.model_copy(update={"norm": "group"})
    )
    stopped = train(samples, halves(samples), recipe, seed=0, checkpoint=tmp_path / "state.pt")
    assert (stopped.steps, stopped.best_step) == (8, 2)
    again = train(samples, halves(samples), recipe, seed=0, checkpoint=tmp_path / "state.pt")
    assert (again.steps, again.history) == (8, stopped.history)


def test_weights_to_start_from_are_all_trained(tmp_path):
    samples = disks()
    start = train(samples, halves(samples), quick(), seed=0).network
    save_weights(tmp_path / "w.pt", start, TINY, 2)
    read = load_network(tmp_path / "w.pt")
    assert equal_weights(read, start)
    weights = read.state_dict()
    tuned = train(samples, halves(samples), quick(), seed=9, weights=weights).network.state_dict()
    for name, value in tuned.items():
        if value.is_floating_point():
            change = (value - weights[name]).abs().max()
            # Adam moves a weight by about its rate a step: six steps from here, not from new weights.
            assert 0 < change < 0.02 or "running" in name, name


def test_the_learning_rate_drops_after_its_step():
    samples = disks()
    full, dropped = (
        train(
            samples, halves(samples), quick(select="last", drop_after=4, final_learning_rate=1e-12, steps=steps), seed=0
        )
        for steps in (4, 6)
    )
    last = dropped.network.state_dict()
    for name, value in full.network.state_dict().items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(last[name], value, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        *((content, ".*") for content in (b"", b"PK\x03\x04 not a checkpoint", b"\x80\x04.")),
        # No checkpoint can run code.
        ({"format": "medsegdist training state 1", "state": print}, "it holds other objects than tensors and plain "),
    ],
)
def test_a_damaged_checkpoint_is_an_error(content, why, tmp_path):
    samples, checkpoint = disks(), tmp_path / "state.pt"
    checkpoint.write_bytes(content) if isinstance(content, bytes) else torch.save(content, checkpoint)
    message = rf"state.pt: this file of training state is damaged \({why}.*delete it to train again"
    with pytest.raises(DataError, match=message):
        train(samples, halves(samples), quick(), seed=0, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("change", "seed", "identity", "named"),
    [
        ({"learning_rate": 2e-3}, 0, {"data": "a"}, "recipe"),
        ({}, 0, {"data": "b"}, "data"),
        ({}, 1, {}, "data, seed"),
    ],
)
def test_a_checkpoint_of_another_run_is_an_error(change, seed, identity, named, tmp_path):
    samples, checkpoint = disks(), tmp_path / "state.pt"
    train(samples, halves(samples), quick(), seed=0, checkpoint=checkpoint, identity={"data": "a"})
    with pytest.raises(DataError, match=rf"of a run with another configuration \({named} differ\); delete it"):
        train(samples, halves(samples), quick(**change), seed=seed, checkpoint=checkpoint, identity=identity)


class Exploding(nn.Module):
    """Gives a loss that is not a number from its third step on."""

    def __init__(self):
        super().__init__()
        self.scale, self.steps = nn.Parameter(torch.ones(())), 0

    def forward(self, images):
        self.steps += self.training
        return images * self.scale * (float("nan") if self.steps > 2 else 1.0)


def test_a_diverging_loss_is_an_error_and_leaves_the_last_good_checkpoint(tmp_path):
    samples, checkpoint = disks(), tmp_path / "state.pt"
    with pytest.raises(
        ConvergenceError, match=r"dataset 'disks': the training diverged, .* between steps 3 and 4; lower the learning"
    ):
        train(samples, halves(samples), quick(), seed=0, checkpoint=checkpoint, make_network=Exploding)
    assert torch.load(checkpoint, weights_only=True)["state"]["step"] == 2


class Greedy(nn.Module):
    """Has no memory for any sample."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    ("changes", "split", "make", "error", "message"),
    [
        ({}, None, Greedy, MedSegDistError, "expected room for a batch of 4 in .* found too little; choose a smaller"),
        ({}, Split((), (0,)), None, DataError, "dataset 'disks': expected at least one training sample, found none"),
        ({}, Split((0,), ()), None, DataError, "dataset 'disks': expected at least one validation sample, found none"),
        *(
            ({"patch_size": patch}, None, None, ValueError, r"expected a patch within the grid \[32, 32\], found \[")
            for patch in ((64, 8), (8, 8, 8))
        ),
    ],
)
def test_what_cannot_be_trained_is_an_error(changes, split, make, error, message):
    with pytest.raises(error, match=message):
        train(disks(), split or halves(disks()), quick(**changes), seed=0, make_network=make)


def test_training_in_bfloat16_keeps_weights_and_loss_in_float32(monkeypatch):
    # On a CPU, where nobody asks for it: the same code as on CUDA.
    monkeypatch.setattr("medsegdist.transfer.train.uses_amp", lambda recipe, device: True)
    samples, seen = disks(), []
    recipe = quick(network=SMALL_DEEPLAB, steps=120, validate_every=40, learning_rate=1e-2)

    def watched():
        network = build_network(SMALL_DEEPLAB, 2)
        network.classifier.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        return network

    result = train(samples, halves(samples), recipe, seed=0, make_network=watched)
    assert torch.bfloat16 in seen
    assert all(value.dtype == torch.float32 for value in result.network.parameters())
    assert result.dice > 0.9


@pytest.mark.gpu
def test_a_gpu_learns_as_a_cpu_does():
    samples = disks()
    recipe = quick(network=SMALL_DEEPLAB, steps=120, validate_every=40, learning_rate=1e-2)
    assert train(samples, halves(samples), recipe, seed=0, device="cuda").dice > 0.9


class Blind(nn.Module):
    """Marks nothing, whatever it is shown: a collapsed network."""

    def __init__(self, seen=None):
        super().__init__()
        self.bias, self.seen = nn.Parameter(torch.tensor(-100.0)), seen

    def forward(self, images):
        if self.seen is not None:
            self.seen.append(len(images))
        return images * 0 + self.bias


def run(recipe, **options):
    samples = disks()
    return train_with_retry(samples, halves(samples), recipe, seed=0, **{"floor": 0.3, **options})


def test_the_second_training_can_save_it(monkeypatch):
    recipe = quick(steps=60, validate_every=20, learning_rate=1e-2)
    seen = []

    def collapses_with_dice(samples, split, given, **options):
        seen.append(given)
        make = Blind if given.loss == "dice" else None
        return train(samples, split, given, **options, make_network=make)

    monkeypatch.setattr(training, "train", collapses_with_dice)
    result = run(recipe)
    assert seen == [recipe, recipe.hardened()]
    assert (result.converged, result.hardened) == (True, True)
    assert result.dice >= 0.3
    # One that learns is left alone.
    monkeypatch.setattr(training, "train", train)
    samples, learned = disks(), run(recipe)
    assert (learned.converged, learned.hardened) == (True, False)
    assert equal_weights(learned.network, train(samples, halves(samples), recipe, seed=0).network)


def test_a_collapse_in_both_is_said_and_both_resume(tmp_path):
    checkpoint, steps = tmp_path / "run.state.pt", []
    first = run(quick(), make_network=Blind, checkpoint=checkpoint)
    assert (first.converged, first.hardened, first.dice) == (False, True, 0.0)
    assert {path.name for path in tmp_path.iterdir()} == {"run.state.pt", "run.state.second.pt"}
    again = run(quick(), make_network=lambda: Blind(steps), checkpoint=checkpoint)
    assert not steps
    assert again.history == first.history
    with pytest.raises(ConvergenceError, match="the training diverged"):
        run(quick(), make_network=Exploding)


def test_the_losses_are_the_papers_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 5, 6, generator=generator, dtype=torch.float64)
    masks = (torch.rand(3, 1, 5, 6, generator=generator) > 0.5).double()
    p = logits.sigmoid()
    tp, fp, fn = (p * masks).sum(), (p * (1 - masks)).sum(), ((1 - p) * masks).sum()
    dice = 1 - (2 * tp + 1e-5) / (2 * tp + fn + fp + 1e-5)
    assert make_loss("dice")(logits, masks).item() == pytest.approx(dice.item(), abs=1e-6)
    cross_entropy = -(masks * p.log() + (1 - masks) * (1 - p).log()).mean()
    assert make_loss("dice_ce")(logits, masks).item() == pytest.approx((dice + cross_entropy).item(), abs=1e-6)
