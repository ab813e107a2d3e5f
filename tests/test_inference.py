"""Compiled inference equals the model in evaluation mode, bit for bit or to the rounding of folded layers."""

import copy
import pickle

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn import get_num_threads, models, nn, set_num_threads, use_backend
from fastcnn.nn import inference
from fastcnn.testing import CONV_CASES, POOL_CASES, activations, assert_close
from tests.in_threads import in_threads
from tests.nd import of

LANES = 16  # float32 lanes of the widest vectors, AVX-512; batches below and above it are useful for others, too
RNG = np.random.default_rng


def draw_statistics(model, seed=0):
    """Set random running statistics, as if the model had been trained."""
    rng = RNG(seed)
    for name, buffer in model.named_buffers():
        if buffer.data.dtype.kind == "f":
            buffer.data[...] = rng.uniform(0.5, 2, buffer.shape) if "var" in name else rng.normal(0, 0.3, buffer.shape)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            module.weight.data[...] = rng.uniform(0.5, 1.5, module.weight.shape)
            module.bias.data[...] = rng.normal(0, 0.2, module.bias.shape)
    return model


def images(model, N, seed=1, dtype=np.float32):
    return RNG(seed).standard_normal((N, *model.input_shape)).astype(dtype)


@pytest.mark.parametrize("N", [1, 3, LANES - 1, LANES + 1, 128, 1000])
def test_without_batch_norm_it_is_the_model_bit_for_bit(N):
    model = models.LeNet5(rng=RNG(0)).eval()
    infer, x = model.compile_inference(), images(model, N)
    before, y = x.copy(), infer(x)
    np.testing.assert_array_equal(y, model(x))
    np.testing.assert_array_equal(infer(x), y)
    np.testing.assert_array_equal(x, before)
    assert y.dtype == np.float32


@pytest.mark.parametrize("name", [name for name in models.NAMES if name not in ("resnet20", "vgg7", "small_mobilenet")])
def test_each_model_without_batch_norm(name):
    model = models.build(name, rng=RNG(0)).eval()
    infer = model.compile_inference()
    for N in (1, LANES + 1):
        x = images(model, N)
        np.testing.assert_array_equal(infer(x), model(x))


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet20", {}), ("resnet20", {"shortcut": "projection"}), ("vgg7", {}), ("small_mobilenet", {})],
    ids=["ResNet-20", "ResNet-20 with projections", "VGG", "MobileNet"],
)
def test_each_model_with_batch_norm_folded(name, options):
    """Compared with float64, it is as accurate as the model, or within one rounding for each of about thirty layers."""
    model = draw_statistics(models.build(name, rng=RNG(0), image_size=8, **options)).eval()
    exact = models.build(name, dtype=np.float64, image_size=8, **options).eval()
    for (_, value), (_, other) in zip(exact.named_state(), model.named_state(), strict=True):
        value.data[...] = other.data
    infer = model.compile_inference()
    for N in (1, LANES + 1):
        x = images(model, N)
        with use_backend("numpy"):
            expected = exact(x.astype(np.float64))
            folded = exact.compile_inference()(x.astype(np.float64))
        np.testing.assert_allclose(folded, expected, rtol=1e-12, atol=1e-12)
        size = np.abs(expected).max()
        assert size > 0.1
        own = np.abs(model(x) - expected).max() / size
        assert np.abs(infer(x) - expected).max() / size <= 2 * own + 30 * np.finfo(np.float32).eps
        np.testing.assert_array_equal(infer(x), infer(x))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in infer.layers.modules())


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "not affine"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **o: (nn.Conv2d(4, 6, 3, padding=1, groups=2, **o), nn.BatchNorm2d),
        lambda **o: (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, **o), nn.BatchNorm2d),
        lambda **o: (nn.Linear(4, 6, **o), nn.BatchNorm1d),
    ],
    ids=["Conv2d", "ConvTranspose2d", "Linear"],
)
def test_one_folded_layer_is_within_the_bound_of_its_sum(make, affine, bias):
    layer, BatchNorm = make(bias=bias, rng=RNG(0))
    norm = BatchNorm(6, affine=affine)
    model = draw_statistics(nn.Sequential(layer, norm)).eval()
    x = RNG(1).standard_normal((5, 4, 7, 7) if BatchNorm is nn.BatchNorm2d else (5, 4)).astype(np.float32)
    infer = model.compile_inference()
    assert [type(one) for one in infer.layers] == [type(layer)]
    # |scale| (|W| |x| + |b| + |mean|) + |shift|: each of 36 products and 4 more terms is rounded once in both cases
    sizes = copy.deepcopy(model)
    for _, value in sizes.named_state():
        value.data[...] = np.abs(value.data)
    sizes[1].running_mean.data *= -1
    with use_backend("numpy"):
        expected = model(x)
        assert_close(infer(x), expected, length=2 * (36 + 4), magnitude=sizes(np.abs(x)))
    assert_close(infer(x), expected, length=2 * (36 + 4), magnitude=np.abs(sizes(np.abs(x))))


