"""examples/whole_cnn.py computes what fastcnn does, to rounding, in 200 lines of plain Python, and learns."""

import ast
import gzip
import importlib.util
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastcnn import data, nn, optim, use_backend
from fastcnn import functional as F
from tests.profile import FULL

FILE = Path(__file__).parent.parent / "examples" / "whole_cnn.py"
BATCHES = 10, 10, 7, 10, 10


@pytest.fixture(scope="module")
def cnn():
    spec = importlib.util.spec_from_file_location("whole_cnn", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["numpy", "numba"])
def _backend(request):
    with use_backend(request.param):
        yield


def arrays(parameters) -> list[np.ndarray]:
    return [np.array(part) for layer in parameters for part in layer]


def twin(parameters) -> nn.Sequential:
    """The same network in fastcnn."""
    weights = arrays(parameters)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(weights[-2].shape[1], 10),
    ).to("float64")  # fmt: skip
    for parameter, values in zip(model.parameters(), weights, strict=True):
        assert parameter.shape == values.shape
        parameter.data = values
    return model


def digits(cnn, rng, count):
    """Pairs as the example's and the arrays of fastcnn."""
    pairs = [(cnn.draw_digit(rng, label), label) for label in (rng.randrange(10) for _ in range(count))]
    return pairs, np.array([x for x, _ in pairs]), np.array([label for _, label in pairs])


def assert_equal(ours, right):
    np.testing.assert_allclose(ours, right, rtol=1e-11, atol=1e-13)


@pytest.mark.usefixtures("_backend")
def test_every_layer_gives_what_fastcnns_gives(cnn):
    rng = random.Random(0)
    parameters = cnn.new_parameters(rng)
    pairs, y, _ = digits(cnn, rng, 10)
    model, steps = twin(parameters), [cnn.forward(parameters, x) for x, _ in pairs]
    outputs = []
    for layer in model:
        y = layer(y)
        outputs.append(y)
    for ours, right in zip(zip(*steps, strict=True), [outputs[k] for k in (1, 2, 4, 5, 6)], strict=True):
        assert_equal(ours, right)


@pytest.mark.usefixtures("_backend")
def test_loss_gradients_and_weights_after_steps_are_fastcnns(cnn):
    rng = random.Random(1)
    parameters = cnn.new_parameters(rng)
    velocity = cnn.apply(lambda p: 0.0, parameters)
    model, loss = twin(parameters), nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for count in BATCHES:
        pairs, images, labels = digits(cnn, rng, count)
        gradients = cnn.apply(lambda p: 0.0, parameters)
        for x, label in pairs:
            cnn.backward(parameters, gradients, x, label, 1 / count)
        value = loss(model(images), labels)
        optimizer.zero_grad()
        model.backward(loss.backward())
        for ours, parameter in zip(arrays(gradients), model.parameters(), strict=True):
            assert np.abs(parameter.grad).max() > 1e-3
            assert_equal(ours, parameter.grad)
        assert cnn.train_step(parameters, velocity, pairs, lr=0.05) == pytest.approx(value, rel=1e-12)
        optimizer.step()
    for ours, parameter in zip(arrays(parameters), model.parameters(), strict=True):
        assert_equal(ours, parameter.data)


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 8)], ids=str)
def test_functions_of_layers(cnn, rng, shape):
    x, weight, bias = rng.normal(size=shape), rng.normal(size=(2, shape[0], 2, 2)), rng.normal(size=2)
    y = cnn.conv(x.tolist(), weight.tolist(), bias.tolist())
    assert_equal([y], F.conv2d(x[None], weight, bias, backend="naive"))
    dy = rng.normal(size=np.shape(y))
    dweight, dbias = np.ones(weight.shape).tolist(), [1.0, 1.0]  # what is there already stays
    dx = cnn.conv_backward(dy.tolist(), x.tolist(), weight.tolist(), dweight, dbias)
    right = F.conv2d_backward(dy[None], x[None], weight, backend="naive")
    for ours, expected in zip(([dx], dweight, dbias), (right[0], right[1] + 1, right[2] + 1), strict=True):
        assert_equal(ours, expected)


