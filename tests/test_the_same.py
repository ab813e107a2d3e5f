"""The same run gives the same losses and weights, bit for bit.

The run includes everything that draws random numbers or sums: the layers of LeNet-5 with BatchNorm and Dropout, digits
with augmentation and shuffling, a last batch that fills no vector, Adam, and held-out images. Run as a program, it
prints its results, to compare processes.
"""

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import data, nn, optim, training
from fastcnn.backends.numba_direct.runtime.processor import features
from tests import processors
from tests.profile import FULL
from tests.runs import exact, outcome

EPOCHS, BATCHES, BATCH = 2, 6, 20
full = pytest.mark.skipif(not FULL, reason="compiles all kernels again, half a minute")


def make_run(*callbacks):
    """Make a trainer, its loader and the held-out images."""
    rng = np.random.default_rng(0)
    train, test = data.digits(BATCHES * BATCH - 3, 40)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, rng=rng), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, rng=rng), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120, rng=rng), nn.Tanh(), nn.Dropout(0.5, rng=np.random.default_rng(1)),
        nn.Linear(120, 10, rng=rng),
    )  # fmt: skip
    augment = data.augment.Compose(data.augment.Rotation(10), data.augment.Shift(2), data.augment.Elastic())
    images, held_out = (part.images.astype(np.float32) / 255 for part in (train, test))
    loader = data.DataLoader(images, train.labels, BATCH, shuffle=True, rng=np.random.default_rng(2), augment=augment)
    steps = optim.Adam(model.parameters(), 0.002)
    schedule = optim.OneCycleLR(steps, 0.004, total_steps=EPOCHS * BATCHES)
    trainer = training.Trainer(model, steps, nn.CrossEntropyLoss(), schedule, callbacks)
    return trainer, loader, (held_out, test.labels)


def digest(trainer, loader) -> str:
    """Return a hash of all losses, weights, moments and generators."""
    return hashlib.sha256(json.dumps(exact(outcome(trainer, loader)), sort_keys=True).encode()).hexdigest()


def train(threads: int) -> str:
    """Run the training; return the hash of its results."""
    before = fastcnn.get_num_threads()
    fastcnn.set_num_threads(threads)
    try:
        trainer, loader, held_out = make_run()
        trainer.fit(loader, held_out, EPOCHS)
        return digest(trainer, loader)
    finally:
        fastcnn.set_num_threads(before)


@cache
def on_one_thread() -> str:
    """The hash of the results of the run on one thread."""
    return train(1)


@pytest.fixture(autouse=True)
def numba_backend():
    with fastcnn.use_backend("numba"):
        yield


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_over_any_number_of_threads(threads):
    """Eight threads are more than the processors of most machines that run the tests."""
    assert train(threads) == on_one_thread()


def test_over_repeated_runs():
    assert train(1) == on_one_thread()


def test_other_seeds_make_another_run():
    """Equal hashes are therefore meaningful."""
    trainer, loader, held_out = make_run()
    loader.rng = np.random.default_rng(3)
    trainer.fit(loader, held_out, EPOCHS)
    assert digest(trainer, loader) != on_one_thread()


class Stop(Exception):
    pass


class StopAfter(training.Callback):
    """Save a checkpoint after some batches and stop, as if the process had been killed."""

    def __init__(self, batches: int, path: Path):
        self.batches, self.path = batches, path

    def on_batch_end(self, trainer):
        if len(trainer.history.step_losses) == self.batches:
            training.save_checkpoint(self.path, trainer, trainer.loader)
            raise Stop


@pytest.mark.parametrize("batches", [2, BATCHES, BATCHES + 3])
def test_over_a_stop_and_resume(tmp_path, batches):
    trainer, loader, held_out = make_run(StopAfter(batches, tmp_path / "a"))
    with pytest.raises(Stop):
        trainer.fit(loader, held_out, EPOCHS)
    trainer, loader, held_out = make_run()
    training.load_checkpoint(tmp_path / "a").restore(trainer, loader)
    trainer.fit(loader, held_out, EPOCHS - len(trainer.history.epochs))
    assert digest(trainer, loader) == on_one_thread()


def another_process(folder: Path, **variables: str) -> tuple[str, bool]:
    """Run in a fresh process with this kernel cache; return the hash, and whether kernels were compiled."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "NUMBA_CACHE_DIR": str(folder)}
    environment |= variables
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout.split()[-1], "compiling kernels" in done.stderr


@full
def test_over_cached_and_freshly_compiled_kernels(tmp_path):
    assert another_process(tmp_path) == (on_one_thread(), True)
    assert another_process(tmp_path) == (on_one_thread(), False)


@pytest.mark.skipif(not {"avx2", "fma"} <= features(), reason="needs AVX2 and fused multiply-adds")
def test_over_processors(tmp_path):
    """Numba, NumPy and OpenBLAS compute as on a processor without AVX-512."""
    assert another_process(tmp_path, **processors.avx2()) == (on_one_thread(), True)


if __name__ == "__main__":
    with fastcnn.use_backend("numba"):
        print(train(2))