def infinite_scale():
    norm = nn.BatchNorm2d(2, eps=0)
    norm.running_var.data[0] = 0
    return [nn.Conv2d(2, 2, 1, rng=RNG(0)), norm]


def replaced_method():
    conv = nn.Conv2d(2, 2, 1, rng=RNG(0))
    conv.forward_native = lambda x, backend: backend.relu(x)
    return [conv, nn.BatchNorm2d(2)]


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(lambda: [nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, rng=RNG(0))], id="at the start"),
        pytest.param(lambda: [nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.ReLU()], id="after a pooling"),
        pytest.param(lambda: [nn.Conv2d(2, 2, 1, rng=RNG(0)), nn.ReLU(), nn.BatchNorm2d(2)], id="after ReLU"),
        pytest.param(lambda: [nn.Flatten(), nn.BatchNorm1d(72, affine=False)], id="on rows of several pixels"),
        pytest.param(lambda: [nn.GlobalAvgPool2d(), nn.BatchNorm1d(2)], id="on rows"),
        pytest.param(infinite_scale, id="its scale is infinite"),
        pytest.param(replaced_method, id="after a layer whose method was replaced"),
    ],
)
@pytest.mark.parametrize("N", [2, LANES + 1])
def test_a_batch_norm_that_cannot_be_folded_is_applied_as_it_stands(layers, N):
    model = nn.Sequential(*layers())
    for _, buffer in model.named_buffers():
        if np.all(buffer.data == 1):
            buffer.data *= 2
    x = RNG(1).standard_normal((N, 2, 6, 6)).astype(np.float32)
    infer = model.compile_inference()
    np.testing.assert_array_equal(infer(x), model.eval()(x))
    np.testing.assert_array_equal(infer(x), infer(x))
    assert len(infer.layers) == len(model)


@pytest.mark.parametrize(
    ("norm", "error", "message"),
    [
        (nn.BatchNorm2d(3), ValueError, r"\(3\) needs 3 channels but its input has shape \(1, 2, 6, 6\)"),
        (nn.BatchNorm2d(2, dtype=np.float64), TypeError, r"\(2\) is float64 but its input is float32"),
    ],
    ids=["channels", "dtype"],
)
def test_a_batch_norm_that_does_not_fit_is_not_folded(norm, error, message):
    infer = nn.Sequential(nn.Conv2d(2, 2, 1, rng=RNG(0)), norm).compile_inference()
    assert f"FixedBatchNorm({norm.num_features})" in repr(infer)
    with use_backend("numpy"), pytest.raises(error, match=rf"BatchNorm2d{message}"):
        infer(np.ones((1, 2, 6, 6), np.float32))


def test_batch_norm_without_running_statistics_is_refused():
    model = nn.Sequential(nn.Residual(nn.Conv2d(2, 2, 1)), nn.BatchNorm2d(2, track_running_stats=False))
    with pytest.raises(ValueError, match=r"`model` has BatchNorm2d\(2, .*\), which has no running statistics"):
        model.compile_inference()


