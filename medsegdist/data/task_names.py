"""What a Decathlon task, its cases and its patients are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medsegdist.data.case import Case
from medsegdist.errors import DataError, ManifestError

# nnU-Net takes the number and the name apart at the only underscore.
_TASK_NAME = re.compile(r"Task\d{2,3}_[A-Za-z0-9.-]*[A-Za-z0-9-]")
# Room for a suffix and for the names of files that are being written.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class CaseName:
    """What a case is called in a task.

    Args:
        case: name of its files, without the ending.
        patient: whom it shows; None where that is no other than the case itself.
    """

    case: str
    patient: str | None


def check_task_name(name: str) -> None:
    """Refuse a folder name that readers of Decathlon tasks do not understand.

    Args:
        name: name of the folder.

    Raises:
        ManifestError: it is not like Task11_LungNodules.
    """
    if not _TASK_NAME.fullmatch(name):
        raise ManifestError(
            f"expected a folder called Task, two or three digits, _ and a name without another _, like "
            f"'Task11_LungNodules', found '{name}'; nnU-Net and MONAI look for such names."
        )


def names_of(cases: Sequence[Case], *, pseudonyms: bool, dataset: str) -> list[CaseName]:
    """What the cases are called in a task.

    Args:
        cases: in the order of the task.
        pseudonyms: number the cases and patients, case_0001 and patient_0001 on, instead of keeping their ids.
        dataset: name of the dataset, for messages.

    Raises:
        DataError: ids that can be no names of files; all of them are listed.
    """
    if pseudonyms:
        number = {patient: k for k, patient in enumerate(dict.fromkeys(case.patient_id for case in cases), start=1)}
        several = any(case.patient_id != case.id for case in cases)
        return [
            CaseName(f"case_{k:04d}", f"patient_{number[case.patient_id]:04d}" if several else None)
            for k, case in enumerate(cases, start=1)
        ]
    # Disks of macOS and Windows take a.nii.gz and A.nii.gz for one file.
    count = Counter(case.id.casefold() for case in cases)
    unfit = [case.id for case in cases if not _fits_a_file(case.id) or count[case.id.casefold()] > 1]
    if unfit:
        raise DataError(
            f"dataset '{dataset}': expected case ids that differ in more than case, start with a letter or digit and "
            f"can name files, found {', '.join(map(repr, unfit))}; rename these cases, or use pseudonyms."
        )
    return [CaseName(case.id, case.patient_id if case.patient_id != case.id else None) for case in cases]


def _fits_a_file(case_id: str) -> bool:
    # nnU-Net passes over files that start with . or _
    return case_id[:1].isalnum() and case_id.isprintable() and "/" not in case_id and len(case_id.encode()) <= _LONGEST
