"""Compiling kernels in the first steps of a run is timed, shown and reported, and excluded from training time."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import backends, nn
from fastcnn import functional as F
from fastcnn.training.compiling import Compiling

RUN = """
import sys, time
import numpy as np
from fastcnn import backends, data, nn, optim, training

times = []


class Clock(training.Callback):
    def on_batch_end(self, trainer):
        done = backends.load().compiled()
        times.append((time.perf_counter(), trainer.progress.seconds, done.seconds + done.reading))


class Batches(data.DataLoader):
    def __iter__(self):
        times.append((time.perf_counter(), 0.0, 0.0))
        yield from super().__iter__()


if "bar" in sys.argv:
    sys.stderr.isatty = lambda: True
x = np.random.default_rng(0).standard_normal((64, 1, 8, 8), np.float32)
labels = (x.sum(axis=(1, 2, 3)) > 0).astype(np.int64)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss(), callbacks=[Clock()])
history = trainer.fit(Batches(x, labels, 32), (x, labels), epochs=2)
(start, _, _), (end, training, compiling) = times[0], times[2]
print(end - start, training, compiling, history.epochs[0].seconds, backends.load().compiled().kernels)
"""


def run(folder: Path, *arguments) -> tuple[list[float], str]:
    """Return the first epoch's seconds (total, training, compiling, recorded), the number of kernels, and stderr."""
    path = os.pathsep.join(filter(None, (str(Path(fastcnn.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": path}
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return [float(number) for number in done.stdout.splitlines()[-1].split()], done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def cold_and_warm(folder):
    return run(folder, "bar"), run(folder)


def test_the_first_epoch_does_not_count_it(cold_and_warm):
    for (whole, training, compiling, recorded, _), _ in cold_and_warm:
        assert recorded == training
        assert training + compiling == pytest.approx(whole, abs=0.05)
    (whole, training, *_), _ = cold_and_warm[0]
    assert training < whole / 4


def test_it_is_announced_shown_and_summed_up(cold_and_warm):
    (_, _, compiling, _, kernels), said = cold_and_warm[0]
    assert said.count("fastcnn: compiling kernels for this processor") == 1
    ((number, seconds),) = re.findall(r"fastcnn: compiled (\d+) kernels in ([\d.]+) s\.\n", said)
    assert int(number) == kernels > 5
    assert float(seconds) > compiling - 0.1  # evaluation may compile, too
    shown = [int(number) for number in re.findall(r"compiling kernel (\d+)", said)]
    assert shown == list(range(1, len(shown) + 1))
    assert 3 < len(shown) <= kernels


def test_nothing_is_said_where_all_is_compiled(cold_and_warm):
    (*_, kernels), said = cold_and_warm[1]
    assert (kernels, said) == (0, "")


def test_what_runs_kernels_is_compiled_once(cold_and_warm, folder):
    for name in ("_do_all", "_launch", "_serve", "_quit"):
        assert len(list(folder.rglob(f"runtime.launch.{name}*.nbc"))) == 1


def test_kernels_that_are_there_take_no_time():
    x = np.ones((2, 3), np.float32)
    F.relu(x, backend="numba")
    before = backends.load("numba").compiled()
    F.relu(x, backend="numba")
    assert backends.load("numba").compiled() == before


def test_other_backends_compile_nothing(capsys):
    with fastcnn.use_backend("numpy"):
        compiling = Compiling()
        start = compiling.clock()
        with compiling.shown(None):
            nn.ReLU()(np.ones((2, 3)))
        assert compiling.clock() > start
        compiling.say()
    assert capsys.readouterr().err == ""


def test_a_rehearsal_computes_nothing_and_finds_what_must_be_compiled():
    from fastcnn.backends.numba_direct.runtime.compile import rehearsing

    x = np.ones((40, 30), np.float32)
    with fastcnn.use_backend("numba"):
        infer = nn.Sequential(nn.SiLU(), nn.Linear(30, 7)).compile_inference()
        before = backends.load().compiled()
        with rehearsing() as needed:
            assert nn.Softmax()(x).shape == x.shape
            assert infer(x).shape == (40, 7)
            assert backends.load().compiled() == before
            with ThreadPoolExecutor(1) as thread:  # another thread, which is not rehearsing
                np.testing.assert_array_equal(thread.submit(F.relu, -x, backend="numba").result(), 0 * x)
        names = {kernel.name for kernel, _ in needed}
        assert {"_pack", "_silu", "_softmax", "_unpack"} < names
        assert "_relu" not in names
        for kernel, kinds in needed:
            kernel.compile(kinds)
        before = backends.load().compiled()
        np.testing.assert_allclose(nn.Softmax()(x), 1 / 30, rtol=1e-6)
        assert backends.load().compiled() == before
