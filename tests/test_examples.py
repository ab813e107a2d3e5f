"""Run the examples like a user."""

import gzip
import json
import os
import re
import runpy
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fastcnn import data
from fastcnn.data import digits

ROOT = Path(__file__).parent.parent
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of MNIST's files with 600 and 100 built-in digits."""
    folder = tmp_path_factory.mktemp("digits")
    train, test = digits(600, 100)
    arrays = (train.images[:, 0], train.labels, test.images[:, 0], test.labels)
    for name, array in zip(FILES, arrays, strict=True):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))
    return folder


def start(*options, example="lenet5") -> subprocess.Popen:
    command = [sys.executable, "-u", str(ROOT / "examples" / f"{example}.py"), *map(str, options)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def run(*options, example="lenet5") -> tuple[int, str, str]:
    process = start(*options, example=example)
    out, err = process.communicate(timeout=300)
    said = (line for line in err.splitlines(keepends=True) if not line.startswith("fastcnn: compil"))
    return process.returncode, out, "".join(said)  # without lines about compiling, which depend on earlier runs


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_lenet5_writes_what_it_promises(backend, folder, tmp_path):
    out = tmp_path / "new" / "out"
    options = ("--backend", backend, "--data", folder, "--limit", 512, "--epochs", 2, "--threads", 1)
    code, stdout, stderr = run(*options, "--out", out, "--json", tmp_path / "run.json")
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    images = "512 training images, 100 test images, also used for validation."
    assert lines[0] == f"Data: MNIST from {folder}, 512 of 600 images. {images}"
    assert lines[1] == f"Backend: {backend}, 1 thread."
    assert [line.split(":")[0] for line in lines[2:4]] == ["epoch 1", "epoch 2"]
    assert {path.name for path in out.iterdir()} == {"curves.png", "history.csv", "history.json", "weights.safetensors"}
    assert sum(array.size for array in load_file(out / "weights.safetensors").values()) == 61_706
    history, record = json.loads((out / "history.json").read_text()), json.loads((tmp_path / "run.json").read_text())
    assert len(history["step_losses"]) == 8
    assert record["epochs"] == history["epochs"]
    assert record["finished"] is True
    assert record["settings"]["seed"] == 0
    assert record["environment"]["backend"] == backend
    assert record["environment"]["threads"] == 1
    assert record["data"]["training_images"] == 512


def test_lenet5_backends_follow_the_same_curve(folder, tmp_path):
    curves = []
    for backend in ("numpy", "numba"):
        assert run("--backend", backend, "--data", folder, "--epochs", 1, "--out", tmp_path / backend)[0] == 0
        curves.append(json.loads((tmp_path / backend / "history.json").read_text())["step_losses"])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)


def test_lenet5_with_sgd(folder):
    code, stdout, _ = run("--backend", "numpy", "--data", folder, "--optimizer", "sgd", "--epochs", 1, "--lr", "0.01")
    assert code == 0
    assert "epoch 1" in stdout


def test_a_folder_whose_name_is_not_utf8(folder, tmp_path):
    try:
        link = tmp_path / os.fsdecode(b"caf\xe9")
        link.symlink_to(folder)
    except OSError:
        pytest.skip("The file system does not allow such a name.")
    options = ("--backend", "numpy", "--data", link, "--limit", 100, "--epochs", 1, "--json", tmp_path / "run.json")
    code, stdout, stderr = run(*options)
    assert (code, stderr) == (0, "")
    assert f"MNIST from {tmp_path}/caf?, 100 of 600 images. 100 training images" in stdout
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["data"] == str(link)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(("--backend", "cuda"), "invalid choice: 'cuda'", id="backend"),
        pytest.param(("--data", "no/such/folder"), "no such folder", id="data"),
        pytest.param(("--epochs", "0"), "'0' is not a whole number of at least 1", id="epochs"),
        pytest.param(("--batch-size", "1.5"), "'1.5' is not a whole number", id="batch size"),
        pytest.param(("--lr", "-1"), "'-1' is not a positive number", id="learning rate"),
        pytest.param(("--lr", "fast"), "'fast' is not a positive number", id="learning rate in words"),
        pytest.param(("--seed", "-1"), "'-1' is not a whole number of at least 0", id="seed"),
        pytest.param(("--threads", "100000"), "`n` is 100000 but must be at most", id="threads"),
        pytest.param(("--out", __file__), "it exists already and is not a folder.", id="a file as folder"),
        pytest.param(("--json", Path(__file__).parent), "it is a folder, but must be a file.", id="a folder as file"),
        pytest.param(("--colour", "red"), "unrecognized arguments: --colour red", id="unknown option"),
    ],
)
def test_lenet5_wrong_options_are_one_line(options, text):
    code, stdout, stderr = run(*options)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("lenet5.py: ")
    assert stderr.count("\n") == 1
    assert text in stderr


