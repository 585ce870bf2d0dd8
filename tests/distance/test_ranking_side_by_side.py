"""A table of distances is the same to the last bit, wherever it is computed."""

import os
import pickle
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import (
    DiceMetric,
    EuclideanMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
)
from medsegdist.distance.pairs import PairTask, compare_pair, prepare_all
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.parallel import dask_cluster
from tests.synthetic import blobs

GRIDS = {"2D": (32, 40), "3D": (6, 20, 24)}
METHODS = {
    "euclidean": DatasetDistance(EuclideanMetric(), max_samples=15),
    "gmm3d": DatasetDistance(GmmMetric(components=2), max_samples=15),
    "fake_class_gmm": DatasetDistance(FakeClassGmmMetric(components=1), max_samples=15),
    # A function that no other process could load: embeddings stay at home.
    "dice of means": DatasetDistance(DiceMetric(), embedding=lambda images: images.flatten(1).mean(1, keepdim=True)),
    "common scales": DatasetDistance(EuclideanMetric(), normalize=True, p=2),
}
LITTLE = Bootstrap(replicates=6)


def three(grid, root):
    """One dataset in memory, two in a folder; two of the three have more samples than the first methods compare."""
    made = [
        blobs("in memory", n=16, grid=grid, center=[0.45] * len(grid), seed=1),
        blobs("stored", n=14, grid=grid, center=[0.5] * len(grid), seed=2),
        blobs("far", n=18, grid=grid, center=[0.6] * len(grid), radius=8, brightness=220, seed=3),
    ]
    for samples in made[1:]:
        samples.save(root / samples.name)
    return [made[0], *(SegmentationSamples.load(root / samples.name) for samples in made[1:])]


@pytest.fixture(scope="module")
def by_grid(tmp_path_factory):
    return {name: three(grid, tmp_path_factory.mktemp(name)) for name, grid in GRIDS.items()}


@pytest.fixture(scope="module")
def datasets(by_grid):
    return by_grid["2D"]


@pytest.fixture
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("grid", "bootstrap"), [("2D", LITTLE), pytest.param("3D", None, marks=pytest.mark.slow)], ids=["2D", "3D"]
)
def test_processes_give_the_same_table(by_grid, grid, bootstrap):
    table, expected = (compare_all(by_grid[grid], METHODS, bootstrap=bootstrap, workers=workers) for workers in (2, 1))
    assert table == expected
    assert table.matches == expected.matches
    assert bool(table.comparisons) == (bootstrap is not None)


def test_a_method_of_a_notebook_goes_to_other_processes(datasets):
    @dataclass(frozen=True)
    class Local(Broken):
        def compare(self, source, target, image_cost, /):
            return torch.full((1, 1), float(len(source) + len(target)), dtype=torch.float64)

    methods = {"local": DatasetDistance(Local())}
    assert compare_all(datasets, methods, workers=2) == compare_all(datasets, methods)


@dataclass(frozen=True)
class Deadly:
    """Its first comparison, in whatever process, kills that process; the folder remembers."""

    folder: Path
    name: str = "deadly"
    power: float = 1.0

    def summarize(self, samples, /):
        return samples.mass @ samples.masks.flatten(1).sum(1).double()

    def compare(self, source, target, image_cost, /):
        try:
            (self.folder / "killed").mkdir()
        except FileExistsError:
            return (source - target).abs().reshape(1, 1)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


@pytest.mark.slow
@pytest.mark.ci
def test_a_dask_worker_that_is_killed_changes_nothing(datasets, cluster, tmp_path):
    methods = {"deadly": DatasetDistance(Deadly(tmp_path)), "euclidean": METHODS["euclidean"]}
    with dask_cluster(cluster.scheduler_address):
        table = compare_all(datasets, methods)
    assert (tmp_path / "killed").is_dir()
    assert table == compare_all(datasets, methods)


@pytest.mark.slow
def test_dask_workers_without_room_in_memory_change_nothing(datasets):
    import dask
    from distributed import LocalCluster

    # Beyond so small a part of its memory a worker puts what it holds on the disk.
    with (
        dask.config.set({"distributed.worker.memory.target": 1e-8, "distributed.worker.memory.spill": False}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="2GB") as cluster,
        dask_cluster(cluster.scheduler_address) as client,
    ):
        table = compare_all(datasets, METHODS, bootstrap=LITTLE)
        spilled = client.run(lambda dask_worker: dask_worker.data.cumulative_metrics["disk-write", "bytes"])
    assert min(spilled.values()) > 10_000
    assert table == compare_all(datasets, METHODS, bootstrap=LITTLE)


@dataclass(frozen=True)
class Broken:
    """Cannot compare a certain dataset."""

    name: str = "broken"
    power: float = 1.0

    def summarize(self, samples, /):
        return samples.name

    def compare(self, source, target, image_cost, /):
        if "far" in (source, target):
            raise ArithmeticError("out of range")
        return torch.ones(1, 1, dtype=torch.float64)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_names_its_datasets(datasets, workers):
    with pytest.raises(MedSegDistError, match=r"^the distance of 'stored' and 'far': ArithmeticError: out of range$"):
        compare_all(datasets[1:], {"broken": DatasetDistance(Broken())}, targets=[datasets[1].name], workers=workers)
    methods = {"euclidean": DatasetDistance(EuclideanMetric(delta=150))}
    with pytest.raises(DataError, match=r"dataset 'stored', case 'case0': .* above delta = 150"):
        compare_all(datasets[1:], methods, workers=workers)


class UnpicklableError(Exception):
    """Unpickles to an error of its own."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@dataclass(frozen=True)
class Raising(Broken):
    """Raises what does not survive the way to another process."""

    def compare(self, source, target, image_cost, /):
        raise UnpicklableError("one", "two")


def test_an_error_that_cannot_be_pickled_is_shown_all_the_same(datasets):
    with pytest.raises(MedSegDistError, match=r"^the distance of .*: UnpicklableError: one and two$"):
        compare_all(datasets, {"raising": DatasetDistance(Raising())}, workers=2)


def test_results_are_small():
    """They go from process to process, and those of all pairs are kept: a coupling has no place in them.

    Three numbers of each sample by each of the three methods are kept.
    """
    a, b = (blobs(name, n=150, grid=(16, 16), seed=seed) for seed, name in enumerate("ab"))
    distances = {
        "euclidean": DatasetDistance(EuclideanMetric()),
        "gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False)),
        "fake_classes": DatasetDistance(FakeClassMetric()),
    }
    sides = prepare_all({"a": a, "b": b}, distances, None, 1)
    found = compare_pair(PairTask("a", "b", sides["a"], sides["b"], distances))
    assert len(pickle.dumps(found)) < 3 * 3 * 8 * (len(a) + len(b)) + 8000 < 8 * len(a) * len(b)