@pytest.mark.parametrize(
    "case", [case for case in CONV_CASES if case.x[1] * case.weight[2] < 700], ids=lambda case: case.reason
)
def test_convolutions_of_few_images(case):
    """Compare with the definition, for every image by itself."""
    x, weight, bias, _ = case.arrays(RNG(0), np.float32)
    layer = of(nn, "Conv{}d", case)(x.shape[1], len(weight), weight.shape[2:], bias=case.bias, **case.options)
    layer.weight.data[...] = weight
    if case.bias:
        layer.bias.data[...] = bias
    infer, sizes = layer.compile_inference(), [abs(a) if a is not None else None for a in (x, weight, bias)]
    expected = of(F, "conv{}d", case)(x, weight, bias, backend="naive", **case.options)
    magnitude = of(F, "conv{}d", case)(*sizes, backend="naive", **case.options)
    for n in range(min(2, len(x))):
        assert_close(infer(x[n : n + 1]), expected[n : n + 1], weight[0].size, magnitude[n : n + 1])


def test_taps_far_outside_on_one_side():
    layer, x = nn.Conv2d(2, 3, (1, 4), padding=(0, 0, 0, 5), rng=RNG(0)), RNG(1).standard_normal((1, 2, 3, 6))
    infer, x = layer.compile_inference(), x.astype(np.float32)
    infer(x)
    infer._memory[:] = 0xFF  # NaN
    assert_close(infer(x), layer(x), 8, np.full((1, 3, 3, 8), 10.0))


@pytest.mark.parametrize("case", POOL_CASES, ids=lambda case: case.reason)
def test_max_poolings_of_few_images(case):
    x, _ = case.arrays(RNG(0), np.float32)
    infer = of(nn, "MaxPool{}d", case)(**case.options, dilation=case.dilation).compile_inference()
    expected = of(F, "max_pool{}d", case)(x, **case.options, dilation=case.dilation, backend="naive")
    np.testing.assert_array_equal(infer(x[:1]), expected[:1])


@pytest.mark.parametrize("case", [case for case in POOL_CASES if case.dilation == 1], ids=lambda case: case.reason)
@pytest.mark.parametrize("options", [{}, {"count_include_pad": False}, {"divisor_override": 3}], ids=str)
def test_average_poolings_of_few_images(case, options):
    if "divisor_override" in options and len(case.x) == 3:
        pytest.skip("pooling of signals has no such option")
    x, _ = case.arrays(RNG(0), np.float32)
    infer = of(nn, "AvgPool{}d", case)(**case.options, **options).compile_inference()
    with np.errstate(all="ignore"):
        expected = of(F, "avg_pool{}d", case)(x[:1], **case.options, **options, backend="naive")
        sizes = of(F, "avg_pool{}d", case)(abs(x[:1]), **case.options, **options, backend="naive")
    assert_close(infer(x[:1]), expected, int(np.prod(case.kernel_size)), sizes)


def layers():
    """Make layers of all kinds: margins, shortcuts, a ReLU whose input is used twice, partly filled vectors."""
    rng = RNG(5)
    return [
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 20, 3, padding=1, rng=rng),
        nn.Residual(nn.Sequential(nn.ReLU(), nn.Conv2d(20, 20, 3, padding=1, groups=20, rng=rng))),
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.ReLU(), nn.Conv2d(20, 35, 5, padding=2, stride=2, rng=rng)),
                    nn.Sequential(nn.AvgPool2d(1, 2), nn.ResizeChannels(35))),
        nn.Dropout(0.5, rng=rng),
        nn.Residual(nn.Identity(), nn.ResizeChannels(35)),
        nn.Sequential(nn.ReLU(), nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Identity())),
        nn.ResizeChannels(9),
        nn.ReLU(),
        nn.Conv2d(9, 70, 2, dilation=2, padding=1, rng=rng),
        nn.AdaptiveAvgPool2d((1, None)),
        nn.Flatten(),
        nn.Linear(70 * 3, 90, rng=rng),
        nn.ReLU(),
        nn.Linear(90, 5, rng=rng),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_all_steps_of_few_images_and_of_blocks(dtype):
    model = nn.Sequential(*layers())
    for _, value in model.named_state():
        if value.dtype.kind == "f":
            value.data = value.data.astype(dtype)
    model[0].dtype = np.dtype(dtype)
    infer = model.compile_inference()
    x = RNG(0).standard_normal((17, 3, 9, 9)).astype(dtype)
    with use_backend("numpy"):
        expected = model.eval()(x)
    for N in (1, 2, 17):
        np.testing.assert_allclose(infer(x[:N]), expected[:N], rtol=0, atol=2e3 * np.finfo(dtype).eps)


