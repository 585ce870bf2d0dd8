"""The device that a caller asks for."""

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
