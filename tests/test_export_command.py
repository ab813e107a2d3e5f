"""``fastcnn export``: its files give the same predictions as ``fastcnn predict`` in other programs."""

import json
import sys

import numpy as np
import pytest

from fastcnn import _files, data, models, training, use_backend
from fastcnn.commands.classifier import Classifier
from tests.command_line import SMALL, call

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def computed(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": images})[0]


def test_a_run_as_onnx_takes_pixels_and_gives_probabilities(trained_run, mnist_folder, tmp_path, capsys):
    code, stdout, stderr = call(capsys, "export", trained_run, "--out", tmp_path / "a.onnx")
    assert (code, stdout) == (0, "")
    assert stderr == (
        f'Wrote {tmp_path / "a.onnx"}: "input" takes uint8 images (N, 1, 28, 28), "output" gives probabilities '
        "(N, 10).\n"
    )
    _, test = data.mnist(mnist_folder)
    probabilities = computed(tmp_path / "a.onnx", test.images)
    assert (probabilities.argmax(1) == test.labels).mean() > 0.8
    np.testing.assert_allclose(probabilities, Classifier(trained_run).probabilities(test.images), atol=2e-6)
    metadata = {item.key: item.value for item in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(metadata["classes"]) == [*"0123456789"]


@pytest.mark.parametrize(("size", "takes"), [(32, (1, 28, 28)), (20, (1, 20, 20))], ids=["padded", "shrunk before"])
def test_images_of_another_size_than_the_networks(size, takes, tmp_path, mnist_folder, capsys):
    pytest.importorskip("PIL")
    out = tmp_path / "run"
    train = (*SMALL, "--data-root", mnist_folder, "--limit", 100, "--epochs", 1, "--image-size", size, "--out", out)
    assert call(capsys, "train", *train)[0] == 0
    code, _, stderr = call(capsys, "export", out, "--out", tmp_path / "a", "--format", "onnx")
    assert code == 0
    assert f"uint8 images (N, {', '.join(map(str, takes))})," in stderr
    _, test = data.mnist(mnist_folder)
    classifier = Classifier(out)
    images = data.preprocessing.fit_square(test.images, size) if size < 28 else test.images
    np.testing.assert_allclose(computed(tmp_path / "a", images), classifier.probabilities(test.images), atol=2e-6)


def test_a_run_as_weights(trained_run, tmp_path, capsys):
    code, stdout, stderr = call(capsys, "export", trained_run, "--out", tmp_path / "a.safetensors")
    assert (code, stdout) == (0, "")
    assert stderr.endswith("a.safetensors: 6 arrays, 4,842 numbers.\n")
    assert (tmp_path / "a.safetensors").read_bytes() == (trained_run / "best.safetensors").read_bytes()
    checkpoint = sorted(trained_run.glob("checkpoint-*"))[0]
    code, _, _ = call(capsys, "export", checkpoint, "--format", "safetensors", "--out", tmp_path / "weights")
    assert code == 0
    arrays, _ = _files.read_arrays(tmp_path / "weights")
    for name, array in training.load_checkpoint(checkpoint).weights.items():
        np.testing.assert_array_equal(arrays.pop(name), array)
    assert not arrays


def test_a_model_with_options_and_weights(tmp_path, capsys, rng):
    model = models.build("conv8", image_size=9, num_classes=3, rng=rng)
    training.save_weights(model, tmp_path / "w.safetensors")
    options = ("--options", "image_size=9", "num_classes=3", "--out", tmp_path / "a.onnx")
    code, _, stderr = call(capsys, "export", "conv8", "--weights", tmp_path / "w.safetensors", *options)
    assert code == 0
    assert stderr == f'Wrote {tmp_path / "a.onnx"}: "input" takes float32 images (N, 1, 9, 9).\n'
    x = rng.standard_normal((3, 1, 9, 9)).astype(np.float32)
    with use_backend("numpy"):
        np.testing.assert_allclose(computed(tmp_path / "a.onnx", x), model(x), atol=1e-5)
    code, _, stderr = call(capsys, "export", "conv8", *options)
    assert code == 0
    said = "The model conv8 has random weights; use --weights to load trained ones."
    assert stderr.startswith(f"{said}\nWrote {tmp_path / 'a.onnx'}: ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["conv8", "--out", "a.bin"], 2, "--out is a.bin, which has no suffix .onnx, .c or .safetensors",
                     id="no format"),
        pytest.param(["conv8", "--out", "a.onnx", "--format", "pb"], 2, "invalid choice: 'pb'", id="another format"),
        pytest.param(["conv8", "--out", "a.onnx", "--precision", "int8"], 2, "--precision is for C, but a.onnx is",
                     id="precision of ONNX"),
        pytest.param(["conv8", "--out", "a.c", "--precision", "int8"], 2, "--precision int8 needs the training images",
                     id="a model in int8"),
        pytest.param(["conv8"], 2, "the following arguments are required: --out", id="no file"),
        pytest.param(["conv8", "--out", "a.onnx", "--options", "depth=3"], 2, "'conv8' has no option `depth`",
                     id="another option"),
        pytest.param(["conv9", "--out", "a.onnx"], 1, "There is no run, no checkpoint and no model conv9 (in full: ",
                     id="no such thing"),
        pytest.param(["RUN", "--out", "a.onnx", "--options", "depth=3"], 2, "--options is for a model", id="of a run"),
        pytest.param(["RUN", "--out", "a.onnx", "--weights", "b"], 2, "--weights is for a model", id="nor this"),
        pytest.param(["conv8", "--out", "a.onnx", "--weights", "b"], 1, "b", id="no weights"),
        pytest.param(["lenet5", "--out", "a.onnx", "--weights", "RUN/best.safetensors"], 1,
                     "best.safetensors: The state does not fit this LeNet5: ", id="weights of another model"),
        pytest.param(["conv8", "--out", "nowhere/a.onnx"], 1, "nowhere/a.onnx", id="no folder"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, code, message, trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, stdout, stderr = call(capsys, "export", *(text.replace("RUN", str(trained_run)) for text in arguments))
    assert (found, stdout) == (code, "")
    assert stderr.splitlines()[-1].startswith("fastcnn export: error: ")
    assert message in stderr
    assert not list(tmp_path.iterdir())


def test_without_onnx(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, stderr = call(capsys, "export", "conv8", "--out", tmp_path / "a.onnx")
    assert code == 1
    assert stderr.endswith("fastcnn export: error: Writing ONNX needs the onnx package: pip install onnx.\n")
    assert call(capsys, "export", "conv8", "--out", tmp_path / "a.safetensors")[0] == 0
