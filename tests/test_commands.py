"""``python -m fastcnn``: what it prints, and that nothing is left to compile after a warm-up."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn

STEP = """
import numpy as np
from fastcnn import models, nn, optim
model, loss = models.LeNet5(), nn.CrossEntropyLoss()
loss(model(np.zeros((5, 1, 32, 32), np.float32)), np.zeros(5, np.int64))
model.backward(loss.backward(), input_grad=False)
optim.Adam(model.parameters()).step()
"""


def run(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run Python in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fastcnn.__file__).parents[1]), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_info():
    done = run("-m", "fastcnn", "info", FASTCNN_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    lines = {line[:16].rstrip(): line[17:] for line in done.stdout.splitlines()}
    assert lines["fastcnn"] == fastcnn.__version__
    for name in ("python", "numpy", "numba", "llvmlite", "processor", "tiles", "threading layer", "cache folder"):
        assert lines[name], name
    assert re.fullmatch(r"\d+ float32, \d+ float64", lines["lanes"])
    assert re.fullmatch(r"\d+ of \d+ bytes", lines["registers"])
    assert lines["threads"].startswith("1 used; ")
    assert float(re.match(r"(\d+) GFLOP/s in float32, measured on 1 thread$", lines["peak"])[1]) > 0
    assert float(re.match(r"([\d.]+) us", lines["launch"])[1]) > 0


def test_nothing_is_left_to_compile_after_warmup():
    done = run("-m", "fastcnn", "warmup", "--batch-size", "5")
    assert done.returncode == 0, done.stderr
    assert re.search(r"LeNet-5 is ready, after [\d.]+ s; the kernels take [\d.]+ MB\.", done.stdout)
    done = run("-c", STEP)
    assert (done.returncode, done.stderr) == (0, "")


def test_warmup_without_a_folder_fails():
    code = "import runpy, sys, numba.core.caching\nnumba.core.caching.CacheImpl._locator_classes = []\n"
    done = run("-c", code + "sys.argv = ['fastcnn', 'warmup']\nrunpy.run_module('fastcnn', run_name='__main__')")
    assert done.returncode == 1
    assert "set NUMBA_CACHE_DIR" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["wramup"], "invalid choice: 'wramup'"),
        (["warmup", "--batch-size", "0"], "argument --batch-size: 0 is not a whole number of at least 1"),
        (["info", "--batch-size", "1"], "unrecognized arguments"),
    ],
)
def test_wrong_options_are_said(arguments, message):
    done = run("-m", "fastcnn", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_wrong_environment_is_said():
    done = run("-m", "fastcnn", "info", FASTCNN_NUM_THREADS="many")
    assert done.returncode == 2
    assert "error: The environment variable FASTCNN_NUM_THREADS is 'many'" in done.stderr


def test_help():
    done = run("-m", "fastcnn", "--help")
    assert done.returncode == 0
    assert "info" in done.stdout
    assert "warmup" in done.stdout
