"""Tasks that several processes read and compress: the bytes of one process, and nothing half written either."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest

from medsegdist.data.export import export_task
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError, MedSegDistError
from tests.data.making import labels, task_manifest, write_task, write_volume
from tests.data.test_export import contents, lidc, with_layout

NAMES = tuple(f"p{k}_a" for k in range(6))


def in_worker() -> bool:
    return multiprocessing.parent_process() is not None


class Dying:
    """Reads like another loader, until a worker comes to one of the cases."""

    def __init__(self, loader) -> None:
        self.loader = loader

    def __call__(self, item):
        if item["case_id"] == "p3_a" and in_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.loader(item)


def lidc_and_phantom(root, name) -> DatasetManifest:
    if name == "lidc":
        return lidc(root)
    layout = PhantomLayout(organ="liver", patients=3, slices=2, size=(32, 32))
    return DatasetManifest(name="liver", modality="CT", layout=layout)


@pytest.mark.parametrize("name", ["files", "phantom", "lidc"])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, name):
    source = tmp_path / "source"
    manifest = task_manifest(write_task(source, NAMES)) if name == "files" else lidc_and_phantom(source, name)
    total = len(manifest.layout.cases())
    for workers in (1, 2):
        task = tmp_path / str(workers) / "Task07_Tiny"
        done = export_task(manifest, task, workers=workers)
        assert (done.cases, done.resumed) == (total, 0)
    one, two = (contents(tmp_path / str(workers)) for workers in (1, 2))
    assert one == two


def test_all_bad_cases_are_listed_in_order_and_the_others_are_finished(tmp_path):
    root = write_task(tmp_path / "source", NAMES)
    (root / "imagesTr" / "p4_a.nii.gz").write_bytes(b"")
    write_volume(root / "labelsTr" / "p1_a.nii.gz", labels() * np.float32(0.5))
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError, match="2 of 6 cases cannot be used") as caught:
            export_task(task_manifest(root), tmp_path / str(workers) / "Task07_Tiny", workers=workers)
        messages.append(str(caught.value))
        assert "4 of 6 cases are finished and wait in" in caught.value.__notes__[0]
    assert messages[0] == messages[1]
    assert messages[0].index("case 'p1_a'") < messages[0].index("case 'p4_a'")


def test_a_killed_worker_is_told_and_what_is_finished_is_kept(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source", NAMES))
    task = tmp_path / "Task07_Tiny"
    dying = with_dying_loader(manifest)
    with pytest.raises(MedSegDistError, match=r"one of the worker processes was killed, .*; let fewer work"):
        export_task(dying, task, workers=2)
    assert not task.exists()
    assert not list(tmp_path.rglob("*.partial"))
    export_task(manifest, task)
    export_task(manifest, tmp_path / "Task08_Other")
    assert contents(task) == contents(tmp_path / "Task08_Other")


def with_dying_loader(manifest: DatasetManifest) -> DatasetManifest:
    dying = Dying(manifest.layout.load)

    def load(self, item, **_):
        return dying(item)

    return with_layout(manifest, load=load)
