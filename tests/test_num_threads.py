"""The choice of the number of threads, in separate processes."""

import os
import subprocess
import sys

import pytest

import fastcnn
from fastcnn import _processors

USE = "import numpy as np, fastcnn; from fastcnn import functional as F\n"
RELU = "F.relu(np.ones((3, 4)), backend='numba')\n"


def run(code: str, **environment) -> subprocess.CompletedProcess:
    """Run a program in a fresh process without variables that set the number of threads."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", USE + code]
    return subprocess.run(
        command, env={**inherited, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def printed(code: str, **environment) -> str:
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_default_is_what_the_process_may_use():
    assert printed("print(fastcnn.get_num_threads())") == str(_processors.usable())


def test_the_environment_and_set_num_threads_may_ask_for_more_than_there_are_processors():
    used = "import threading; print(fastcnn.get_num_threads(), threading.active_count())"
    steps = "F.relu(np.ones((3000, 400)), backend='numba')\n"
    assert printed(steps + used, FASTCNN_NUM_THREADS="7") == "7 7"
    assert printed("fastcnn.set_num_threads(8)\n" + steps + used) == "8 8"
    assert printed("fastcnn.set_num_threads(3)\n" + steps + used, FASTCNN_NUM_THREADS="7") == "3 3"


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", ""])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_an_environment_that_makes_no_sense_is_named(text, backend):
    done = run(f"F.relu(np.ones((3, 4)), backend={backend!r})", FASTCNN_NUM_THREADS=text)
    assert done.returncode == 1
    message = f"ValueError: The environment variable FASTCNN_NUM_THREADS is {text!r} but must be a whole number"
    assert message in done.stderr


def test_thousands_of_threads_are_refused_before_they_start():
    most = max(64, os.cpu_count())
    done = run("fastcnn.set_num_threads(20_000)")
    assert f"ValueError: `n` is 20000 but must be at most {most}." in done.stderr
    done = run("fastcnn.get_num_threads()", FASTCNN_NUM_THREADS="20000")
    assert f"FASTCNN_NUM_THREADS is 20000 but must be at most {most}." in done.stderr
    assert printed("fastcnn.set_num_threads(64); print(fastcnn.get_num_threads())") == "64"


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_threads_is_an_error(n, error):
    with pytest.raises(error, match=r"`n`"):
        fastcnn.set_num_threads(n)


def test_the_number_holds_for_all_python_threads_and_may_change():
    code = """
import threading
from fastcnn.backends import load
from fastcnn.backends.numba_direct.runtime import launch
load("numba")
seen, run = [], launch.run
from fastcnn.backends.numba_direct.runtime import launches
launches.run = lambda table, counters, *rest: (seen.append(counters.shape[1] - 1), run(table, counters, *rest))[1]
def use():
    F.relu(np.ones((3000, 400)), backend="numba")
def in_a_thread():
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
in_a_thread()
fastcnn.set_num_threads(1)
in_a_thread()
fastcnn.set_num_threads(3)
use()
in_a_thread()
print(*dict.fromkeys(seen[:3]), *dict.fromkeys(seen[3:6]), *dict.fromkeys(seen[6:]))
"""
    assert printed(code, FASTCNN_NUM_THREADS="5") == "5 1 3"


def test_blas_is_governed_alike():
    code = """
from threadpoolctl import threadpool_info
def blas(): return max([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"], default=0)
before = blas()
F.relu(np.ones((3, 4)), backend="numpy")
print(before, blas())
fastcnn.set_num_threads(1)
print(blas())
"""
    before, limited, last = map(int, printed(code, FASTCNN_NUM_THREADS="1").split())
    if before == 0:
        pytest.skip("threadpoolctl does not know NumPy's BLAS")
    assert (limited, last) == (1, 1)
    before, unlimited, last = map(int, printed(code, OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1").split())
    assert (before, unlimited) == (1, 1)  # it never gets more than it has
