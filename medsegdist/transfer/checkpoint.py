"""Files of a training run: its state, to be resumed, and its weights."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from medsegdist.data.options import NetworkOptions
from medsegdist.errors import DataError
from medsegdist.files import atomic_write
from medsegdist.transfer.networks import build_network

_STATE, _WEIGHTS = "medsegdist training state 1", "medsegdist weights 1"


def save_state(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state of a run; the file is complete or the one before.

    Args:
        path: where to.
        config: all that the run is made from, as JSON has it.
        state: tensors, numbers, strings and containers of them.

    Raises:
        OSError: the disk is full or not writable; what was there stays.
    """
    _write(path, {"format": _STATE, "config": _as_text(config), "state": dict(state)})


def load_state(path: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of a run that was cut short; None if there is none.

    Args:
        path: where :func:`save_state` wrote it.
        config: what the run is made from now.

    Raises:
        DataError: the file is damaged, or was left by a run with another configuration.
    """
    if not path.exists():
        return None
    content = _read(path, _STATE, "training state")
    if content.get("config") != _as_text(config):
        found = json.loads(content["config"])
        differing = sorted(key for key in {*found, *config} if found.get(key) != _jsonable(config.get(key)))
        raise DataError(
            f"{path}: this checkpoint is of a run with another configuration ({', '.join(differing)} differ); delete "
            "it to train again, or restore the configuration to resume."
        )
    state: dict[str, Any] = content["state"]
    return state


def save_weights(path: Path, network: nn.Module, options: NetworkOptions, dimensions: int) -> None:
    """Write a network's weights with what they belong to.

    Args:
        path: where to.
        network: made by `build_network(options, dimensions)`.
        options: its architecture.
        dimensions: 2 or 3.
    """
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    architecture = _as_text(options.model_dump(mode="json"))
    _write(path, {"format": _WEIGHTS, "network": architecture, "dimensions": dimensions, "weights": weights})


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file, on the CPU.

    Raises:
        DataError: there is no such file, or it is damaged.
    """
    weights: dict[str, Tensor] = _read(path, _WEIGHTS, "weights")["weights"]
    return weights


def load_network(path: Path) -> nn.Module:
    """The network of a weights file, on the CPU.

    Raises:
        DataError: there is no such file, or it is damaged.
    """
    content = _read(path, _WEIGHTS, "weights")
    try:
        options: Any = TypeAdapter(NetworkOptions).validate_json(content["network"])
        network = build_network(options, content["dimensions"])
        network.load_state_dict(content["weights"])
    except (KeyError, RuntimeError, ValidationError) as error:
        raise _damaged(path, "weights", error) from error
    return network


def _write(path: Path, content: dict[str, Any]) -> None:
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
    return DataError(f"{path}: this file of {what} is damaged ({said}); delete it to train again.")


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value))