def test_lenet5_stops_when_the_loss_explodes(folder, tmp_path):
    options = ("--optimizer", "sgd", "--lr", "1e6", "--epochs", 2)
    code, _, stderr = run("--backend", "numba", "--data", folder, *options, "--json", tmp_path / "run.json")
    assert code == 1
    assert json.loads((tmp_path / "run.json").read_text())["finished"] is False
    assert stderr.startswith("lenet5.py: The loss of batch ")
    assert stderr.count("\n") == 1


def test_lenet5_keeps_what_it_learned_when_interrupted(folder, tmp_path):
    process = start("--backend", "numpy", "--data", folder, "--epochs", 10_000, "--out", tmp_path / "out")
    next(line for line in process.stdout if line.startswith("epoch 1"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.startswith("lenet5.py: interrupted after ")
    assert stderr.count("\n") == 1
    assert (tmp_path / "out" / "weights.safetensors").exists()


def test_lenet5_without_matplotlib_writes_the_rest(folder, tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, _, stderr = run("--backend", "numpy", "--data", folder, "--epochs", 1, "--out", tmp_path / "out")
    assert code == 0
    assert stderr == "Did not write curves.png, which needs matplotlib: pip install matplotlib.\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "history.csv",
        "history.json",
        "weights.safetensors",
    }


def test_mnist_99_trains_with_every_seed(folder, tmp_path):
    options = ("--data", folder, "--seeds", 2, "--threads", 1, "--json", tmp_path / "run.json")
    code, stdout, stderr = run(*options, example="mnist_99")
    assert (code, stderr) == (0, "")
    record = json.loads((tmp_path / "run.json").read_text())
    assert [run["seed"] for run in record["runs"]] == [0, 1]
    accuracies = [run["test_accuracy"] for run in record["runs"]]
    assert record["mean_accuracy"] == sum(accuracies) / 2
    assert record["reached"] == sum(accuracy >= 0.99 for accuracy in accuracies)
    assert f"{record['reached']} of 2 at 99 % or more" in stdout
    # 8 filters of 25 taps on 24x24 pixels, 40 of 72 on 10x10, 1000 to 10; the first layer computes no input gradient
    macs = 8 * 25 * 24**2, 40 * 72 * 10**2, 1000 * 10
    assert record["gflop"] == pytest.approx(2 * (3 * sum(macs) - macs[0]) * 128 * 6 / 1e9)


def test_microcontroller_writes_a_program_and_runs_it(folder, tmp_path):
    options = ("--data", folder, "--epochs", 3, "--backend", "numpy", "--out", tmp_path / "out")
    code, stdout, stderr = run(*options, example="microcontroller")
    assert (code, stderr) == (0, "")
    in_float, in_integers = (
        re.search(rf"Accuracy: ([\d.]+)% in {what}", stdout) for what in ("float32", "8-bit integers, as computed by")
    )
    assert float(in_float[1]) > 40
    if shutil.which("cc"):
        assert abs(float(in_float[1]) - float(in_integers[1])) <= 3  # of 100 images
    assert stdout.splitlines()[-1].endswith(" bytes of constants, 832 bytes of RAM besides the image.")
    assert "void predict(const uint8_t *image, float *probabilities)" in (tmp_path / "out" / "net.c").read_text()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--epochs", 0), "--epochs is 0 but must be at least 1"),
        (("--limit", 0), "--limit"),
        (("--data", "nowhere"), "nowhere"),
    ],
    ids=["epochs", "limit", "no data"],
)
def test_microcontroller_wrong_options_are_one_line(options, text, folder, tmp_path):
    code, _, stderr = run("--data", folder, "--out", tmp_path, *options, example="microcontroller")
    assert code == 2
    assert text in stderr
    assert stderr.count("\n") == 1


