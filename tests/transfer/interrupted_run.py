"""A training that kills itself at a step: `python -m tests.transfer.interrupted_run CHECKPOINT STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from tests.transfer.making import Counting, disks, halves, quick

RECIPE = quick(augmentation=None, balanced=True, network=quick().network.model_copy(update={"dropout": 0.3}))


def main(checkpoint: Path, step: int) -> None:
    from medsegdist.transfer.train import train

    def kill_after(started: int) -> None:
        if started > step:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    samples = disks()
    make = lambda: Counting(kill_after, recipe=RECIPE)  # noqa: E731
    train(samples, halves(samples), RECIPE, seed=5, checkpoint=checkpoint, make_network=make)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