def padded(*middle, channels=20):
    """Put layers between two convolutions with partly filled vectors of channels, of which the second has padding."""
    first = nn.Conv2d(3, 20, 3, padding=1, rng=RNG(6))
    return lambda: [first, *middle, nn.Conv2d(channels, 7, 3, padding=2, rng=RNG(7)), nn.Flatten()]


NETS = {
    **{name: padded(kind()) for name, kind in activations.LAYERS.items()},
    "gelu by tanh": padded(nn.GELU(approximate="tanh")),
    "softmax over channels": padded(nn.Softmax()),
    "softmax over rows of pixels": padded(nn.Softmax(dim=3)),
    "dropout": padded(nn.Dropout(0.5)),
    "dropout of channels": padded(nn.Dropout2d(0.5)),
    "batch norm": padded(nn.ReLU(), nn.BatchNorm2d(20)),
    "more channels, where lanes hold sigmoids": padded(nn.Sigmoid(), nn.ResizeChannels(50), channels=50),
    "fewer channels": padded(nn.Sigmoid(), nn.ResizeChannels(9), channels=9),
    "max-pooling": padded(nn.MaxPool2d(3, 2, 1)),
    "max-pooling of negatives": padded(nn.Sigmoid(), nn.LeakyReLU(-1.0), nn.MaxPool2d(2)),
    "average pooling": padded(nn.Sigmoid(), nn.AvgPool2d(3, 2, 1)),
    "irregular adaptive average pooling": padded(nn.AdaptiveAvgPool2d(4)),
    "irregular adaptive max-pooling": padded(nn.AdaptiveMaxPool2d((4, 2))),
    "grouped convolution": padded(nn.Conv2d(20, 30, 3, groups=5, rng=RNG(8)), channels=30),
    "grouped convolution, ReLU, max-pooling": padded(
        nn.Conv2d(20, 30, 3, groups=2, rng=RNG(8)), nn.ReLU(), nn.MaxPool2d(2), channels=30
    ),
    "depthwise convolution": padded(nn.Conv2d(20, 20, 3, padding=2, stride=2, groups=20, rng=RNG(8)), nn.ReLU()),
    "two filters for each channel": padded(nn.Conv2d(20, 40, 3, groups=20, rng=RNG(8)), channels=40),
    "taps and windows far outside the image": padded(
        nn.Conv2d(20, 9, 3, padding=500, dilation=500, rng=RNG(8)),
        nn.Conv2d(9, 5, 1, padding=500, stride=250, rng=RNG(8)),
        channels=5,
    ),
    "transposed convolution": padded(nn.ConvTranspose2d(20, 18, 3, stride=2, groups=2, rng=RNG(8)), channels=18),
    "two ways": padded(nn.Residual(nn.Tanh(), nn.Sigmoid()), nn.ReLU()),
    "one image two ways, one by its batch": padded(nn.Residual(nn.Softmax(), nn.Identity())),
    "rows two ways, one from an image": lambda: [
        nn.Flatten(), nn.Residual(nn.Linear(243, 243, rng=RNG(6))), nn.Linear(243, 33, rng=RNG(7)), nn.Tanh()
    ],
    "rows of several pixels normalized": lambda: [
        nn.Conv2d(3, 5, 3, rng=RNG(6)), nn.Flatten(), nn.BatchNorm1d(245), nn.Linear(245, 70, rng=RNG(7)), nn.Softmax()
    ],
    "rows normalized": lambda: [nn.GlobalAvgPool2d(), nn.BatchNorm1d(3), nn.Sigmoid(), nn.Linear(3, 130, rng=RNG(6))],
    "the input is normalized": lambda: [nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1, rng=RNG(6))],
    "a stride along the input": lambda: [nn.Conv2d(3, 17, (3, 2), stride=(1, 3), padding=1, rng=RNG(6)), nn.ReLU()],
    "only a new shape": lambda: [nn.Flatten()],
    "nothing": lambda: [],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
