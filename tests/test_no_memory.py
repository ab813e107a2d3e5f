"""Nothing is lost when memory ends: what raises a MemoryError has changed nothing, and works when it is repeated.

``python tests/no_memory_runs.py array 1`` lists the allocations that were failed.
"""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import _files, data, optim, training
from fastcnn import functional as F
from fastcnn.backends.numba_direct.runtime import launch
from tests import no_memory_runs
from tests.in_threads import in_threads
from tests.no_memory import Operation, array_fails
from tests.profile import FULL
from tests.runs import exact, make_run, outcome

OPERATIONS = no_memory_runs.operations()
OF_ARRAYS = {  # with the stride through the allocations
    "loading of states": 3, "inference": 7, "loader": 5, "writing": 31, "reading": 7,
    "whole steps of small with Adam, numba": 17, "separate calls of small with Adam, numba": 17,
    "whole steps of lenet5 with SGD, numba": 41, "separate calls of lenet5 with SGD, numba": 23,
    "whole steps of in_parts with RMSprop, numba": 17, "separate calls of in_parts with RMSprop, numba": 17,
    "whole steps of small with Muon, numba": 37, "separate calls of small with Muon, numba": 37,
    "whole steps of small with Muon, numpy": 97,
    "whole steps of small with Adam, numpy": 41, "separate calls of small with Adam, numpy": 67,
    "whole steps of in_parts with RMSprop, numpy": 41, "separate calls of in_parts with RMSprop, numpy": 67,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_flushes(monkeypatch):
    """Do not wait for the disk."""
    monkeypatch.setattr(_files.os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_an_array_for_which_there_is_no_memory(name):
    outcomes = list(OPERATIONS[name]().sweep(stride=1 if FULL else OF_ARRAYS[name]))
    assert len(outcomes) >= 8
    assert {outcome.result for outcome in outcomes} <= {"lost", "unnoticed"}, outcomes


def failures(kind: str, stride: int, *names: str, **environment: str) -> list[str]:
    """Run `no_memory_runs` in another process; return the result of each failure."""
    settings = {"FASTCNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
    command = [sys.executable, no_memory_runs.__file__, kind, str(stride), *names]
    root = str(Path(fastcnn.__file__).parents[1])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": root, **settings}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^ +(\d+) \S+ +(.+)$", done.stdout, re.MULTILINE)
    return [result for count, result in lines for _ in range(int(count))]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space, and glibc's settings")
def test_a_process_that_reaches_the_limit_of_its_memory():
    """A large array is not in memory that is left over, as it is given back at once."""
    operations = "files of large", "whole steps of large with Adam, numpy", "separate calls of large with Adam, numba"
    found = failures("room", 1 if FULL else 5, *operations, MALLOC_MMAP_THRESHOLD_="65536")
    assert len(found) >= 8
    assert {*found} <= {"lost", "unnoticed"}, found


def test_an_object_for_which_there_is_no_memory():
    """The "numba" backend is left out: its process ended in ctypes in some sweeps, if an object there got no memory."""
    pytest.importorskip("_testcapi", reason="needs CPython's own functions for tests")
    found = failures("object", 50 if FULL else 797, "loading of states", "reading")
    assert len(found) >= 12
    assert {*found} <= {"lost", "done", "unnoticed"}, found


@pytest.mark.parametrize("part", range(100 if FULL else 6))
def test_a_run_that_ends_goes_on_from_its_checkpoint(part, tmp_path):
    with fastcnn.use_backend("numpy"):
        with array_fails(sys.maxsize) as none:
            whole = life(tmp_path / "whole")
        threads = threading.enumerate()
        with pytest.raises(MemoryError), array_fails((2 * part + 1) * none.count // (200 if FULL else 12)):
            life(tmp_path / "run")
        assert threading.enumerate() == threads
        assert not list((tmp_path / "run").glob(".*"))
        for path in (tmp_path / "run").glob("*.safetensors"):
            training.load_checkpoint(path)
        assert life(tmp_path / "run") == whole


def life(folder: Path):
    """Train for an epoch, from the latest checkpoint if there is one; return everything that remains."""
    callbacks = training.Checkpoint(folder, every_steps=2), training.ClipGradients(0.5), training.BestWeights()
    trainer, loader, validation = make_run(*callbacks)
    trainer.callbacks.insert(0, training.WeightAverage(optim.ExponentialMovingAverage(trainer.model, 0.9)))
    if saved := training.latest_checkpoint(folder):
        saved.restore(trainer, loader)
    trainer.verbose = False
    trainer.fit(loader, validation, 1 - len(trainer.history.epochs))
    return exact(outcome(trainer, loader))


class FailsOnce(list):
    """A data set with an item that cannot be read once."""

    failed = False

    def __getitem__(self, i):
        if i == 5 and not self.failed:
            self.failed = True
            raise MemoryError
        return super().__getitem__(i)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_cannot_be_made_comes_after_the_error(workers):
    items = FailsOnce((np.full((1, 2, 2), i, np.float32), i) for i in range(8))
    loader = data.DataLoader(items, 2, num_workers=workers)
    threads, given = threading.enumerate(), []
    with pytest.raises(MemoryError):
        given += [labels.tolist() for _, labels in _noting(loader, given)]
    assert threading.enumerate() == threads
    loader.load_state_dict(loader.state_dict())
    given += [labels.tolist() for _, labels in loader]
    assert given == [[0, 1], [2, 3], [4, 5], [6, 7]]


def _noting(loader, given: list):
    """Append the labels of each batch to a list."""
    for _, labels in loader:
        given.append(labels.tolist())
    return []


def test_a_thread_that_cannot_start_leaves_the_team_free(monkeypatch):
    team = launch._Team()
    monkeypatch.setattr(launch, "_team", team)
    x = np.ones((64, 8, 16, 16), np.float32)

    def relu(_=None):
        with fastcnn.use_backend("numba"):
            return F.relu(x)

    def cannot_start(thread):
        raise RuntimeError("can't start new thread")

    before = fastcnn.get_num_threads()
    fastcnn.set_num_threads(2)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", cannot_start)
            with pytest.raises(RuntimeError, match="start new thread"):
                relu()
        assert team._threads == []
        in_threads(relu, [0])  # another thread gets the team
        assert len(team._threads) == 1
    finally:
        team.end()
        fastcnn.set_num_threads(before)


class Halves:
    """Two numbers that should be equal."""

    def __init__(self):
        self.numbers = [0, 0]

    def one_by_one(self):
        """Change the numbers, with an allocation in between."""
        self.numbers[0] += 1
        np.zeros(10)
        self.numbers[1] += 1

    def twice(self):
        """Change more when it is repeated."""
        self.tries = getattr(self, "tries", 0) + 1
        np.zeros(10)
        self.numbers = [self.tries, self.tries]


@pytest.mark.parametrize(
    ("act", "wrong"),
    [(Halves.one_by_one, "action 0 changed 0"), (Halves.twice, "lost, but then 0, 1 differ")],
)
def test_the_sweep_notices_what_is_wrong(act, wrong):
    operation = Operation(Halves, [act], lambda halves: {str(i): bytes([n]) for i, n in enumerate(halves.numbers)})
    (outcome,) = operation.sweep()
    assert outcome.result == wrong
    assert outcome.place.startswith("test_no_memory.py:")
