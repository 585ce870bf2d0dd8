"""Files of training runs: their log, their states, to be resumed, and their weights."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor, nn

from medsegdist.data.options import NetworkOptions
from medsegdist.errors import DataError
from medsegdist.files import atomic_write, read_bytes, sync
from medsegdist.transfer.networks import build_network

_STATE, _WEIGHTS = "medsegdist training state 1", "medsegdist weights 1"


class _Outcome(BaseModel):
    """What others need of a line of runs.jsonl."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    run: str
    kind: Literal["baseline", "pretraining", "fine_tuning", "control"]
    status: Literal["done", "not_converged", "failed"]
    dice: Annotated[float, Field(ge=0, le=1)] | None = None
    validation_dice: Annotated[float, Field(ge=0, le=1)] | None = None
    hardened: bool = False

    @model_validator(mode="after")
    def _has_a_score(self) -> _Outcome:
        # A pre-training has no test cases.
        score = self.validation_dice if self.kind == "pretraining" else self.dice
        if score is None and self.status != "failed":
            raise ValueError("the Dice score is missing")
        return self


class RunLog:
    """runs.jsonl: one line for each run that ended, appended and never changed.

    A process that is killed while it writes leaves a torn line, which is cut off.

    Args:
        path: the file; made when the first run ends.

    Raises:
        DataError: a line that is not the last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, dict[str, Any]] = {}
        content = read_bytes(path) if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
                sync(file)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                _Outcome.model_validate_json(line)
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{path}: line {number} is damaged; expected how a run ended, as `transfer` writes it",
                    "delete the line, and its run is repeated",
                ) from error
            self._entries[entry["run"]] = entry

    def outcome(self, key: str) -> Mapping[str, Any] | None:
        """The last that was written of the run with this `key`; None if it never ended."""
        return self._entries.get(key)

    def append(self, outcome: Mapping[str, Any]) -> None:
        """Write how a run ended, with its key as "run"; it is on the disk when this returns."""
        line = json.dumps(outcome, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write(line.encode())
                file.flush()
                sync(file)
            except OSError as error:
                # No half line stays behind on a full disk.
                os.truncate(self.path, end)
                error.filename = os.fspath(self.path)
                raise
        self._entries[outcome["run"]] = dict(outcome)


def save_state(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write the state of a run, and all that it is made from; the file is complete or the one before."""
    _write(path, format=_STATE, config=json.dumps(config, sort_keys=True), state=dict(state))


def load_state(path: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of a run that was cut short; None if there is none.

    Raises:
        DataError: the file is damaged, or was left by a run with another configuration.
    """
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