def test_few_images_are_computed_as_the_model_does_bit_for_bit(net, dtype):
    """For each kind of step and for the layout of batches; idle lanes and old values in memory must not matter."""
    model = draw_statistics(nn.Sequential(*net())).eval()
    for _, value in model.named_state():
        if value.dtype.kind == "f":
            value.data = value.data.astype(dtype)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.dtype = np.dtype(dtype)
    infer, x = model.compile_inference(), RNG(0).standard_normal((4, 3, 9, 9)).astype(dtype)
    for N in (1, 2, 3, 4):
        expected = model(x[:N])
        y = infer(x[:N])
        np.testing.assert_array_equal(y, expected)
        infer._memory[:] = 0xFF  # NaN
        np.testing.assert_array_equal(infer(x[:N]), expected)
        assert not np.shares_memory(y, x)


def test_rows_and_other_shapes_of_few():
    model = models.MLP(rng=RNG(0)).eval()
    x = RNG(1).standard_normal((3, *model.input_shape)).astype(np.float32)
    np.testing.assert_array_equal(model.compile_inference()(x[:1]), model(x[:1]))
    layers, rows = nn.Sequential(nn.Linear(20, 7, rng=RNG(0)), nn.ELU()), RNG(1).standard_normal((2, 20))
    np.testing.assert_array_equal(layers.compile_inference()(np.float32(rows)), layers.eval()(np.float32(rows)))
    reshaped, x = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Unflatten(1, (4, 3, 2))), x[:1, :, :6, :4]
    np.testing.assert_array_equal(reshaped.compile_inference()(x), reshaped.eval()(x))
    volumes = RNG(1).standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    activations = nn.Sequential(nn.Tanh(), nn.Softmax(2), nn.GELU())
    np.testing.assert_array_equal(activations.compile_inference()(volumes), activations.eval()(volumes))


def test_what_the_first_run_computed_in_is_given_back():
    from fastcnn.backends.numba_direct.runtime.memory import unused_bytes

    chain = nn.Sequential(*(nn.Conv2d(2, 2, 1, rng=RNG(0)) for _ in range(4)))
    infer, x = chain.compile_inference(), np.ones((LANES, 2, 97, 89), np.float32)  # a size that no other test uses
    before = unused_bytes()
    infer(x)
    assert unused_bytes() - before >= 5 * x.nbytes


def test_nothing_is_left_over_from_call_to_call():
    """Results do not depend on old values in the planned memory."""
    model = draw_statistics(nn.Sequential(*layers()))
    infer = model.compile_inference()
    x = RNG(0).standard_normal((LANES + 1, 3, 9, 9)).astype(np.float32)
    for N in (LANES + 1, 1):
        before = infer(x[:N])
        infer._memory.view(np.uint8)[:] = 0xFF  # NaN
        np.testing.assert_array_equal(infer(x[:N]), before)


def test_sums_have_the_models_order_where_taps_come_before_channels():
    from fastcnn.backends.numba_direct.kernels.correlate import sums_channels_last

    layer, x = nn.Conv2d(3, 20, 5, padding=4, rng=RNG(0)), RNG(1).standard_normal((1, 3, 6, 6)).astype(np.float32)
    assert sums_channels_last(layer.windows((6, 6)), 1, layer.weight.shape, (1, 3, 6, 6, LANES))
    np.testing.assert_array_equal(layer.compile_inference()(x), layer(x))


def test_any_backend_computes_it(backend):
    rng = RNG(5)
    model = [nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1, rng=rng), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)]
    model = draw_statistics(nn.Sequential(*model, nn.Residual(nn.Conv2d(3, 3, 1, rng=rng)), nn.Flatten())).eval()
    x = RNG(0).standard_normal((3, 2, 4, 4)).astype(np.float32)
    with use_backend(backend):
        infer = model.compile_inference(batch_size=2)
        np.testing.assert_allclose(infer(x), np.concatenate([model(x[:2]), model(x[2:])]), rtol=0, atol=1e-5)
        model = nn.Sequential(model[1], *model.layers[3:])  # without BatchNorm
        np.testing.assert_array_equal(model.compile_inference()(x), model(x))


def test_the_model_stays_as_it_is_and_does_not_reach_it():
    model = draw_statistics(models.VGG7(image_size=8, rng=RNG(0)))
    state, x = model.state_dict(), images(model, 2)
    infer = model.compile_inference()
    y = infer(x)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert state.keys() == model.state_dict().keys()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    for _, value in model.named_state():
        value.data[...] = 0
    np.testing.assert_array_equal(infer(x), y)