@pytest.mark.parametrize("shape", [(2, 6, 4), (1, 7, 5)], ids=["even", "rows and columns left over"])
def test_max_pooling_with_ties(cnn, rng, shape):
    x = rng.integers(0, 3, shape).astype(float)
    y, indices = F.max_pool2d(x[None], 2, return_indices=True, backend="naive")
    assert [cnn.max_pool(x.tolist())] == y.tolist()
    dy = rng.normal(size=y.shape)
    right = F.max_pool2d_backward(dy, indices, (1, *shape), backend="naive")
    assert [cnn.max_pool_backward(dy[0].tolist(), x.tolist())] == right.tolist()


def test_relu_has_no_gradient_at_zero(cnn):
    assert cnn.relu([[[-1.0, 0.0, 2.0]]]) == [[[0.0, 0.0, 2.0]]]
    assert cnn.relu_backward([[[5.0, 6.0, 7.0]]], [[[0.0, 0.0, 2.0]]]) == [[[0.0, 0.0, 7.0]]]


def test_cross_entropy_of_large_logits(cnn):
    loss, gradient = cnn.cross_entropy([1000.0, 1000.0, -1000.0], 1)
    assert loss == pytest.approx(np.log(2))
    assert gradient == [0.5, -0.5, 0.0]


def test_it_is_short_and_needs_only_the_standard_library():
    text = FILE.read_text("utf-8")
    assert text.count("\n") <= 200
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module.partition(".")[0])
    assert names <= set(sys.stdlib_module_names)
    assert "random" in names


def run(*options) -> list[tuple[float, float]]:
    """Loss and accuracy in % after each epoch, by Python without any packages; the first line announces the work."""
    command = [sys.executable, "-I", "-S", "-W", "error", FILE, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, *epochs = done.stdout.splitlines()
    images = dict(zip(options[::2], options[1::2], strict=True)).get("--images", 1000)
    assert first == f"Training on {images} digits for {len(epochs)} epochs, with 7 ms or so for each digit."
    line = re.compile(r"epoch \d+: loss ([\d.]+), test accuracy ([\d.]+)%")
    return [tuple(map(float, line.fullmatch(text).groups())) for text in epochs]


def test_a_short_run_learns():
    losses, accuracies = zip(*run("--epochs", 3, "--images", 400), strict=True)
    assert list(losses) == sorted(losses, reverse=True)
    assert losses[-1] < 1.8  # it started near ln 10 = 2.3
    assert accuracies[-1] > 35  # 10 % would be by chance


def test_the_seed_decides():
    options = "--epochs", 1, "--images", 20
    assert run(*options) == run(*options, "--seed", 0) != run(*options, "--seed", 1)


@pytest.mark.skipif(not FULL, reason="half a minute; FASTCNN_TEST_PROFILE=full does it")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_with_the_defaults_reads_nearly_all_digits(seed):
    assert run("--seed", seed)[-1][1] >= 95


def test_mnists_files(cnn, tmp_path):
    train, test = data.digits(60, 30)
    for name, part in ("train", train), ("t10k", test):
        for kind, array in ("images-idx3", part.images[:, 0]), ("labels-idx1", part.labels):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content = gzip.compress(header + array.astype(np.uint8).tobytes())
            (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(content)
    pairs = cnn.read_mnist(tmp_path, "train", 50)
    assert [label for _, label in pairs] == train.labels[:50].tolist()
    means = train.images[:50].astype(float).reshape(50, 1, 14, 2, 14, 2).mean(axis=(3, 5)) / 255
    assert_equal([x for x, _ in pairs], means)
    assert len(run("--mnist", tmp_path, "--images", 20, "--epochs", 1)) == 1


def test_help():
    done = subprocess.run([sys.executable, FILE, "--help"], capture_output=True, text=True, check=True)
    for option in "--epochs", "--images", "--seed", "--mnist":
        assert option in done.stdout


@pytest.mark.parametrize("given", [("--images", 0), ("--epochs", -1), ("--mnist", "no/such/folder"), ("--mnist", ".")])
def test_wrong_options_are_one_sentence(given, tmp_path):
    done = subprocess.run([sys.executable, FILE, *map(str, given)], capture_output=True, text=True, cwd=tmp_path)
    needed = "--epochs and --images must be at least 1, and --mnist a folder with MNIST's four .gz files"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"whole_cnn.py: error: {needed}\n")
