"""Models as ONNX files: ONNX Runtime computes the same as fastcnn in evaluation mode, for any batch size."""

import sys

import numpy as np
import pytest

import fastcnn
from fastcnn import data, interop, models, nn, use_backend
from fastcnn.interop.onnx.layers import WRITERS
from fastcnn.interop.walk import PLAIN
from fastcnn.testing import (
    ADAPTIVE_POOL_CASES,
    CONV_CASES,
    CONV_TRANSPOSE_CASES,
    GROUP_NORM_CASES,
    NORM_CASES,
    POOL_CASES,
    RESIZE_CASES,
    PoolCase,
    activations,
    assert_close,
)
from tests.nd import of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FINITE = "distinct", "constant", "few"  # ONNX does not specify infinities and NaN


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled; the other backends agree with it."""
    with use_backend("numpy"):
        yield


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_runs(model, x, path, length=64, **options):
    """Check that ONNX Runtime's output equals fastcnn's up to rounding, for one image and for more."""
    interop.to_onnx(model, path, x.shape[1:], **options)
    runtime, expected = session(path), model.eval()(x)
    for images, y in ((x, expected), (x[:1], expected[:1]), (np.concatenate([x, x]), np.concatenate([expected] * 2))):
        (found,) = runtime.run(["output"], {"input": images})
        assert_close(found, y, length, np.full(y.shape, np.abs(expected).max()))
    return expected


def assert_same(model, x, path, length=64, **options):
    """Also check that the file is read as a model with bit-identical output, unless batch normalization is folded."""
    expected, back = assert_runs(model, x, path, length, **options), interop.from_onnx(path)
    if options.get("fold_batch_norm", True) and any(
        isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in model.modules()
    ):
        assert_close(back(x), expected, length, np.full(expected.shape, np.abs(expected).max()))
    else:
        np.testing.assert_array_equal(back(x), expected)


def set_state(layer, **arrays):
    """Set parameters and buffers of a layer; None is skipped."""
    layer.load_state_dict({**layer.state_dict(), **{name: a for name, a in arrays.items() if a is not None}})
    return layer


def draw_statistics(model, rng):
    """Set random running statistics, so that batch normalizations have an effect."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            drawn = rng.uniform(0.5, 2, (4, module.num_features)).astype(np.float32)
            names = "weight", "bias", "running_mean", "running_var"
            state = dict(zip(names, drawn, strict=True))
            set_state(module, **{name: array for name, array in state.items() if name in module.state_dict()})
    return model


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("name", models.NAMES)
def test_every_model(name, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng)
    x = rng.standard_normal((2, *model.input_shape)).astype(np.float32)
    assert_same(model, x, tmp_path / "folded.onnx")
    assert_same(model, x, tmp_path / "kept.onnx", fold_batch_norm=False)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert operators(tmp_path / "folded.onnx").count("BatchNormalization") == 0
    assert operators(tmp_path / "kept.onnx").count("BatchNormalization") == norms


@pytest.mark.parametrize("case", CONV_CASES, ids=lambda case: case.reason)
def test_convolutions(case, tmp_path, rng):
    x, weight, bias, _ = case.arrays(rng, np.float32)
    O, C, *kernel = weight.shape
    layer = of(nn, "Conv{}d", case)(C * case.groups, O, tuple(kernel), **case.options, bias=case.bias)
    assert_same(set_state(layer, weight=weight, bias=bias), x, tmp_path / "a.onnx", 2 * C * np.prod(kernel))


@pytest.mark.parametrize("case", CONV_TRANSPOSE_CASES, ids=lambda case: case.reason)
def test_transposed_convolutions(case, tmp_path, rng):
    x, weight, bias, _ = case.arrays(rng, np.float32)
    C, O, *kernel = weight.shape
    layer = of(nn, "ConvTranspose{}d", case)(C, O * case.groups, tuple(kernel), **case.options, bias=case.bias)
    assert_same(set_state(layer, weight=weight, bias=bias), x, tmp_path / "a.onnx", 2 * C * np.prod(kernel))


WIDE = (  # wider padding than ONNX Runtime allows in the operator
    PoolCase("padding as high as the window's taps", (2, 2, 8, 6), 2, 2, (2, 0), (3, 1)),
    PoolCase("padding as wide as the window's taps", (2, 2, 6, 8), 2, 2, (0, 2), (1, 3)),
    PoolCase("padding as long as the window's taps", (2, 2, 8), 2, 2, 2, 3),
)