def test_an_answer_is_the_callers_own():
    model = models.Conv8(rng=RNG(0))
    infer = model.compile_inference()
    for N in (1, 20, 200):
        x = images(model, N)
        first = infer(x)
        kept = first.copy()
        second = infer(-x)
        np.testing.assert_array_equal(first, kept)
        assert not np.shares_memory(first, second)
        assert first.flags.writeable


def test_images_in_any_memory_order(memory_order):
    model = models.Conv8(rng=RNG(0))
    infer = model.compile_inference()
    for N in (2, 20):
        x = images(model, N)
        np.testing.assert_array_equal(infer(memory_order(x)), infer(x))


def test_batches_are_cut_into_parts_of_the_batch_size():
    model = models.Conv8(rng=RNG(0)).eval()
    infer, x = model.compile_inference(batch_size=20), images(model, 50)
    parts = [model(x[first : first + 20]) for first in (0, 20, 40)]
    np.testing.assert_array_equal(infer(x), np.concatenate(parts))
    assert infer.batch_size == 20


@pytest.mark.parametrize(("threads", "least", "most"), [(3, 2, 3), (1, 0, 0.1)])
def test_the_memory_is_planned(threads, least, most):
    """A net needs memory for the largest two neighbouring activations, not for all, whatever its length.

    If the blocks divide evenly among threads, each thread takes one block through the whole net, and no more is needed.
    """
    chain = nn.Sequential(*(nn.Conv2d(2, 2, 1, rng=RNG(0)) for _ in range(10)))
    infer, x, before = chain.compile_inference(), np.ones((2 * LANES, 2, 8, 8), np.float32), get_num_threads()
    set_num_threads(threads)
    infer(x)
    assert least * x.nbytes <= infer._memory.size <= most * x.nbytes
    infer(x[: LANES + 1])
    infer(x[:1])
    set_num_threads(before)
    assert infer._memory.size <= max(most, 1) * x.nbytes


def test_one_image_takes_the_memory_of_one():
    """It needs no memory for a batch with idle lanes, or for padding between taps far outside the image."""
    model = nn.Sequential(models.LeNet5Classic(rng=RNG(0)), nn.Softmax())
    far = nn.Conv2d(1, 1, 3, padding=500, dilation=500, rng=RNG(0))
    for infer, most in ((model.compile_inference(), 3 * LANES * 28 * 28 * 4), (far.compile_inference(), 200_000)):
        infer(np.zeros((1, 1, 32, 32), np.float32))
        assert infer._memory.size < most


def test_a_net_of_small_layers_is_one_threads(monkeypatch):
    from fastcnn.backends.numba_direct.runtime import launches

    threads, run = [], launches.run

    def noted(table, counters, *scratch):
        threads.append(counters.shape[1] - 1)
        return run(table, counters, *scratch)

    for model, expected in ((models.Conv8(rng=RNG(0)), 1), (models.VGG7(image_size=16, rng=RNG(0)), 2)):
        infer, x = model.compile_inference(), images(model, 1)
        infer(x)
        with monkeypatch.context() as patch:
            patch.setattr(launches, "run", noted)
            infer(x)
        assert threads.pop() == expected
        assert not threads


