"""The device that a caller asks for, and those of the processes that train."""

from __future__ import annotations

import torch

from medsegdist.errors import MedSegDistError


def check_device(device: torch.device | str) -> torch.device:
    """The device, if this machine has it.

    Args:
        device: "cpu", "cuda", "cuda:1" ...

    Raises:
        MedSegDistError: it is no device, or this machine does not have it.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise MedSegDistError(f"expected a device such as cpu or cuda:0, found '{device}'.") from error
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= count:
            raise MedSegDistError(
                f"expected the CUDA device '{found}', found {count} CUDA devices on this machine; use the device 'cpu'."
            )
    return found


def worker_devices(device: str, workers: int | None, *, cuda_devices: int, cores: int) -> tuple[str, ...]:
    """The device of each process that trains.

    Args:
        device: "cpu", "cuda:1" ... for that one alone; "cuda" for all CUDA devices in turn.
        workers: how many processes; None is one for each core on the CPU, for each CUDA device with "cuda", else one.
        cuda_devices: how many there are.
        cores: of the CPU that may be used.
    """
    if device == "cuda" and cuda_devices > 1:
        return tuple(f"cuda:{k % cuda_devices}" for k in range(workers or cuda_devices))
    return (device,) * (workers or (cores if device == "cpu" else 1))
