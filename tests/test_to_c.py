"""Models as C programs: compiled with all warnings and sanitizers, they compute what fastcnn computes."""

import json
import os
import re

import numpy as np
import pytest

import fastcnn
from fastcnn import data, interop, models, nn, training, use_backend
from fastcnn.commands.classifier import Classifier
from fastcnn.interop.c.layers import WRITERS
from fastcnn.interop.c.listing import steps_of
from fastcnn.interop.c.memory import plan
from fastcnn.testing import ADAPTIVE_POOL_CASES, CONV_CASES, NORM_CASES, POOL_CASES, assert_close
from tests.c_programs import FAST, STRICT, needs_compiler, outputs, run, sizes
from tests.command_line import call as command
from tests.command_line import main
from tests.nd import of
from tests.test_onnx import draw_statistics, set_state

FINITE = "distinct", "constant", "few"  # C programs make no promise about infinities and NaN


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled; the other backends agree with it."""
    with use_backend("numpy"):
        yield


def assert_same(model, x, path, length=64, **options):
    """Check that the C program's output equals fastcnn's up to rounding, and that its sizes are as said."""
    said, expected = interop.to_c(model, path, x.shape[1:], **options), model.eval()(x)
    assert_close(
        outputs(path, x, expected.shape[1:]), expected, length, np.full(expected.shape, np.abs(expected).max())
    )
    assert said == sizes(path)
    return said


@needs_compiler
@pytest.mark.parametrize("name", models.NAMES)
def test_every_model(name, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng)
    x = rng.standard_normal((2, *model.input_shape)).astype(np.float32)
    assert_same(model, x, tmp_path / "a.c", 256)


@needs_compiler
@pytest.mark.parametrize("case", CONV_CASES, ids=lambda case: case.reason)
def test_convolutions(case, tmp_path, rng):
    x, weight, bias, _ = case.arrays(rng, np.float32)
    O, C, *kernel = weight.shape
    layer = of(nn, "Conv{}d", case)(C * case.groups, O, tuple(kernel), **case.options, bias=case.bias)
    assert_same(set_state(layer, weight=weight, bias=bias), x, tmp_path / "a.c", 2 * C * np.prod(kernel))


@needs_compiler
@pytest.mark.parametrize("case", [c for c in POOL_CASES if c.values in FINITE], ids=lambda case: case.reason)
def test_max_poolings(case, tmp_path, rng):
    x, _ = case.arrays(rng, np.float32)
    assert_same(of(nn, "MaxPool{}d", case)(**case.options, dilation=case.dilation), x, tmp_path / "a.c", 0)


UNEVEN = (  # windows at the end, cut off by the edge of the padded image, have fewer taps
    "ceil_mode, past the padded image",
    "ceil_mode, four different sides",
    "signals, overlapping windows, padding and ceil_mode",
)


@needs_compiler
@pytest.mark.parametrize(
    "options", [{}, {"count_include_pad": False}, {"divisor_override": -3}], ids=["count pad", "pixels only", "divisor"]
)
@pytest.mark.parametrize(
    "case", [c for c in POOL_CASES if c.values in FINITE and c.dilation == 1], ids=lambda case: case.reason
)
def test_average_poolings(case, options, tmp_path, rng):
    if "divisor_override" in options and len(case.x) == 3:
        pytest.skip("pooling of signals has no such option")
    x, _ = case.arrays(rng, np.float32)
    layer = of(nn, "AvgPool{}d", case)(**case.options, **options)
    if not options and case.reason in UNEVEN:
        with pytest.raises(ValueError, match=r"it divides the sums of windows at the edge by another number than the"):
            interop.to_c(layer, tmp_path / "a.c", x.shape[1:])
    else:
        assert_same(layer, x, tmp_path / "a.c")


@needs_compiler
@pytest.mark.parametrize("case", [c for c in ADAPTIVE_POOL_CASES if c.values in FINITE], ids=lambda case: case.reason)
def test_adaptive_poolings(case, tmp_path, rng):
    x, _ = case.arrays(rng, np.float32)
    for kind in ("AdaptiveMaxPool{}d", "AdaptiveAvgPool{}d"):
        layer = of(nn, kind, case)(case.output_size)
        if layer.windows((1, *x.shape[1:])).regular:
            assert_same(layer, x, tmp_path / "a.c")
        else:
            with pytest.raises(ValueError, match=r"its windows have several sizes\.$"):
                interop.to_c(layer, tmp_path / "a.c", x.shape[1:])


@needs_compiler
@pytest.mark.parametrize("case", NORM_CASES, ids=lambda case: case.reason)
def test_batch_normalizations_without_a_layer_before_them(case, tmp_path, rng):
    x, mean, var, weight, bias, _ = case.arrays(rng, np.float32)
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    layer = set_state(kind(x.shape[1], case.eps), weight=weight, bias=bias, running_mean=mean, running_var=var)
    assert_same(layer, x, tmp_path / "a.c", 256 * max(1, np.abs(x).max() / 10))


POOLED = [  # convolutions that do a max-pooling, too, and some that must not
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2)), id="pooled, ReLU"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d((1, 2))), id="pooled, a column left over"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh(), nn.MaxPool2d(2)), id="pooled after Tanh"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ReLU(), nn.MaxPool2d(2)), id="pooled, two ReLUs"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, 1)), id="pooled, overlapping"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, padding=1)), id="pooled, padded"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d((3, 2), ceil_mode=True)), id="pooled, past the end"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, dilation=(1, 3))), id="pooled, dilated"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)), id="pooled twice"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveMaxPool2d(1)), id="pooled to one pixel"),
    pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Residual(nn.MaxPool2d((1, 1)))), id="pooled, read twice"),
]  # fmt: skip


LAYERS = [
    *(pytest.param(kind(), id=kind.__name__) for kind in (
        nn.ELU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ScaledTanh, nn.SiLU, nn.Sigmoid, nn.Softplus,
        nn.Tanh,
    )),
    pytest.param(nn.LeakyReLU(-0.3), id="LeakyReLU, negative slope"),
    pytest.param(nn.ScaledTanh(0.5, 3), id="ScaledTanh, other scales"),
    pytest.param(nn.GELU("tanh"), id="GELU by tanh"),
    pytest.param(nn.ELU(-2.5), id="ELU, negative alpha"),
    pytest.param(nn.Softplus(2.5), id="Softplus, sharp"),
    pytest.param(nn.Softplus(0.5, 0.3), id="Softplus, threshold"),
    pytest.param(nn.Softmax(), id="Softmax"),
    pytest.param(nn.Softmax(-1), id="Softmax on the last axis"),
    pytest.param(nn.Sequential(nn.Dropout(0.5), nn.Identity()), id="nothing"),
    pytest.param(nn.Flatten(), id="Flatten"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (-1, 2, 1)), nn.AvgPool2d((2, 1))), id="Unflatten"),
    pytest.param(nn.GlobalAvgPool2d(), id="GlobalAvgPool2d"),
    pytest.param(nn.ResizeChannels(2), id="ResizeChannels, fewer"),
    pytest.param(nn.ResizeChannels(3), id="ResizeChannels, same number"),
    pytest.param(nn.ResizeChannels(5), id="ResizeChannels, more"),
    pytest.param(nn.DepthwiseSeparableConv2d(3, 4, (3, 1), 2, "same"), id="DepthwiseSeparableConv2d"),
    pytest.param(nn.Conv2d(3, 4, 2, padding_mode="reflect"), id="nothing to reflect"),
    pytest.param(nn.Residual(nn.ReLU()), id="Residual"),
    pytest.param(nn.Residual(nn.Dropout(), nn.Identity()), id="Residual that doubles"),
    pytest.param(nn.Sequential(nn.Tanh(), nn.Residual(nn.Dropout()), nn.Residual(nn.ReLU())), id="sums in place"),
    pytest.param(nn.Residual(nn.Conv2d(3, 2, 1), nn.Sequential(nn.Tanh(), nn.ResizeChannels(2))), id="two branches"),
    pytest.param(
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Residual(nn.Residual(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)), nn.Tanh()),
            nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 2),
        ),
        id="residual connections in each other",
    ),
    *POOLED,
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.BatchNorm1d(7), nn.Softmax()), id="Linear"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 7, bias=False)), id="Linear, no bias"),
]  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, tmp_path, rng):
    x = 3 * rng.standard_normal((6, 3, 4, 5)).astype(np.float32)
    assert_same(draw_statistics(layer, rng), x, tmp_path / "a.c")


def pooled_signals(rng):
    """Return a net of 17 samples whose convolutions do the max-poolings."""
    first, second = nn.Conv1d(2, 4, 3, padding=1, rng=rng), nn.Conv1d(4, 3, 2, rng=rng)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool1d(3), second, nn.MaxPool1d(2), nn.Flatten())


@needs_compiler
def test_signals_and_rows(tmp_path, rng):
    model = draw_statistics(models.SignalNet(2, 5, 40, rng=rng), rng)
    assert_same(model, rng.standard_normal((3, *model.input_shape)).astype(np.float32), tmp_path / "a.c")
    assert_same(pooled_signals(rng), rng.standard_normal((3, 2, 17)).astype(np.float32), tmp_path / "a.c")
    assert "max_pooling" not in (tmp_path / "a.c").read_text()
    model = nn.Sequential(nn.Linear(5, 4, rng=rng), nn.ReLU(), nn.Linear(4, 3, rng=rng))
    assert_same(model, rng.standard_normal((3, 5)).astype(np.float32), tmp_path / "a.c")


@needs_compiler
@pytest.mark.parametrize(("H", "W"), [(9, 9), (6, 9), (5, 4), (1, 8)], ids=str)
def test_preprocessing(H, W, tmp_path, rng):
    images = rng.integers(0, 256, (5, 3, H, W)).astype(np.uint8)
    prepare = data.Preprocessing(9, (0.2, 0.5, 0.7), (0.1, 0.3, 0.2))
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, rng=rng), nn.Flatten(), nn.Softmax())
    interop.to_c(model, tmp_path / "a.c", (3, H, W), preprocessing=prepare)
    found = outputs(tmp_path / "a.c", images, (2 * 81,))
    np.testing.assert_allclose(found, model(prepare(images)), atol=1e-6)
    assert "void predict(const uint8_t *image, float *probabilities)" in (tmp_path / "a.c").read_text()


@pytest.mark.parametrize("name", models.NAMES)
def test_arrays_in_memory_do_not_overlap(name, rng):
    """Nothing is written over an array that is needed later, nor over an input unless the call is in place."""
    model = models.build(name, rng=rng)
    steps, output = steps_of(model, model.input_shape, None)
    calls = [WRITERS[step.kind](step) for step in steps]
    homes, last, size = plan(calls, output)
    arrays = {array.number: array for call in calls for array in (*call.x, call.y)}

    def places(number):
        start = homes[number].place
        return set() if homes[number] is last else {*range(start, start + arrays[number].size)}

    highest = 0
    for i, call in enumerate(calls):
        later = {array.number for after in calls[i + 1 :] for array in after.x}
        written = places(call.y.number)
        highest = max(highest, *written, 0) if written else highest
        for number in homes.keys() & ({x.number for x in call.x} | later) - {call.y.number}:
            needed = number in later or not call.in_place
            if number < call.y.number and needed:
                assert not written & places(number), f"{call.title} overwrites {number}"
    assert size in (0, highest + 1)


def test_the_memory_of_networks(tmp_path):
    floats = 4
    assert interop.to_c(models.LeNet5(), tmp_path / "a.c").ram == floats * (6 * 14 * 14 + 16 * 5 * 5)  # C1 makes S2
    assert interop.to_c(models.ResNet20(), tmp_path / "a.c").ram == floats * 3 * 16 * 32 * 32  # and a shortcut
    assert interop.to_c(nn.Linear(3, 2), tmp_path / "a.c", (3,)) == (floats * (3 * 2 + 2), 0)


def test_what_the_file_says_of_itself(tmp_path):
    interop.to_c(models.MLP(), tmp_path / "a.c")  # its first layer takes a row
    assert "image: 1 x 28 x 28, in the order of a C array\n" in (tmp_path / "a.c").read_text()
    said = interop.to_c(models.LeNet5(), tmp_path / "a.c", metadata={"classes": '["cat */ /*", "dog"]'})
    comment = (tmp_path / "a.c").read_text().partition(" */\n")[0]
    interop.to_c(models.LeNet5(), tmp_path / "a.c", metadata={"folder": "caf\udce9"})  # of a name in Latin-1
    assert "folder: caf\\udce9 */\n" in (tmp_path / "a.c").read_text()
    for line in (
        f"written by fastcnn {fastcnn.__version__}",
        "image: 1 x 32 x 32,",
        "output: 10;",
        f"flash: {said.flash} bytes",
        f"RAM: {said.ram} bytes",
        'classes: ["cat * / / *", "dog"]',
    ):
        assert line in comment
    text = (tmp_path / "a.c").read_text()
    assert "/* 3: Conv2d, 6 x 14 x 14 -> 16 x 5 x 5, then 5: MaxPool2d */" in text
    functions = re.findall(r"^static \w+ (\w+)\(", text, re.MULTILINE)
    assert functions == ["convolution", "linear", "relu"]  # and no others
    assert [path.name for path in tmp_path.iterdir()] == ["a.c"]


@needs_compiler
def test_numbers_are_exact(tmp_path, rng):
    """A product with one other number than zero is the weight itself, however small or large it is."""
    weight = rng.integers(0, 2**32, 4000, np.uint32).view(np.float32)
    weight = np.append(weight[np.isfinite(weight)][:3000], np.float32([0, 1, -1e-45, 1e10, np.finfo(np.float32).max]))
    layer = set_state(nn.Linear(1, len(weight), bias=False), weight=weight[:, None])
    interop.to_c(layer, tmp_path / "a.c", (1,))
    np.testing.assert_array_equal(outputs(tmp_path / "a.c", np.ones((1, 1), np.float32), weight.shape)[0], weight)


@needs_compiler
def test_a_layer_that_is_called_twice_is_stored_once(tmp_path, rng):
    layer = nn.Linear(3, 3, rng=rng)
    x = rng.standard_normal((2, 3)).astype(np.float32)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert assert_same(model, x, tmp_path / "a.c").flash == 4 * (3 * 3 + 3)
    said = interop.to_c(model, tmp_path / "a.c", (3,), precision="int8", calibration=x)
    assert said.flash - 256 - 2 * 3 * (4 + 4 + 1) < 2 * 3 * 3  # one matrix, beside a table and twice three scales
    assert said == sizes(tmp_path / "a.c")


@needs_compiler
def test_two_networks_in_one_program(tmp_path):
    for name, weight in (("first", 2), ("second", 3)):
        layer = set_state(nn.Linear(1, 1, bias=False), weight=np.float32([[weight]]))
        interop.to_c(nn.Sequential(layer, nn.ReLU(), nn.Tanh(), layer), tmp_path / f"{name}.c", (1,))
        run("cc", *STRICT, f"-Dpredict={name}", "-c", tmp_path / f"{name}.c", "-o", tmp_path / f"{name}.o")
    main, program = tmp_path / "main.c", tmp_path / "program"
    main.write_text(TWO)
    run("cc", *STRICT, main, tmp_path / "first.o", tmp_path / "second.o", "-o", program, "-lm")
    np.testing.assert_allclose(np.frombuffer(run(program), np.float32), [2 * np.tanh(2), 3 * np.tanh(3)], rtol=1e-6)


TWO = """
#include <stdio.h>
void first(const float *, float *);
void second(const float *, float *);
int main(void)
{
    float x = 1, y[2];
    first(&x, y);
    second(&x, y + 1);
    fwrite(y, sizeof y, 1, stdout);
}
"""


@needs_compiler
def test_names_that_c_does_not_distinguish(tmp_path, rng):
    names = "a_b", "a-b", "é", "*/ /*", "*\\\n/", "int"
    model = nn.Sequential({name: nn.Linear(3, 3, rng=rng) for name in names})
    assert_same(model, rng.standard_normal((2, 3)).astype(np.float32), tmp_path / "a.c")


def test_the_model_stays_as_it_is(tmp_path, rng):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.BatchNorm2d(2), nn.Flatten())
    x = rng.standard_normal((3, 1, 5, 5)).astype(np.float32)
    y = model(x)
    state, gradient = model.state_dict(), model.backward(y)
    interop.to_c(model, tmp_path / "a.c", (1, 5, 5))
    assert model.training
    np.testing.assert_array_equal(model.backward(y), gradient)  # the state of the batch is kept
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


class Own(nn.Module):
    def forward(self, x):
        return x


PREPARE = data.Preprocessing(8, (0.5,), (0.5,))


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([nn.Upsample(2)], {}, r"^1: Upsample cannot be written as C\. Supported are AdaptiveAvgPool1d, "),
        ([nn.Upsample(2)], {}, "MaxPool2d, Mish, ReLU, Residual, "),
        ([Own()], {}, r"^1: Own cannot be written as C\. "),
        ([nn.Sequential(nn.Concat(nn.ReLU()))], {}, r"^1\.0: Concat cannot be written as C\. "),
        ([nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")], {}, r"^1: Conv2d\(.*\) cannot be .* pads with zeros"),
        ([nn.AdaptiveMaxPool2d(4)], {}, r"^1: AdaptiveMaxPool2d\(.*\) .* shape \(2, 6, 6\): its windows have several"),
        ([nn.ReLU(), nn.BatchNorm2d(2, track_running_stats=False)], {}, r"^2: BatchNorm2d.* no running statistics"),
        ([nn.LeakyReLU(1e39)], {}, r"^1: LeakyReLU\(.* because float32 has no number as large as 1e\+39\.$"),
        ([nn.ELU(-1e39)], {}, r"^1: ELU\(.* because float32 has no number as large as -1e\+39\.$"),
        ([], {"preprocessing": data.Preprocessing(8, (0.5,), (1e-300,))}, r"^Preprocessing\(.* range of float32\.$"),
        ([], {"preprocessing": data.Preprocessing(8, (1e38,), (1,))}, r"^Preprocessing\(.* range of float32\.$"),
        ([nn.Flatten(), nn.Linear(3, 2)], {}, "needs 3 input features but its input has shape"),
        ([], {"input_shape": (3, 8, 8)}, "needs 1 input channels but its input has shape"),
        ([], {"input_shape": None}, r"`input_shape` must be given, as \(C, H, W\)"),
        ([], {"preprocessing": PREPARE, "input_shape": (1, 9, 8)}, "at most 8x8: C cannot shrink them"),
        ([], {"preprocessing": 3}, "`preprocessing` must be a fastcnn.data.Preprocessing, not int"),
        ([], {"metadata": 3}, "`metadata` must be a mapping of strings to strings, not int"),
        ([], {"metadata": {"a": 1}}, r"`metadata` must have strings as names and values, not \('a', 1\)"),
    ],
)  # fmt: skip
def test_mistakes(layers, options, message, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), *layers)
    with pytest.raises((TypeError, ValueError), match=message):
        interop.to_c(model, tmp_path / "a.c", **{"input_shape": (1, 8, 8), **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "value"), [("running_var", -1), ("weight", 3e38)])
def test_batch_normalizations_that_cannot_be_folded(name, value, tmp_path):
    norm = nn.BatchNorm2d(2)
    norm.running_var.data[...] = 0.01
    getattr(norm, name).data[...] = value
    with pytest.raises(ValueError, match=r"^1: BatchNorm2d\(2\) cannot .*: its running variance is negative, or"):
        interop.to_c(nn.Sequential(nn.ReLU(), norm), tmp_path / "a.c", (2, 3, 3))


def test_the_output_is_named_by_what_it_is(tmp_path):
    for layers, options, name in (
        ([], {"preprocessing": PREPARE}, "output"),
        ([nn.Softmax()], {"preprocessing": PREPARE}, "probabilities"),
        ([nn.Softmax()], {}, "probabilities"),
    ):
        interop.to_c(nn.Sequential(nn.Conv2d(1, 2, 3), *layers), tmp_path / "a.c", (1, 8, 8), **options)
        text = (tmp_path / "a.c").read_text()
        assert re.findall(r"float \*(\w+)\)\n{", text)[-1] == name
        assert f"\n   {name}: 2 x 6 x 6;" in text


def test_shapes_are_whole_numbers(tmp_path):
    x = np.ones((2, 3), np.float32)
    for shape in ((np.int64(3),), [3], [[3]]):  # the last one is a list of one input
        said = interop.to_c(nn.Linear(3, 2), tmp_path / "a.c", shape, precision="int8", calibration=x)
        assert list(map(type, said)) == [int, int]
        assert "image: 3, in the order" in (tmp_path / "a.c").read_text()


def test_numbers_that_c_cannot_have(tmp_path):
    with pytest.raises(TypeError, match="`model` must be a Module, not str"):
        interop.to_c("lenet5", tmp_path / "a.c")
    with pytest.raises(
        ValueError, match="must have finite float32 numbers to be written as C, but weight has dtype fl"
    ):
        interop.to_c(nn.Linear(3, 2, dtype=np.float64), tmp_path / "a.c", (3,))
    layer = nn.Linear(3, 2)
    layer.bias.data[1] = np.nan
    with pytest.raises(ValueError, match="but bias has numbers that are not finite"):
        interop.to_c(layer, tmp_path / "a.c", (3,))


@needs_compiler
def test_a_run_as_c_takes_pixels_and_gives_probabilities(trained_run, mnist_folder, tmp_path, capsys):
    code, stdout, stderr = command(capsys, "export", trained_run, "--out", tmp_path / "a.c")
    assert (code, stdout) == (0, "")
    flash, ram = sizes(tmp_path / "a.c")
    assert stderr == (
        f"Wrote {tmp_path / 'a.c'}: predict() takes a uint8 image (1, 28, 28) and computes 10 probabilities. It needs "
        f"{flash:,} bytes of flash for constants and {ram:,} bytes of RAM.\n"
    )
    _, test = data.mnist(mnist_folder)
    probabilities = outputs(tmp_path / "a.c", test.images, (10,), FAST)
    assert (probabilities.argmax(1) == test.labels).mean() > 0.8
    np.testing.assert_allclose(probabilities, Classifier(trained_run).probabilities(test.images), atol=2e-6)
    assert f"classes: {json.dumps([*'0123456789'])}" in (tmp_path / "a.c").read_text()


@needs_compiler
def test_a_model_as_c(tmp_path, capsys):
    options = ("--options", "image_size=9", "num_classes=3", "--out", tmp_path / "a", "--format", "c")
    code, _, stderr = command(capsys, "export", "conv8", *options)
    assert code == 0
    flash, ram = sizes(tmp_path / "a")
    assert stderr.endswith(
        f"Wrote {tmp_path / 'a'}: predict() takes a float image (1, 9, 9). It needs {flash:,} bytes of flash for "
        f"constants and {ram:,} bytes of RAM.\n"
    )


def test_a_model_that_has_diverged_as_c(tmp_path, capsys):
    model = models.build("conv8")
    next(iter(model.parameters())).data[0] = np.nan
    training.save_weights(model, tmp_path / "w.safetensors")
    out = tmp_path / "a.c"
    code, _, stderr = command(capsys, "export", "conv8", "--weights", tmp_path / "w.safetensors", "--out", out)
    assert code == 1
    assert stderr == (
        "fastcnn export: error: `model` must have finite float32 numbers to be written as C, but 0.weight has numbers "
        "that are not finite.\n"
    )
    assert not out.exists()


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    """A LeNet-5 trained on a tenth of the real MNIST."""
    if "FASTCNN_DATA" not in os.environ:
        pytest.skip("FASTCNN_DATA names no folder with the real MNIST")
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    assert main(["train", "--limit", "6000", "--epochs", "2", "--backend", "numpy", "--out", str(out)]) == 0
    return out


@needs_compiler
@pytest.mark.parametrize(
    ("precision", "atol", "others"), [("float32", 1e-5, 2), ("int8", 0.3, 50)], ids=["float32", "int8"]
)
def test_a_trained_network_on_all_of_mnist(precision, atol, others, real_run, tmp_path, capsys):
    """Probabilities agree, and so do the classes but for some of 10,000 images."""
    assert command(capsys, "export", real_run, "--out", tmp_path / "a.c", "--precision", precision)[0] == 0
    _, test = data.mnist(os.path.join(os.environ["FASTCNN_DATA"], "mnist"))
    found = outputs(tmp_path / "a.c", test.images, (10,), FAST)
    expected = Classifier(real_run).probabilities(test.images)
    assert len(found) == 10_000
    np.testing.assert_allclose(found, expected, atol=atol)
    assert (found.argmax(1) != expected.argmax(1)).sum() <= others
    assert abs((found.argmax(1) == test.labels).mean() - (expected.argmax(1) == test.labels).mean()) <= 0.002
    assert (found.argmax(1) == test.labels).mean() > 0.9
