"""What `medsegdist transfer` leaves beside its tables, so that a report can tell how it went: `transfer.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from medsegdist.report.json_files import JsonFile
from medsegdist.report.software import versions
from medsegdist.transfer.gains import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medsegdist.data.study import Study
    from medsegdist.transfer.runs import TransferResult

FILE_NAME = "transfer.json"


class TransferRecord(JsonFile):
    """How the gains of a study came about.

    Args:
        format: tells the file from others.
        version: of the format.
        name: the study's name.
        description: what it is about.
        targets: names of the datasets that were trained on in the end.
        options: `transfer` of the study's YAML, defaults included.
        preprocessing: likewise.
        simulated: name and words of every dataset in it of which something is simulated.
        not_converged: titles of pre-trainings and baselines that learned nothing.
        undefined: sources, targets and seeds of fine-tunings over a baseline whose Dice is 0.
        failed: titles of runs that failed, or rest on one that did. Why stands in `runs.jsonl`, for a reason may name
            a file.
        done: runs that ended well.
        device: what it was computed on.
        software: versions by the name of the package.
    """

    written_by: ClassVar[str] = "transfer"

    format: Literal["medsegdist transfer"] = "medsegdist transfer"
    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    targets: tuple[str, ...]
    options: dict[str, Any]
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    simulated: dict[str, str] = Field(default_factory=dict)
    not_converged: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    done: int = 0
    device: str = ""
    software: dict[str, str] = Field(default_factory=dict)


def record_transfer(study: Study, targets: Sequence[str], result: TransferResult, device: str) -> TransferRecord:
    """What a report says of a transfer study beside its gains.

    Args:
        study: what was asked for.
        targets: names of the targets that were trained on.
        result: how it ended.
        device: what it was computed on.
    """
    taken = {*targets, *(source for target in targets for source in study.sources_of(target))}
    return TransferRecord(
        name=study.name,
        description=study.description,
        targets=tuple(targets),
        options=study.transfer.model_dump(mode="json"),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        simulated={one.name: one.simulated for one in study.datasets if one.simulated and one.name in taken},
        not_converged=result.not_converged,
        undefined=tuple(
            f"{one.source} \N{RIGHTWARDS ARROW} {one.target}, seed {one.seed}"
            for one in result.gains
            if one.status == UNDEFINED
        ),
        failed=tuple(title for title, _ in result.failed),
        done=result.done,
        device=device,
        software=versions(),
    )