def test_transfer_trains_on_pictures_of_their_size(four_classes):
    train, test = data.load(four_classes)
    made = runpy.run_path(str(ROOT / "examples/transfer.py"))["Pictures"]
    pictures = made(train, test, range(2), data.mean_and_std(train.images))
    shapes = [images.shape for images, _ in pictures.batches(20, 1, np.random.default_rng(0))]
    assert shapes == [(20, 1, 8, 8)] * 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--seeds", 0), "--seeds is 0 but must be at least 1"),
        (("--threads", 0), "mnist_99.py: `n` "),
        (("--data", "nowhere"), "nowhere"),
        (("--json", "nowhere/run.json"), "nowhere"),
    ],
    ids=["seeds", "threads", "no data", "a folder that is not there"],
)
def test_mnist_99_wrong_options_are_one_line(options, text, folder):
    code, _, stderr = run("--data", folder, *options, example="mnist_99")
    assert code == 2
    assert text in stderr
    assert stderr.count("\n") == 1


@pytest.fixture(scope="module")
def four_classes(tmp_path_factory):
    """Four classes of noise with different brightness."""
    rng, file = np.random.default_rng(0), tmp_path_factory.mktemp("four") / "four.npz"
    labels = np.arange(80) % 4
    images = (rng.integers(60, size=(80, 8, 8)) + 60 * labels[:, None, None]).astype(np.uint8)
    np.savez(file, x_train=images, y_train=labels, x_test=images[:40], y_test=labels[:40])
    return file


def test_transfer_compares_each_way_with_every_seed(four_classes, tmp_path):
    sizes = ("--epochs", 2, "--batch-size", 20, "--pictures", 5, "--new-epochs", 10, "--seeds", 2)
    options = ("--data", four_classes, *sizes, "--threads", 1, "--json", tmp_path / "run.json")
    code, stdout, stderr = run(*options, example="transfer")
    assert (code, stderr) == (0, "")
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["body"]["classes"], record["body"]["pictures"]) == (2, 40)
    ways = ["head", "head and body", "from nothing"]
    assert [(run["way"], run["seed"]) for run in record["runs"]] == [(way, seed) for seed in (0, 1) for way in ways]
    mean = np.mean([run["test_accuracy"] for run in record["runs"] if run["way"] == "head"])
    assert f"head           {mean:7.2%} ±" in stdout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--seeds", 0), "--seeds is 0 but must be at least 1"),
        (("--pictures", 21), "--pictures is 21, but a class has fewer"),
        (("--data", "nowhere"), "nowhere"),
    ],
    ids=["seeds", "pictures", "no data"],
)
def test_transfer_wrong_options_are_one_line(options, text, four_classes):
    code, _, stderr = run("--data", four_classes, *options, example="transfer")
    assert code == 2
    assert text in stderr
    assert stderr.count("\n") == 1


def test_segmentation_learns_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    options = "--images", 160, "--epochs", 3, "--size", 16, "--out", tmp_path / "out"
    code, stdout, stderr = run(*options, example="segmentation")
    assert (code, stderr) == (0, "")
    losses = [float(re.search(r"loss ([\d.]+)", line)[1]) for line in stdout.splitlines() if line.startswith("epoch")]
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]
    head, *rows, written = stdout.splitlines()[3:]
    assert head.startswith("256 images, loss ")
    assert [row.split()[0] for row in rows] == ["class", "background", "disc", "square", "triangle"]
    assert sum(int(row.split()[1]) for row in rows[1:]) == 256 * 16 * 16
    assert written == f"Wrote curves.png and segmentation.png to {tmp_path / 'out'}."
    for name in ("segmentation.png", "curves.png"):
        assert (tmp_path / "out" / name).stat().st_size > 5_000


def test_signals_learns_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    options = "--signals", 640, "--epochs", 2, "--backend", "numpy", "--out", tmp_path / "out"
    code, stdout, stderr = run(*options, example="signals")
    assert (code, stderr) == (0, "")
    *epochs, right, written = stdout.splitlines()
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    assert len(epochs) == len(history["epochs"]) == 2
    assert history["epochs"][1]["train_loss"] < 0.9 * history["epochs"][0]["train_loss"]
    assert 20 < float(re.fullmatch(r"Accuracy: (.*)% of 1,000 new signals of 5 forms\.", right)[1]) <= 100
    names = re.split(", | and ", written.removeprefix("Wrote ").removesuffix(f" to {tmp_path / 'out'}."))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
