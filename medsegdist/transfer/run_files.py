"""Files of training runs: their states, to be resumed, and their weights."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from medsegdist.data.options import NetworkOptions
from medsegdist.errors import DataError
from medsegdist.files import atomic_write
from medsegdist.transfer.networks import build_network

_STATE, _WEIGHTS = "medsegdist training state 1", "medsegdist weights 1"


def save_state(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state of a run, and all that it is made from; the file is complete or the one before."""
    _write(path, format=_STATE, config=json.dumps(config, sort_keys=True), state=dict(state))


def load_state(path: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of a run that was cut short; None if there is none. One of another configuration is refused."""
    if not path.exists():
        return None
    content = _read(path, _STATE, "training state")
    found, wanted = json.loads(content["config"]), json.loads(json.dumps(config))
    differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if differing:
        raise DataError(
            f"{path}: this checkpoint is of a run with another configuration ({', '.join(differing)} differ)",
            "delete it to train again, or restore the configuration to resume",
        )
    state: dict[str, Any] = content["state"]
    return state


def save_weights(path: Path, network: nn.Module, options: NetworkOptions, dimensions: int) -> None:
    """Write the weights of `build_network(options, dimensions)`, with these options."""
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    _write(path, format=_WEIGHTS, network=options.model_dump_json(), dimensions=dimensions, weights=weights)


def load_network(path: Path) -> nn.Module:
    """The network of a weights file, on the CPU."""
    content = _read(path, _WEIGHTS, "weights")
    try:
        options: Any = TypeAdapter(NetworkOptions).validate_json(content["network"])
        network = build_network(options, content["dimensions"])
        network.load_state_dict(content["weights"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, "weights", error) from error
    return network


def _write(path: Path, **content: Any) -> None:
    with atomic_write(path, binary=True) as file:
        torch.save(content, file)


def _read(path: Path, expected: str, what: str) -> dict[str, Any]:
    if not path.exists():
        raise DataError(f"{path}: there are no {what} here; run the pre-training first.")
    try:
        with warnings.catch_warnings():
            # torch warns of what it does not expect before it fails; the error says it all.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(path, what, error) from error
    if not isinstance(content, dict) or content.get("format") != expected:
        raise _damaged(path, what, f"expected the format '{expected}'")
    return content


def _damaged(path: Path, what: str, why: object) -> DataError:
    said = str(why).splitlines()[0][:200] if str(why) else type(why).__name__
    if isinstance(why, pickle.UnpicklingError):
        # torch advises to run what the file holds.
        said = "it holds other objects than tensors and plain values, which are not loaded"
    return DataError(f"{path}: this file of {what} is damaged ({said}); delete it to train again.")
