"""C programs in 8-bit integers: they have the bits of the reference in NumPy, which is close to the float net."""

import re

import numpy as np
import pytest

from fastcnn import data, interop, models, nn, use_backend
from fastcnn.commands.classifier import Classifier
from fastcnn.interop.c.encoding import Encoding, fixed_point, rescaled
from fastcnn.interop.c.listing import steps_of
from fastcnn.interop.c.quantized import quantized
from fastcnn.interop.c.steps import Array
from tests.c_programs import FAST, needs_compiler, outputs, sizes
from tests.command_line import call
from tests.test_onnx import draw_statistics, set_state
from tests.test_picture_parts import pictures
from tests.test_to_c import POOLED, pooled_signals


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled; the other backends agree with it."""
    with use_backend("numpy"):
        yield


def reference(model, images, calibration, preprocessing=None):
    """Compute the outputs with the reference in NumPy."""
    shape = images.shape[1:]
    steps, y = steps_of(model, shape, preprocessing)
    return quantized(steps, Array(0, shape), y, calibration).compute(images)


def assert_bits(model, images, calibration, path, preprocessing=None, **how):
    """Check that the C program and the reference give the same bits; return them."""
    expected, options = reference(model, images, calibration, preprocessing), {"preprocessing": preprocessing}
    said = interop.to_c(model, path, images.shape[1:], precision="int8", calibration=calibration, **options)
    np.testing.assert_array_equal(outputs(path, images, expected.shape[1:], **how), expected)
    assert said == sizes(path)
    return expected


def assert_close(model, found, expected, share=0.03):
    """Check that errors are small, as a share of the range of the output."""
    assert np.abs(found - expected).max() <= share * (expected.max() - expected.min())


@needs_compiler
@pytest.mark.parametrize("name", models.NAMES)
def test_every_model(name, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng).eval()
    x = rng.standard_normal((9, *model.input_shape)).astype(np.float32)
    found = assert_bits(model, 1.2 * x[:2], x, tmp_path / "a.c")
    assert_close(model, found, model(1.2 * x[:2]), 0.2)


@needs_compiler
@pytest.mark.parametrize("name", models.NAMES)
def test_every_model_on_pixels(name, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng).eval()
    C, size, _ = model.input_shape
    prepare = data.Preprocessing(size, rng.uniform(0.3, 0.6, C), rng.uniform(0.1, 0.4, C))
    images = rng.integers(0, 256, (9, C, size - 3, size - 4)).astype(np.uint8)
    found = assert_bits(model, images[:2], images, tmp_path / "a.c", prepare)
    assert_close(model, found, model(prepare(images[:2])), 0.2)


LAYERS = [
    pytest.param(nn.Conv2d(3, 4, 3), id="convolution"),
    pytest.param(nn.Conv2d(3, 4, 3, bias=False), id="no bias"),
    pytest.param(nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0, 2, 1)), id="stride and padding"),
    pytest.param(nn.Conv2d(3, 6, 2, padding=2, dilation=(2, 3), groups=3), id="dilation and groups"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten(), nn.ReLU()), id="a ReLU of another shape"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 2), nn.Residual(nn.ReLU())), id="a ReLU beside another reader"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(90, 7)), id="linear layer"),
    pytest.param(nn.MaxPool2d(3, 2, 1), id="max-pooling"),
    pytest.param(nn.AvgPool2d(3, 2, 1), id="average-pooling"),
    pytest.param(nn.AvgPool2d(2, divisor_override=-3), id="average-pooling, negative divisor"),
    pytest.param(nn.Sequential(nn.AvgPool2d(1, 2), nn.ResizeChannels(5)), id="more channels"),
    pytest.param(nn.ResizeChannels(2), id="fewer channels"),
    pytest.param(nn.GlobalAvgPool2d(), id="global average-pooling"),
    pytest.param(nn.BatchNorm2d(3), id="batch normalization"),
    pytest.param(nn.Residual(nn.Dropout()), id="a sum of the same"),
    pytest.param(nn.Residual(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()), id="a sum"),
    pytest.param(nn.Sequential(nn.ReLU(), nn.LeakyReLU(-0.5), nn.Hardswish()), id="activations"),
    *POOLED,
    pytest.param(nn.Identity(), id="nothing"),
]  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, tmp_path, rng):
    layer = draw_statistics(layer, rng).eval()
    x = 3 * rng.standard_normal((20, 3, 5, 6)).astype(np.float32)
    found = assert_bits(layer, x, x, tmp_path / "a.c")
    narrowed = any(isinstance(module, nn.Tanh) for module in layer.modules())  # the sums before it range to 6, not 1
    assert_close(layer, found, layer(x), 0.05 if narrowed else 0.02)  # of 200 weights drawn, at most 0.037 and 0.016


@needs_compiler
def test_pooled_signals(tmp_path, rng):
    model, x = pooled_signals(rng), rng.standard_normal((9, 2, 17)).astype(np.float32)
    assert_close(model, assert_bits(model, x, x, tmp_path / "a.c"), model(x))
    assert "max_pooling" not in (tmp_path / "a.c").read_text()


@needs_compiler
def test_signals_with_a_softmax(tmp_path, rng):
    model = nn.Sequential(draw_statistics(models.SignalNet(2, 5, 40, rng=rng), rng), nn.Softmax()).eval()
    x = rng.standard_normal((9, 5, 40)).astype(np.float32)
    interop.to_c(model, tmp_path / "a.c", x.shape[1:], precision="int8", calibration=x)
    found = outputs(tmp_path / "a.c", x, model(x).shape[1:])
    np.testing.assert_allclose(found, reference(model, x, x), atol=1e-6)  # exp is that of C
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


@needs_compiler
def test_numbers_beyond_the_calibration_are_cut(tmp_path, rng):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.Residual(nn.Conv2d(2, 2, 3, padding=1, rng=rng)))
    x = rng.standard_normal((5, 1, 6, 6)).astype(np.float32)
    found = assert_bits(model, 1e6 * x, x, tmp_path / "a.c")
    assert np.abs(found).max() < 1.5 * np.abs(model(x)).max()


@needs_compiler
def test_a_filter_of_tiny_weights_with_a_large_bias(tmp_path, rng):
    weight = np.float32([[1, -1], [1e-12, 0], [0, 0], [0, 0]])
    layer = set_state(nn.Linear(2, 4), weight=weight, bias=np.float32([0, 3, -2, 0]))
    x = rng.standard_normal((50, 2)).astype(np.float32)
    assert_close(layer, assert_bits(layer, x, x, tmp_path / "a.c"), layer(x), 0.01)


def test_padding_of_the_first_convolution_is_no_black(tmp_path):
    """A black image is -1 everywhere, but its padding is 0: sums at the edge are smaller."""
    layer = set_state(nn.Conv2d(1, 1, 3, padding=1), weight=np.ones((1, 1, 3, 3), np.float32), bias=np.float32([0]))
    prepare, black = data.Preprocessing(3, (0.5,), (0.5,)), np.zeros((2, 1, 3, 3), np.uint8)
    found = reference(layer, black, black, prepare)[0, 0]
    np.testing.assert_allclose(found, [[-4, -6, -4], [-6, -9, -6], [-4, -6, -4]], atol=0.06)


@pytest.mark.parametrize("factor", [1e-9, 0.3, 1.0, 0.9999999999, 2.0**-31, 1234.5, -0.3, 1e-30])
def test_factors_as_integers(factor):
    multiplier, shift = fixed_point(factor)
    assert 1 <= shift <= 62
    np.testing.assert_allclose(multiplier / 2.0**shift, factor, rtol=2**-30, atol=2.0**-63)


def test_rescaling_by_hand():
    sums = np.array([10, 11, -10, -11, 1000, -1000])
    np.testing.assert_array_equal(rescaled(sums * 3, 2, 50), [58, 58, 43, 42, 255, 0])  # 7.5, 8.25, -7.5, -8.25


def test_encoding_by_hand():
    assert Encoding.of(-1.0, 254.0) == (1.0, 1)
    assert Encoding.of(10.0, 25.5) == (Encoding.of(0.0, 25.5))  # zero is always exact, for padding
    assert Encoding.of(0.0, 0.0) == (1.0, 0)
    np.testing.assert_array_equal(Encoding(0.5, 3).encode(np.float32([0, 0.5, -99, 199])), [3, 4, 0, 255])
    np.testing.assert_array_equal(Encoding(0.5, 3).decode(np.uint8([3, 4, 0])), np.float32([0, 0.5, -1.5]))


def test_only_the_output_is_float(tmp_path, rng):
    model = nn.Sequential(*models.ResNet20(image_size=8, rng=rng), nn.Softmax())
    images = rng.integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    prepare = data.Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
    options = {"preprocessing": prepare, "precision": "int8", "calibration": images}
    interop.to_c(model, tmp_path / "a.c", (3, 8, 8), **options)
    text = (tmp_path / "a.c").read_text()
    functions = dict(re.findall(r"^static \w+ (\w+)\((.*?)^}", text, re.MULTILINE | re.DOTALL))
    assert {name for name, body in functions.items() if "float" in body} == {"dequantize", "softmax"}
    body = text[text.rindex("void predict") :]
    assert re.findall(r"(\w+)\(", body.replace("(struct", ""))[-2:] == ["dequantize", "softmax"]
    assert "relu" not in functions  # the range of the numbers before it cuts off negative ones
    assert "then 2: ReLU */" in body
    assert "lookup" not in functions


def mistakes(layers, **options):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), *layers)
    interop.to_c(model, options.pop("path"), (1, 8, 8), **{"precision": "int8", **options})


GOOD = np.ones((2, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([nn.Softmax(), nn.ReLU()], {"calibration": GOOD}, "^1: Softmax can .* only at the end of the model"),
        ([nn.AvgPool2d(2, 2, 1, count_include_pad=False)], {"calibration": GOOD}, "^1: AvgPool2d.* several numbers"),
        ([nn.AvgPool2d(4, ceil_mode=True)], {"calibration": GOOD}, "^1: AvgPool2d.* several numbers of pixels"),
        ([nn.LeakyReLU(1e39)], {"calibration": -9 * GOOD}, "^1: for .* output of LeakyReLU has numbers that are not"),
        ([nn.Upsample(2)], {"calibration": GOOD}, r"^1: Upsample cannot be written as C\."),
        ([], {"calibration": None}, r"`calibration` must be an array of float32 images of shape \(N, 1, 8, 8\) for "),
        ([], {"calibration": GOOD[:0]}, r"not float32 of shape \(0, 1, 8, 8\)"),
        ([], {"calibration": GOOD[0]}, r"not float32 of shape \(1, 8, 8\)"),
        ([], {"calibration": GOOD.astype(np.uint8)}, "not uint8 of shape"),
        ([], {"calibration": GOOD * np.float32("nan")}, "`calibration` has numbers that are not finite"),
        ([], {"calibration": GOOD, "precision": "float32"}, '`calibration` is for precision "int8"; "float32" '),
        ([], {"calibration": GOOD, "precision": "int4"}, "`precision` is 'int4' but must be one of 'float32', 'int8'"),
    ],
)  # fmt: skip
def test_mistakes(layers, options, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        mistakes(layers, path=tmp_path / "a.c", **options)
    assert not list(tmp_path.iterdir())


def test_what_the_first_layer_must_be(tmp_path):
    prepare, images = data.Preprocessing(8, (0.5,), (0.5,)), np.ones((2, 1, 8, 8), np.uint8)
    for layers, name in (
        ([nn.MaxPool2d(2)], r"^0: in int8 .* must take the pixels, but MaxPool2d does\.$"),
        ([nn.Softmax()], r"^`model`: in int8 .*, but there is none\.$"),
        ([nn.Residual(nn.Conv2d(1, 1, 1))], r"^0\.body: in int8 .*, but 0 does, too\.$"),
        ([nn.Residual(nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1))], r"^0\.body: .*, but 0\.shortcut does, too\.$"),
        (
            [nn.Flatten(), nn.Unflatten(1, (1, 4, 16)), nn.Conv2d(1, 2, 2, 2)],  # 16 windows, as without the Flatten
            r"^2: in int8 .* takes them in the shape \(1, 4, 16\) instead of \(1, 8, 8\)\.$",
        ),
    ):
        with pytest.raises(ValueError, match=name):
            interop.to_c(
                nn.Sequential(*layers), tmp_path / "a.c", (1, 8, 8), preprocessing=prepare, precision="int8",
                calibration=images,
            )  # fmt: skip


def test_padding_needs_a_level(tmp_path):
    options = {"precision": "int8", "calibration": np.ones((2, 1, 8, 8), np.uint8)}
    prepare = data.Preprocessing(8, (-0.5,), (0.5,))
    with pytest.raises(ValueError, match=r"^`model`: Conv2d\(.* with padding, .*: \(-0\.5,\) is not within 0 and 1\.$"):
        interop.to_c(nn.Conv2d(1, 1, 3, padding=1), tmp_path / "a.c", (1, 8, 8), preprocessing=prepare, **options)
    interop.to_c(nn.Conv2d(1, 1, 3), tmp_path / "a.c", (1, 8, 8), preprocessing=prepare, **options)


@pytest.mark.parametrize("scale", [3e38, -3e38])
def test_activations_must_be_finite(scale, tmp_path):
    layer = set_state(nn.Linear(2, 1, bias=False), weight=np.float32([[scale, scale]]))
    model = nn.Sequential(nn.ReLU(), layer)
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match=r"^1: for images of `calibration`, the output of Linear has numbers that"):
        interop.to_c(model, tmp_path / "a.c", (2,), precision="int8", calibration=x)


@needs_compiler
@pytest.mark.parametrize("largest", [1e-45, 5e-43, 1e-39, 1e-30])
def test_tiny_activations(largest, tmp_path):
    """Their zero still fits eight bits, though neighbouring denormal numbers may be further apart than their steps."""
    x = np.float32([[-largest, 0]])
    assert Encoding.of(x.min(), x.max()).zero <= 255
    assert_bits(nn.Sequential(nn.LeakyReLU(), nn.Linear(2, 2)), x, x, tmp_path / "a.c")


@needs_compiler
def test_a_softmax_of_another_shape_than_the_output(tmp_path, rng):
    model = nn.Sequential(nn.Conv2d(2, 3, 1, rng=rng), nn.Softmax(), nn.Flatten())
    x = rng.standard_normal((5, 2, 2, 2)).astype(np.float32)
    interop.to_c(model, tmp_path / "a.c", (2, 2, 2), precision="int8", calibration=x)
    assert "probabilities: 12;" in (tmp_path / "a.c").read_text()
    np.testing.assert_allclose(outputs(tmp_path / "a.c", x, (12,)), reference(model, x, x), atol=1e-6)


def test_sums_fit_32_bits(tmp_path):
    layer = set_state(nn.Linear(70_000, 1), weight=np.ones((1, 70_000), np.float32))
    with pytest.raises(ValueError, match=r"^`model`: Linear.* has too many weights for sums in 32 bits\.$"):
        interop.to_c(layer, tmp_path / "a.c", (70_000,), precision="int8", calibration=np.ones((1, 70_000), np.float32))


@needs_compiler
def test_a_run_in_int8(trained_run, mnist_folder, tmp_path, capsys):
    code, stdout, stderr = call(capsys, "export", trained_run, "--out", tmp_path / "a.c", "--precision", "int8")
    assert (code, stdout) == (0, "")
    flash, ram = sizes(tmp_path / "a.c")
    assert stderr.endswith(f"It needs {flash:,} bytes of flash for constants and {ram:,} bytes of RAM.\n")
    assert interop.to_c(models.Conv4Conv8(), tmp_path / "b.c").flash > 3.5 * flash
    _, test = data.mnist(mnist_folder)
    found = outputs(tmp_path / "a.c", test.images, (10,), FAST)
    expected = Classifier(trained_run).probabilities(test.images)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.99
    np.testing.assert_allclose(found, expected, atol=0.15)


def test_a_run_in_int8_with_images_larger_than_the_network(tmp_path, mnist_folder, capsys):
    pytest.importorskip("PIL")
    options = ("--model", "conv8", "--backend", "numpy", "--batch-size", 50, "--limit", 100, "--epochs", 1)
    out = tmp_path / "run"
    assert call(capsys, "train", *options, "--data-root", mnist_folder, "--image-size", 20, "--out", out)[0] == 0
    code, _, stderr = call(capsys, "export", out, "--out", tmp_path / "a.c", "--precision", "int8")
    assert code == 0, stderr
    assert "uint8 image (1, 20, 20)" in stderr


def test_a_run_in_int8_needs_its_training_images(tmp_path, capsys):
    pytest.importorskip("PIL")
    folder, out = pictures(tmp_path / "all", "pictures", count=12) / "pictures", tmp_path / "run"
    options = ("--model", "conv8", "--backend", "numpy", "--batch-size", 5, "--image-size", 14, "--epochs", 1)
    assert call(capsys, "train", *options, "--data", folder, "--out", out)[0] == 0
    export = ("export", out, "--out", tmp_path / "a.c", "--precision", "int8")
    code, _, stderr = call(capsys, *export)
    assert code == 0, stderr
    folder.rename(tmp_path / "elsewhere")
    code, _, stderr = call(capsys, *export)
    assert code == 1
    assert f"{folder}, which the run was trained on, no longer exists; int8 needs its training images." in stderr