@pytest.mark.parametrize("case", [c for c in POOL_CASES + WIDE if c.values in FINITE], ids=lambda case: case.reason)
def test_max_poolings(case, tmp_path, rng):
    x, _ = case.arrays(rng, np.float32)
    assert_same(of(nn, "MaxPool{}d", case)(**case.options, dilation=case.dilation), x, tmp_path / "a.onnx", 0)


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
    assert_same(of(nn, "AvgPool{}d", case)(**case.options, **options), x, tmp_path / "a.onnx")


@pytest.mark.parametrize("case", [c for c in ADAPTIVE_POOL_CASES if c.values in FINITE], ids=lambda case: case.reason)
def test_adaptive_poolings(case, tmp_path, rng):
    x, _ = case.arrays(rng, np.float32)
    assert_same(of(nn, "AdaptiveMaxPool{}d", case)(case.output_size), x, tmp_path / "a.onnx", 0)
    assert_same(of(nn, "AdaptiveAvgPool{}d", case)(case.output_size), x, tmp_path / "a.onnx")


@pytest.mark.parametrize("case", RESIZE_CASES, ids=lambda case: case.reason)
def test_upsampling(case, tmp_path, rng):
    x, _ = case.arrays(rng, np.float32)
    length = 64 if case.mode == "bilinear" else 0
    expected = assert_runs(nn.Upsample(case.size, **case.options), x, tmp_path / "a.onnx", length)
    back = interop.from_onnx(tmp_path / "a.onnx")  # its factors are float32, except for nearest pixels
    assert_close(back(x), expected, length, np.full(expected.shape, np.abs(expected).max()))


@pytest.mark.parametrize("case", NORM_CASES, ids=lambda case: case.reason)
def test_batch_normalizations(case, tmp_path, rng):
    x, mean, var, weight, bias, _ = case.arrays(rng, np.float32)
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    layer = set_state(kind(x.shape[1], case.eps), weight=weight, bias=bias, running_mean=mean, running_var=var)
    assert_same(layer, x, tmp_path / "a.onnx", 64 * max(1, np.abs(x).max() / 10))


@pytest.mark.parametrize("case", GROUP_NORM_CASES, ids=lambda case: case.reason)
def test_normalizations_of_single_images(case, tmp_path, rng):
    x, weight, bias, _ = case.arrays(rng, np.float32)
    if isinstance(case.over, tuple):
        layer = nn.LayerNorm(case.over, case.eps, case.weight, case.bias)
    else:
        layer = nn.GroupNorm(case.over, x.shape[1], case.eps, case.weight)
    layer = set_state(layer, **{k: v for k, v in {"weight": weight, "bias": bias}.items() if k in layer.state_dict()})
    assert_same(layer, x, tmp_path / "a.onnx", 64 * max(1, np.abs(x).max()))


@pytest.mark.parametrize("pixels", [(), (5, 6)], ids=["rows", "images"])
def test_normalized_channels(pixels, tmp_path, rng):
    layer = nn.InstanceNorm2d(4, 0.1, affine=True) if pixels else nn.GroupNorm(4, 8)
    for parameter in layer.parameters():
        parameter.data[...] = rng.uniform(0.5, 2, parameter.shape)
    assert_same(layer, rng.standard_normal((3, 4 if pixels else 8, *pixels)).astype(np.float32), tmp_path / "a.onnx")


def test_every_layer_is_written():
    assert [kind for kind in nn.LAYERS.values() if not {*PLAIN, *WRITERS} & {*kind.__mro__}] == []