def test_results_in_shared_memory_outlive_the_steps_behind_them():
    from fastcnn.backends import numba_direct as backend

    def twice(x):
        first, second = (backend.unpack(function(backend.pack(x))) for function in (backend.relu, backend.tanh))
        return [first, second]

    program, _ = backend.record(twice, [np.zeros((1, 500), np.float32)], [])
    program.share(lambda size: np.empty(size, np.uint8))
    x = RNG(0).standard_normal((1, 500)).astype(np.float32)
    for found, expected in zip(program(x), twice(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_places_of_what_lives_together_are_apart(rng):
    from fastcnn._lifetimes import Lifetime, place

    for _ in range(200):
        lifetimes = [Lifetime(int(size)) for size in rng.integers(1, 1000, 12)]
        for one in lifetimes:
            one.live(int(rng.integers(0, 10)))
            one.live(one.first + int(rng.integers(0, 5)))
        size = place(lifetimes)
        for i, one in enumerate(lifetimes):
            assert 0 <= one.place <= size - one.size
            for other in lifetimes[:i]:
                apart = one.place + one.size <= other.place or other.place + other.size <= one.place
                assert apart or one.last < other.first or other.last < one.first


@pytest.mark.parametrize("N", [1, 30])
def test_two_threads_may_ask_at_once(N):
    model = models.Conv8(rng=RNG(0)).eval()
    infer = model.compile_inference()
    inputs = [images(model, N, seed) for seed in range(2)]
    expected, wrong = [model(x) for x in inputs], []

    def work(k):
        for _ in range(200):
            if not np.array_equal(infer(inputs[k]), expected[k]):
                wrong.append(k)

    in_threads(work, range(2))
    assert not wrong


def test_the_number_of_threads_does_not_matter():
    model = draw_statistics(models.ResNet20(rng=RNG(0)))
    infer, x, answers = model.compile_inference(), images(model, 1), []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            answers.append(infer(x))
    finally:
        set_num_threads(2)
    np.testing.assert_array_equal(answers[1], answers[0])
    np.testing.assert_array_equal(answers[2], answers[0])


def test_a_layer_of_the_users_own_is_called():
    class Halved(nn.Module):
        def forward_native(self, x, backend):
            return backend.leaky_relu(backend.relu(x), 0.5)

    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=RNG(0)), nn.BatchNorm2d(2, eps=0), Halved(), nn.Flatten())
    x = RNG(1).standard_normal((5, 1, 4, 4)).astype(np.float32)
    infer = model.compile_inference()
    np.testing.assert_array_equal(infer(x), model.eval()(x))
    np.testing.assert_array_equal(infer(x), infer(x))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0]], TypeError, "`x` must be a numpy array, not list"),
        (np.zeros((1, 1, 28, 28), np.uint8), TypeError, "`x` must be float32 or float64, not uint8"),
        (np.zeros((1, 1, 28, 28)), TypeError, "has float32 parameters but its input is float64"),
        (np.zeros(784, np.float32), ValueError, "`x` must have at least 2 dimensions"),
        (np.zeros((0, 1, 28, 28), np.float32), ValueError, "`x` is empty"),
        (np.zeros((1, 3, 28, 28), np.float32), ValueError, "needs 1 input channels but its input has shape"),
        (np.zeros((20, 1, 30, 28), np.float32), ValueError, "needs 1352 input features but its input has shape"),
        (np.zeros((1, 28, 28), np.float32), ValueError, r"needs images \(N, C, H, W\)"),
    ],
    ids=["a list", "integers", "another dtype", "one axis", "empty", "channels", "size", "no channels"],
)
def test_what_does_not_fit_is_said_and_does_no_harm(x, error, message, backend):
    model = models.Conv8(rng=RNG(0))
    infer, good = model.compile_inference(), images(model, 1)
    with use_backend(backend):
        expected = infer(good)
        with pytest.raises(error, match=message):
            infer(x)
        np.testing.assert_array_equal(infer(good), expected)


def test_only_so_many_batch_shapes_are_kept():
    infer = nn.Sequential(nn.ReLU()).compile_inference()
    for N in range(inference._KEPT + LANES, 0, -1):  # a larger batch would need more memory, and so begin anew
        x = RNG(N).standard_normal((N, 3), np.float32)
        np.testing.assert_array_equal(infer(x), np.maximum(x, 0))
        assert 0 < len(infer._prepared) <= inference._KEPT


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="`model` must be a Module, not list"):
        nn.Inference([])
    with pytest.raises(ValueError, match="`batch_size` is 0 but must be at least 1"):
        models.Conv8().compile_inference(0)


def test_it_can_be_pickled_and_copied(backend):
    infer = models.LeNet5(rng=np.random.default_rng(0)).compile_inference(batch_size=3)
    x = np.random.default_rng(1).standard_normal((4, 1, 32, 32)).astype(np.float32)
    with use_backend(backend):
        y = infer(x)
        for twin in (pickle.loads(pickle.dumps(infer)), copy.deepcopy(infer)):
            assert twin.batch_size == 3
            np.testing.assert_array_equal(twin(x), y)
