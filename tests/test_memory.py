"""The numba backend's memory is aligned, is reused only when nothing refers to it, and does not grow."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import data, nn, optim
from fastcnn.backends.numba_direct.runtime import memory
from tests.in_threads import in_threads
from tests.profile import FULL

FLOAT32 = np.dtype(np.float32)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_it_is_aligned_and_used_again():
    array = memory.aligned((3, 5, 16), FLOAT32)
    first = address(array)
    assert first % memory.VECTOR_BYTES == 0
    del array
    assert address(memory.aligned((3, 5, 16), FLOAT32)) == first
    assert address(memory.aligned((15, 2, 8), np.dtype(np.int32))) == first  # another shape with equally many bytes


def test_it_is_not_used_again_while_a_view_of_a_view_lives():
    array = memory.aligned((7, 64), FLOAT32)
    view = array.reshape(-1)[10:20].view(np.int32)
    first = address(array)
    del array
    others = [memory.aligned((7, 64), FLOAT32) for _ in range(3)]
    assert first not in map(address, others)
    assert len(set(map(address, others))) == 3
    del view
    assert address(memory.aligned((7, 64), FLOAT32)) == first


def test_what_is_used_again_is_lent_once():
    first = memory.aligned((9, 64), FLOAT32)
    del first
    one, other = memory.aligned((9, 64), FLOAT32), memory.aligned((9, 64), FLOAT32)
    assert not np.shares_memory(one, other)


def test_what_is_kept_has_a_limit(monkeypatch):
    monkeypatch.setattr(memory._Shelf, "most", 100_000)
    for n in range(1, 200):
        memory.aligned((n, 100), FLOAT32)
        assert memory.unused_bytes() <= 100_000
    assert memory.unused_bytes() > 0


LATE = """
import os
import numpy as np
from fastcnn.backends.numba_direct.runtime import memory
with memory.Pool() as pool:  # like a model's pool; an object that is freed later still refers to it
    os.kept = memory, pool, memory.aligned((3, 64), np.dtype(np.float32))
"""


def test_a_loan_may_end_after_its_module():
    """At interpreter exit, the names of a module may be cleared before the last array is freed."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=300, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_pools_memory_goes_with_it():
    before = memory.unused_bytes()
    with memory.Pool() as pool:
        arrays = [memory.aligned((n, 1000), FLOAT32) for n in range(1, 5)]
        with memory.Pool():
            pass
        assert memory.unused_bytes() == before
        del arrays[2:]
        assert memory.unused_bytes() >= before + 4 * 7000
    del pool
    assert memory.unused_bytes() == before
    arrays[0][:] = 1  # memory in use is still valid
    del arrays
    assert memory.unused_bytes() == before


def test_many_models_one_after_the_other_take_the_memory_of_one():
    x, unused, sizes = np.random.default_rng(1).standard_normal((64, 3, 32, 32)).astype(np.float32), [], []
    with fastcnn.use_backend("numba"):
        for _ in range(8):
            model = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.GlobalAvgPool2d(), nn.Linear(16, 2)
            )
            for _ in range(2):
                y = model(x)
                model.backward(np.ones_like(y), input_grad=False)
            del model
            unused.append(memory.unused_bytes())
            sizes.append(resident())
    assert max(unused) - min(unused) < 100_000
    assert sizes[-1] - sizes[1] < 8_000_000  # the arrays of one model take more than 12 MB


def test_threads_never_share_an_array():
    wrong = []

    def work(number):
        for _ in range(2000):
            array = memory.aligned((50,), FLOAT32)
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    in_threads(work, range(4))
    assert not wrong


def resident() -> int:
    """Return the resident memory of the process in bytes; 0 if unknown."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if sys.platform == "linux" and statm.exists() else 0


@pytest.mark.parametrize("backend", ["numba", "numpy"] if FULL else ["numba"])
def test_training_takes_no_more_memory_from_step_to_step(backend):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.2, rng=rng), nn.Linear(36, 8, rng=rng), nn.GELU(), nn.Linear(8, 2, rng=rng),
    )  # fmt: skip
    x, labels = rng.standard_normal((45, 1, 8, 8)).astype(np.float32), rng.integers(0, 2, 45)
    loader = data.DataLoader(x, labels, 20, shuffle=True, rng=rng)  # two batches of 20 and one of 5
    optimizer, loss = optim.Adam(model.parameters(), 0.001), nn.CrossEntropyLoss()
    schedule = optim.CosineAnnealingLR(optimizer, 10_000)

    def train(steps):
        for _ in range(steps // 3):
            model.train()
            for images, targets in loader:
                loss(model(images), targets)
                optimizer.zero_grad()
                model.backward(loss.backward(), input_grad=False)
                optimizer.step()
                schedule.step()
            model.eval()(x[:7])
        gc.collect()

    with fastcnn.use_backend(backend):
        train(240)
        blocks, memory_before = [sys.getallocatedblocks()], resident()
        for _ in range(3):
            train(3_330 if FULL else 159)
            blocks.append(sys.getallocatedblocks())
    # Python and NumPy keep some blocks for reuse, fewer and fewer; a leak in each step would show in each part.
    # Bytes counted by tracemalloc would jump when Python rebuilds its table of interned strings.
    assert min(np.diff(blocks)) < 80, "Python's objects"
    assert resident() - memory_before < 4_000_000, "bytes"