LAYERS = [
    *(pytest.param(kind(), id=kind.__name__) for kind in activations.LAYERS.values()),
    pytest.param(nn.LeakyReLU(-0.3), id="LeakyReLU, negative slope"),
    pytest.param(nn.ScaledTanh(0.5, 3), id="ScaledTanh, other scales"),
    pytest.param(nn.GELU("tanh"), id="GELU by tanh"),
    pytest.param(nn.ELU(-2.5), id="ELU, negative alpha"),
    pytest.param(nn.PReLU(), id="PReLU"),
    pytest.param(nn.PReLU(3, -0.5), id="PReLU, a slope for each channel"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.PReLU(60, 0.1)), id="PReLU on rows"),
    pytest.param(nn.Softplus(2.5), id="Softplus, sharp"),
    pytest.param(nn.Softplus(0.5, 0.3), id="Softplus, threshold"),
    pytest.param(nn.Softmax(), id="Softmax"),
    pytest.param(nn.Softmax(-1), id="Softmax on the last axis"),
    pytest.param(nn.Dropout(0.5), id="Dropout"),
    pytest.param(nn.Dropout2d(0.5), id="Dropout2d"),
    pytest.param(nn.Identity(), id="Identity"),
    pytest.param(nn.Flatten(), id="Flatten"),
    pytest.param(nn.BatchNorm2d(3, affine=False), id="BatchNorm2d, not affine"),
    pytest.param(nn.InstanceNorm2d(3), id="InstanceNorm2d"),
    pytest.param(nn.LayerNorm((4, 5), 0.1, elementwise_affine=False), id="LayerNorm, not affine"),
    pytest.param(nn.AdaptiveAvgPool2d((None, 2)), id="AdaptiveAvgPool2d, one axis"),
    pytest.param(nn.GlobalAvgPool2d(), id="GlobalAvgPool2d"),
    pytest.param(nn.ResizeChannels(2), id="ResizeChannels, fewer"),
    pytest.param(nn.ResizeChannels(3), id="ResizeChannels, same number"),
    pytest.param(nn.ResizeChannels(5), id="ResizeChannels, more"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (-1, 2, 1))), id="Unflatten, inferred axis"),
    pytest.param(nn.ReflectionPad2d((1, 2, 3, 0)), id="ReflectionPad2d"),
    pytest.param(nn.ReplicationPad2d((1, 2, 3, 0)), id="ReplicationPad2d"),
    pytest.param(nn.CircularPad2d((1, 2, 3, 0)), id="CircularPad2d"),
    pytest.param(nn.CircularPad2d((5, 5, 4, 4)), id="CircularPad2d, largest padding"),
    pytest.param(nn.ConstantPad2d((1, -2, 3, 0), -1.5), id="ConstantPad2d"),
    pytest.param(nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3)), id="ReflectionPad2d, a convolution"),
    *(pytest.param(nn.Conv2d(3, 4, 3, padding=(1, 0, 2, 1), padding_mode=mode), id=f"Conv2d, {mode}")
      for mode in ("reflect", "replicate", "circular")),
    pytest.param(nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)), id="ZeroPad2d, a convolution"),
    pytest.param(nn.DepthwiseSeparableConv2d(3, 4, (3, 1), 2, "same"), id="DepthwiseSeparableConv2d"),
    pytest.param(nn.Residual(nn.ReLU()), id="Residual"),
    pytest.param(nn.Residual(nn.Dropout(), nn.Identity()), id="Residual that doubles"),
    pytest.param(nn.Residual(nn.Conv2d(3, 2, 1), nn.Sequential(nn.Tanh(), nn.ResizeChannels(2))), id="two branches"),
    pytest.param(nn.Concat(nn.Identity(), nn.Dropout(), nn.Conv2d(3, 2, 1)), id="Concat"),
    pytest.param(nn.Concat(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), nn.Identity()), id="Concat, a norm"),
    pytest.param(nn.Concat(nn.ReLU(), nn.AvgPool2d((2, 1)), dim=-2), id="Concat along the height"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 7), nn.Softmax()), id="Linear"),
    pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 7, bias=False)), id="Linear, no bias"),
    pytest.param(nn.Sequential(nn.Sequential(nn.Sequential()), nn.Sequential(nn.ReLU())), id="nested and empty"),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer, tmp_path, rng):
    x = 3 * rng.standard_normal((6, 3, 4, 5)).astype(np.float32)
    assert_same(draw_statistics(layer, rng), x, tmp_path / "a.onnx", 6)


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        pytest.param(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4), id="convolution"),
        pytest.param(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.BatchNorm2d(6, eps=0.3), id="groups, no bias"),
        pytest.param(nn.ConvTranspose2d(3, 6, 2, groups=3), nn.BatchNorm2d(6), id="transposed, groups"),
        pytest.param(nn.ConvTranspose2d(3, 4, 2, bias=False), nn.BatchNorm2d(4, affine=False), id="not affine"),
        pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(60, 5)), nn.BatchNorm1d(5), id="linear, in a Sequential"),
    ],
)
def test_batch_normalization_is_folded(layer, norm, tmp_path, rng):
    model = draw_statistics(nn.Sequential(layer, nn.ReLU(), nn.Sequential(norm)), rng)
    x = rng.standard_normal((4, 3, 4, 5)).astype(np.float32)
    assert_same(model, x, tmp_path / "a.onnx")
    assert "BatchNormalization" in operators(tmp_path / "a.onnx")
    model = nn.Sequential(layer, nn.Identity(), nn.Sequential(nn.Dropout(), norm))
    assert_same(model, x, tmp_path / "a.onnx")
    assert "BatchNormalization" not in operators(tmp_path / "a.onnx")


