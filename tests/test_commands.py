"""``python -m fastcnn``: its output, and that a warm-up leaves nothing to compile."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn
from fastcnn.__main__ import main
from fastcnn.commands import errors, prepare

USES = """
import numpy as np
from fastcnn import backends, data, models, nn, optim, training
rng = np.random.default_rng(0)
x, labels = rng.standard_normal((200, 2, 12, 12), np.float32), rng.integers(0, 3, 200)
model = models.Conv8(3, 2, 12)
trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1, momentum=0.9), nn.CrossEntropyLoss(),
                           callbacks=[training.ClipGradients(1.0)])
trainer.fit(data.DataLoader(x, labels, 100), (x, labels), epochs=1)
trainer.optimizer = optim.SGD(model.parameters(), 0.1)
for n in (150, 101, 17, 3):
    trainer.fit(data.DataLoader(x[:n], labels[:n], 100), (x[:n], labels[:n]), epochs=1)
infer = model.compile_inference()
for n in (1, 2, 5, 100, 200):
    infer(x[:n])
print(backends.load().compiled().kernels)
"""


def run(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run Python in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fastcnn.__file__).parents[1]), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_info(tmp_path):
    done = run("-m", "fastcnn", "info", FASTCNN_NUM_THREADS="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = {line[:16].rstrip(): line[17:] for line in done.stdout.splitlines()}
    assert re.match(rf"{re.escape(str(tmp_path))}\S+, \d", lines["cache folder"])
    assert lines["fastcnn"] == fastcnn.__version__
    for name in ("python", "numpy", "numba", "llvmlite", "processor", "tiles", "threads", "cache folder"):
        assert lines[name], name
    assert re.fullmatch(r"\d+ float32, \d+ float64", lines["lanes"])
    assert re.fullmatch(r"\d+ of \d+ bytes", lines["registers"])
    assert lines["threads"].startswith("1 used; ")
    assert float(re.match(r"(\d+) GFLOP/s in float32, measured on 1 thread$", lines["peak"])[1]) > 0
    assert float(re.match(r"([\d.]+) us", lines["launch"])[1]) > 0


def test_nothing_is_left_to_compile_after_warmup(tmp_path):
    small = "--model", "conv8", "--image-size", "12", "--channels", "2", "--classes", "3", "--batch-size", "100"
    warmup = "-m", "fastcnn", "warmup", *small, "--optimizer", "sgd"
    said = r"Conv8 is ready, after [\d.]+ s: (\d+) kernels, of which (\d+) were compiled in [\d.]+ s\. All .*MB\."
    for again in (False, True):
        done = run(*warmup, NUMBA_CACHE_DIR=str(tmp_path))
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith(f"Kernels are kept in {tmp_path}")
        kernels, compiled = map(int, re.fullmatch(said, lines[1]).groups())
        assert (kernels > 15, compiled) == (True, 0 if again else kernels)
    done = run("-c", USES, NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "0"


def test_warmup_without_a_folder_fails():
    code = "import runpy, sys, numba.core.caching\nnumba.core.caching.CacheImpl._locator_classes = []\n"
    done = run("-c", code + "sys.argv = ['fastcnn', 'warmup']\nrunpy.run_module('fastcnn', run_name='__main__')")
    assert done.returncode == 1
    assert "set NUMBA_CACHE_DIR" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: fastcnn [-h] [--version] COMMAND ..."),
        ([], "\n  train      train a model\n"),
        (["wramup"], "argument COMMAND: 'wramup' is not one of train, evaluate, "),
        (["wramup"], "download, info, warmup (did you mean warmup?)\n"),
        (["fly"], "download, info, warmup\n"),
        (["summary", "Lenet5"], "argument MODEL: 'Lenet5' is not one of lenet5, "),
        (["summary", "resnet"], "(did you mean resnet20?)\n"),
        (
            ["download", "mnist", "cifar"],
            "'cifar' is not one of mnist, fashion-mnist, kmnist, cifar10 (did you mean ci",
        ),
        (["warmup", "--batch-size", "0"], "argument --batch-size: 0 is not a whole number of at least 1"),
        (
            ["warmup", "--model", "conv8", "--image-size", "1"],
            "error: --image-size is 1 but must be at least 4 for the model conv8.\n",
        ),
        (["info", "--batch-size", "1"], "there is no option --batch-size; fastcnn info --help lists the options\n"),
        (["summary", "--help=1"], "argument -h/--help: ignored explicit argument '1'"),
        (["program", "--imagesize", "9"], "there is no option --imagesize (did you mean --image-size?)\n"),
        (["predict", "--jsn", "a", "b"], "there is no option --jsn (did you mean --json?)\n"),
        (["--hlep"], "fastcnn: error: there is no option --hlep (did you mean --help?)\n"),
        (["--version=1"], "argument --version: ignored explicit argument '1'"),
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


def test_output_that_is_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["plot", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.png")]) == 1
    assert sys.stderr.getvalue().startswith("fastcnn plot: error: ")


def test_missing_streams_lead_nowhere(monkeypatch, tmp_path):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["plot", str(tmp_path / "nowhere"), "--out", str(tmp_path / "a.png")]) == 1
    with sys.stdin, sys.stdout, sys.stderr:
        assert sys.stdin.read() == ""
        assert sys.stdout.name == sys.stderr.name == os.devnull


def test_errors_of_files_are_no_wrong_arguments():
    with pytest.raises(fastcnn.FileError, match="damaged"), errors.usage("--data: "):
        raise fastcnn.FileError("damaged")
    with pytest.raises(errors.UsageError, match="--data: too small"), errors.usage("--data: "):
        raise ValueError("too small")


def test_errors_of_the_system_are_not_reworded():
    with pytest.raises(PermissionError), prepare.said_of_options():
        raise PermissionError(13, "Permission denied", "root")
    with pytest.raises(errors.CommandError, match="no --data-root there"), prepare.said_of_options():
        raise OSError("no `root` there")
