"""`medsegdist transfer --dask`: whoever trains, and whoever is killed meanwhile, the gains are the same."""

import os
import signal
import threading
import time

import pytest
import yaml

from tests.test_cli_transfer import run
from tests.test_cli_transfer import study as study

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


def tables(folder):
    return [(folder / name).read_bytes() for name in ("gains.csv", "controls.csv")]


class Killer(threading.Thread):
    """Kills the worker of a run that has left a state and is not done, once."""

    def __init__(self, address, folder):
        super().__init__(daemon=True)
        self.address, self.folder, self.killed = address, folder, None

    def run(self):
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            processes = client.run(os.getpid)
            while self.killed is None:
                # A state is there from the first validation on until the run is written down.
                states = {path.name.partition(".")[0] for path in (self.folder / "runs").glob("*.state.pt")}
                busy = [worker for worker, tasks in client.processing().items() if tasks]
                if states and len(busy) == len(processes):
                    self.killed = processes[busy[0]]
                    os.kill(self.killed, signal.SIGKILL)
                time.sleep(0.005)


@pytest.mark.ci
def test_a_dask_worker_that_is_killed_in_the_middle_changes_no_gain(study, tmp_path, cluster, monkeypatch):
    content = yaml.safe_load(study.read_text())
    # Long enough to be found at work.
    content["transfer"].update(steps=60, validate_every=10, seeds=[0])
    study.write_text(yaml.safe_dump(content))
    run(study, "--out", tmp_path / "here", "--workers", 1)
    killer = Killer(cluster.scheduler_address, tmp_path / "there")
    killer.start()
    # The workers were started in another folder than the one that --out is seen from.
    monkeypatch.chdir(tmp_path)
    run(study, "--out", "there", "--dask", cluster.scheduler_address)
    killer.join(timeout=10)
    assert killer.killed is not None
    assert killer.killed not in {worker.pid for worker in cluster.workers.values()}
    assert tables(tmp_path / "there") == tables(tmp_path / "here")
    assert not list((tmp_path / "there" / "runs").glob("*.state*"))