def test_a_layer_may_stand_at_several_places(tmp_path, rng):
    layer = nn.Sequential(nn.Conv2d(3, 3, 2, rng=rng), nn.BatchNorm2d(3))
    model = draw_statistics(nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU()), rng)
    assert_same(model, rng.standard_normal((4, 3, 4, 5)).astype(np.float32), tmp_path / "a.onnx")
    assert operators(tmp_path / "a.onnx") == ["Conv", "Relu", "Conv", "Relu"]


def test_what_would_not_be_finite_is_not_folded(tmp_path, rng):
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.BatchNorm1d(2, eps=0))
    model[0].weight.data[...] *= 1e30
    model[1].running_var.data[...] = 1e-20
    x = np.ones((1, 2), np.float32)
    assert_same(model, 1e-30 * x, tmp_path / "a.onnx", 256)
    assert operators(tmp_path / "a.onnx") == ["Gemm", "BatchNormalization"]


def test_statistics_of_the_batch_stay_those_of_the_batch(tmp_path, rng):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(),
        nn.BatchNorm1d(24, track_running_stats=False, affine=False),
    )  # fmt: skip
    x = rng.standard_normal((6, 3, 4, 5)).astype(np.float32)
    interop.to_onnx(model, tmp_path / "a.onnx", x.shape[1:])
    for images in (x, x[:3]):
        (y,) = session(tmp_path / "a.onnx").run(None, {"input": images})
        assert_close(y, model(images), 256, np.full(y.shape, 3.0))


def test_what_the_file_says_of_itself(tmp_path, rng):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.Residual(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2))))
    interop.to_onnx(model, tmp_path / "a.onnx", (1, 5, 6), metadata={"classes": '["cat", "dog"]'})
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    file = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert (file.producer_name, file.producer_version) == ("fastcnn", fastcnn.__version__)
    assert [(item.key, item.value) for item in file.metadata_props] == [("classes", '["cat", "dog"]')]
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", 17)]
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in file.graph.initializer}
    expected = {name: array for name, array in model.state_dict().items() if not name.endswith("tracked")}
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name])
    values = [*file.graph.input, *file.graph.value_info, *file.graph.output]
    shapes = {value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    assert shapes == {
        "input": ["N", 1, 5, 6],
        "0/Conv": ["N", 2, 3, 4],
        "1.body.0/Relu": ["N", 2, 3, 4],
        "1.body.1/BatchNormalization": ["N", 2, 3, 4],
        "output": ["N", 2, 3, 4],
    }
    assert [node.name for node in file.graph.node] == [*shapes][1:]


def test_the_model_stays_as_it_is(tmp_path, rng):
    dropout = np.random.default_rng(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.BatchNorm2d(2), nn.Dropout(rng=dropout), nn.Flatten())
    x = rng.standard_normal((3, 1, 5, 5)).astype(np.float32)
    y = model(x)
    state, draws, gradient = model.state_dict(), dropout.bit_generator.state, model.backward(y)
    interop.to_onnx(model, tmp_path / "a.onnx", (1, 5, 5))
    assert model.training
    assert all(module.training for module in model.modules())
    assert dropout.bit_generator.state == draws
    np.testing.assert_array_equal(model.backward(y), gradient)  # the state of the batch is kept
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    (found,) = session(tmp_path / "a.onnx").run(None, {"input": x})
    assert_close(found, model.eval()(x), 64, np.full(y.shape, 3.0))  # evaluation mode is written


def test_float64_stays_float64(tmp_path, rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4, rng=rng, dtype=np.float64), nn.Tanh())
    x = rng.standard_normal((3, 1, 2, 3))
    interop.to_onnx(model, tmp_path / "a.onnx", (1, 2, 3))
    (y,) = session(tmp_path / "a.onnx").run(None, {"input": x})
    assert_close(y, model(x), 64)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 5, 8), (3, 6, 3), (3, 1, 1)], ids=str)
def test_preprocessing_goes_first(shape, tmp_path, rng):
    prepare = data.Preprocessing(8, (0.1, 0.5, 0.9), (0.2, 0.3, 0.01))
    model = nn.Sequential(nn.Conv2d(3, 4, 8, rng=rng), nn.Flatten())
    images = rng.integers(0, 256, (5, *shape), np.uint8)
    interop.to_onnx(model, tmp_path / "a.onnx", shape, preprocessing=prepare)
    (y,) = session(tmp_path / "a.onnx").run(None, {"input": images})
    assert_close(y, model(prepare(images)), 400, np.full(y.shape, 100.0))


class Twice(nn.Module):
    def forward_native(self, x, backend):
        return backend.add(x, x)


class TwiceReLU(nn.ReLU):
    def forward_native(self, x, backend):
        return backend.add(x, x)


class Renamed(nn.LeakyReLU):
    """A subclass with the forward pass of LeakyReLU."""


def test_a_subclass_with_an_inherited_forward_pass_is_what_it_inherits(tmp_path, rng):
    assert_same(Renamed(0.2), rng.standard_normal((3, 4)).astype(np.float32), tmp_path / "a.onnx")


PREPARE = data.Preprocessing(4, (0.5,), (0.5,))


@pytest.mark.parametrize(
    ("model", "options", "error", "text"),
    [
        pytest.param(np.tanh, {}, TypeError, "`model` must be a Module, not ufunc.", id="no module"),
        pytest.param(Twice(), {}, TypeError, "`model`: Twice cannot be written as ONNX. Supported are A", id="own"),
        pytest.param(nn.Sequential(nn.ReLU(), nn.Residual(nn.Sequential(TwiceReLU()))), {}, TypeError,
                     "1.body.0: TwiceReLU cannot be written", id="own forward pass"),
        pytest.param(nn.ReLU(), {"input_shape": None}, ValueError, "`input_shape` must be given, as (C, H, W)",
                     id="no shape"),
        pytest.param(nn.Conv2d(3, 1, 1), {}, ValueError, "needs 3 input channels", id="another shape"),
        pytest.param(nn.ReLU(), {"preprocessing": PREPARE, "input_shape": (1, 5, 4)}, ValueError,
                     "`input_shape` is (1, 5, 4), but images must be at most 4x4: ONNX cannot", id="too large"),
        pytest.param(nn.ReLU(), {"preprocessing": PREPARE, "input_shape": (3, 4, 4)}, ValueError,
                     "`input_shape` has 3 channels, but `preprocessing` has 1 means", id="channels"),
        pytest.param(nn.ReLU(), {"preprocessing": PREPARE, "input_shape": (4,)}, ValueError,
                     "must be (C, H, W), the shape of images, with `preprocessing`, not (4,)", id="rows"),
        pytest.param(nn.ReLU(), {"preprocessing": {"size": 4}}, TypeError,
                     "`preprocessing` must be a fastcnn.data.Preprocessing, not dict", id="no preprocessing"),
        pytest.param(nn.ReLU(), {"metadata": {"classes": ["cat"]}}, TypeError,
                     "`metadata` must have strings as names and values, not ('classes', ['cat'])", id="no text"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said_and_nothing_is_written(model, options, error, text, tmp_path):
    with pytest.raises(error) as raised:
        interop.to_onnx(model, tmp_path / "a.onnx", **{"input_shape": (1, 4, 4), **options})
    assert text in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"Writing ONNX needs the onnx package: pip install onnx\."):
        interop.to_onnx(nn.ReLU(), tmp_path / "a.onnx", (3,))


def test_every_layer_can_be_written():
    from fastcnn.interop.kinds import kind_of

    assert not {kind for kind in nn.LAYERS.values() if kind_of(kind.__new__(kind), {*PLAIN, *WRITERS}) is None}
