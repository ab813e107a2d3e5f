"""Comparison with PyTorch, where it is installed and has the option."""

import inspect

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import (
    ADAPTIVE_POOL_CASES,
    CONV_CASES,
    CONV_TRANSPOSE_CASES,
    GROUP_NORM_CASES,
    LOSS_CASES,
    NORM_CASES,
    POOL_CASES,
    RESIZE_CASES,
    ConvCase,
    activations,
    assert_close,
)
from tests.nd import of

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def leaf(array):
    """Make a tensor that requires its gradient."""
    return None if array is None else torch.tensor(array, requires_grad=True)


def same(actual, tensor, length=8, magnitude=None):
    """Check that arrays are equal up to rounding, relative to the largest number unless a magnitude is given."""
    expected = tensor.detach().numpy()
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    assert_close(actual, expected, length, np.full(expected.shape, largest) if magnitude is None else magnitude)


def sides(case):
    """Convert a padding to the order of torch.nn.functional.pad."""
    w = case.windows
    return (w.left, w.right, w.top, w.bottom)[: 2 * (len(case.x) - 2)]


def pytorch_has(case):
    """Whether PyTorch's poolings accept a padding: equal on both sides, at most half of the undilated kernel."""
    w = case.windows
    return (w.top, w.left) == (w.bottom, w.right) and w.top <= w.KH // 2 and w.left <= w.KW // 2


def torch_pool_options(case):
    return {**case.options, "padding": (case.windows.top, case.windows.left)[2 - len(case.x) :]}


@pytest.mark.parametrize("case", CONV_CASES, ids=lambda case: case.reason)
def test_conv2d(backend, case, rng):
    x, weight, bias, dy = case.arrays(rng, np.float64)
    tx, tweight, tbias = leaf(x), leaf(weight), leaf(np.zeros(len(weight)) if bias is None else bias)
    padded = torch.nn.functional.pad(tx, sides(case))
    ty = of(torch.nn.functional, "conv{}d", case)(padded, tweight, tbias, case.stride, 0, case.dilation, case.groups)
    ty.backward(torch.tensor(dy))
    same(of(F, "conv{}d", case)(x, weight, bias, **case.options, backend=backend), ty)
    gradients = of(F, "conv{}d_backward", case)(dy, x, weight, **case.options, backend=backend)
    for gradient, tensor in zip(gradients, (tx, tweight, tbias), strict=True):
        same(gradient, tensor.grad)


@pytest.mark.parametrize("case", CONV_TRANSPOSE_CASES, ids=lambda case: case.reason)
def test_conv_transpose2d(backend, case, rng):
    x, weight, bias, dy = case.arrays(rng, np.float64)
    tx, tweight, tbias = leaf(x), leaf(weight), leaf(np.zeros(dy.shape[1]) if bias is None else bias)
    ty = of(torch.nn.functional, "conv_transpose{}d", case)(tx, tweight, tbias, **case.options)
    ty.backward(torch.tensor(dy))
    same(of(F, "conv_transpose{}d", case)(x, weight, bias, **case.options, backend=backend), ty)
    gradients = of(F, "conv_transpose{}d_backward", case)(dy, x, weight, **case.options, backend=backend)
    for gradient, tensor in zip(gradients, (tx, tweight, tbias), strict=True):
        same(gradient, tensor.grad)


SIGNALS = [case for case in (*CONV_CASES, *CONV_TRANSPOSE_CASES) if len(case.x) == 3]


@pytest.mark.parametrize("case", SIGNALS, ids=lambda case: f"{type(case).__name__}: {case.reason}")
def test_convolutions_of_signals_in_float32(backend, case, rng):
    name = "conv1d" if isinstance(case, ConvCase) else "conv_transpose1d"
    x, weight, bias, dy = case.arrays(rng, np.float32)
    tx, tweight, tbias = leaf(x), leaf(weight), leaf(np.zeros(dy.shape[1], np.float32) if bias is None else bias)
    if name == "conv1d":
        options = case.stride, 0, case.dilation, case.groups
        ty = torch.nn.functional.conv1d(torch.nn.functional.pad(tx, sides(case)), tweight, tbias, *options)
    else:
        ty = torch.nn.functional.conv_transpose1d(tx, tweight, tbias, **case.options)
    ty.backward(torch.tensor(dy))
    y = getattr(F, name)(x, weight, bias, **case.options, backend=backend)
    gradients = getattr(F, f"{name}_backward")(dy, x, weight, **case.options, backend=backend)
    for array, tensor in zip((y, *gradients), (ty, tx.grad, tweight.grad, tbias.grad), strict=True):
        same(array, tensor, length=32)


@pytest.mark.parametrize("case", [case for case in POOL_CASES if pytorch_has(case)], ids=lambda case: case.reason)
def test_max_pool2d(backend, dtype, case, rng):
    x, dy = case.arrays(rng, dtype)
    tx = leaf(x)
    ty, tindices = of(torch.nn.functional, "max_pool{}d", case)(
        tx, **torch_pool_options(case), dilation=case.dilation, return_indices=True
    )
    ty.backward(torch.tensor(dy))
    y, indices = of(F, "max_pool{}d", case)(
        x, **case.options, dilation=case.dilation, return_indices=True, backend=backend
    )
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(indices, tindices.numpy())
    same(of(F, "max_pool{}d_backward", case)(dy, indices, x.shape, backend=backend), tx.grad)


@pytest.mark.parametrize(
    "case", [case for case in POOL_CASES if pytorch_has(case) and case.dilation == 1], ids=lambda case: case.reason
)
@pytest.mark.parametrize("count_include_pad", [True, False], ids=["count pad", "pixels only"])
def test_avg_pool2d(backend, case, count_include_pad, rng):
    x, dy = case.arrays(rng, np.float64)
    tx = leaf(x)
    ty = of(torch.nn.functional, "avg_pool{}d", case)(
        tx, **torch_pool_options(case), count_include_pad=count_include_pad
    )
    ty.backward(torch.tensor(dy))
    same(of(F, "avg_pool{}d", case)(x, **case.options, count_include_pad=count_include_pad, backend=backend), ty)
    options = {**case.options, "count_include_pad": count_include_pad, "backend": backend}
    same(of(F, "avg_pool{}d_backward", case)(dy, x.shape, **options), tx.grad)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", NORM_CASES, ids=lambda case: case.reason)
def test_batch_norm(backend, case, training, rng):
    x, mean, var, weight, bias, dy = case.arrays(rng, np.float64)
    tx, tweight, tbias = leaf(x), leaf(weight), leaf(bias)
    tmean, tvar = torch.tensor(mean), torch.tensor(var)
    ty = torch.nn.functional.batch_norm(tx, tmean, tvar, tweight, tbias, training, 0.3, case.eps)
    ty.backward(torch.tensor(dy))
    options = {"training": training, "momentum": 0.3, "eps": case.eps, "backend": backend}
    y, *statistics = F.batch_norm(x, mean, var, weight, bias, **options, return_statistics=True)
    # the rounding error of x - mean, times the inverse standard deviation
    magnitude = np.full(x.shape, np.abs(x).max() * statistics[1].max() + 10)
    same(y, ty, magnitude=magnitude)
    same(mean, tmean)
    same(var, tvar)
    dx, *gradients = F.batch_norm_backward(dy, x, *statistics, weight, training=training, backend=backend)
    same(dx, tx.grad, magnitude=10 * magnitude * statistics[1].max())
    for gradient, tensor in zip(gradients, (tweight, tbias), strict=True):
        if tensor is not None:
            same(gradient, tensor.grad, magnitude=np.full(x.shape[1], np.abs(dy).sum() * magnitude.max()))


@pytest.mark.parametrize("case", GROUP_NORM_CASES, ids=lambda case: case.reason)
def test_group_norm_and_layer_norm(backend, case, rng):
    x, weight, bias, dy = case.arrays(rng, np.float64)
    tx, tweight, tbias = leaf(x), leaf(weight), leaf(bias)
    ty = getattr(torch.nn.functional, case.operation)(tx, case.over, tweight, tbias, case.eps)
    ty.backward(torch.tensor(dy))
    y = getattr(F, case.operation)(x, case.over, weight, bias, case.eps, backend=backend)
    # the rounding error of x - mean, times the inverse standard deviation
    invstd = 1 / np.sqrt(case.eps) if case.values == "a quarter" else 10
    magnitude = np.full(x.shape, np.abs(x).max() * invstd)
    same(y, ty, magnitude=magnitude)
    backward = getattr(F, f"{case.operation}_backward")
    dx, *gradients = backward(dy, x, case.over, weight, case.eps, backend=backend)
    same(dx, tx.grad, magnitude=invstd * magnitude)
    for gradient, tensor in zip(gradients, (tweight, tbias), strict=True):
        if tensor is not None:
            same(gradient, tensor.grad, magnitude=np.full(gradient.shape, np.abs(dy).sum() * magnitude.max()))


@pytest.mark.parametrize("case", ADAPTIVE_POOL_CASES, ids=lambda case: case.reason)
def test_adaptive_max_pool2d(backend, dtype, case, rng):
    x, dy = case.arrays(rng, dtype)
    tx = leaf(x)
    ty, tindices = of(torch.nn.functional, "adaptive_max_pool{}d", case)(tx, case.output_size, return_indices=True)
    ty.backward(torch.tensor(dy))
    y, indices = of(F, "adaptive_max_pool{}d", case)(x, case.output_size, return_indices=True, backend=backend)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(indices, tindices.numpy())
    same(of(F, "adaptive_max_pool{}d_backward", case)(dy, indices, x.shape, backend=backend), tx.grad)


@pytest.mark.parametrize("case", ADAPTIVE_POOL_CASES, ids=lambda case: case.reason)
def test_adaptive_avg_pool2d(backend, case, rng):
    x, dy = case.arrays(rng, np.float64)
    tx = leaf(x)
    ty = of(torch.nn.functional, "adaptive_avg_pool{}d", case)(tx, case.output_size)
    ty.backward(torch.tensor(dy))
    same(of(F, "adaptive_avg_pool{}d", case)(x, case.output_size, backend=backend), ty)
    same(of(F, "adaptive_avg_pool{}d_backward", case)(dy, x.shape, backend=backend), tx.grad)


@pytest.mark.parametrize("case", RESIZE_CASES, ids=lambda case: case.reason)
def test_interpolate(backend, dtype, case, rng):
    x, dy = case.arrays(rng, dtype)
    tx = leaf(x)
    ty = torch.nn.functional.interpolate(tx, case.size, **case.options)
    ty.backward(torch.tensor(dy))
    length = 8 if dtype == np.float64 else 64  # PyTorch then computes positions in float32
    same(F.interpolate(x, case.size, **case.options, backend=backend), ty, length)
    same(F.interpolate_backward(dy, x.shape, **case.options, backend=backend), tx.grad, length)


def test_linear(backend, rng):
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in ((24, 7), (13, 7), (13,), (24, 13)))
    tensors = leaf(x), leaf(weight), leaf(bias)
    ty = torch.nn.functional.linear(*tensors)
    ty.backward(torch.tensor(dy))
    same(F.linear(x, weight, bias, backend=backend), ty)
    for gradient, tensor in zip(F.linear_backward(dy, x, weight, backend=backend), tensors, strict=True):
        same(gradient, tensor.grad)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in activations.NAMES if hasattr(torch.nn.functional, name)),
        ("gelu", {"approximate": "tanh"}),
        ("elu", {"alpha": 0.3}),
        ("elu", {"alpha": -2.0}),
        ("softplus", {"beta": 2.0, "threshold": 0.5}),
    ],
    ids=str,
)
def test_activations_and_their_gradients_at_every_kind_of_number(backend, dtype, name, options):
    # all pairs of a value and a gradient
    values = np.array([-np.inf, -800, -3, -1e-3, 0, 1e-3, 2, 90, np.inf, np.nan], dtype)
    if name == "gelu" and dtype == np.float32:
        values = values[:-2]  # for inf PyTorch gives inf in float64 but NaN in float32, where it uses oneDNN
    x, dy = (grid.reshape(-1) for grid in np.meshgrid(values, np.array([1.5, 0, -np.inf, np.nan], dtype)))
    tx = leaf(x)
    ty = getattr(torch.nn.functional, name)(tx, **options)
    ty.backward(torch.tensor(dy))
    y = getattr(F, name)(x, **options, backend=backend)
    known = ty.detach().numpy() if name in activations.FROM_OUTPUT else x
    dx = getattr(F, f"{name}_backward")(dy, known, **options, backend=backend)
    # if y is x times a small number, it has the relative precision of x
    assert_close(y, ty.detach().numpy(), 8, np.where(np.isfinite(x), x, 0) if name in activations.GATES else None)
    # 1 - y * y is inaccurate where y is near 1: the magnitude is that of dy
    assert_close(dx, tx.grad.numpy(), 8, np.where(np.isfinite(dy), dy, 1))


ODD_ROWS = np.array(
    [
        [0.5, -1, 2],
        [1e3, -1e3, 0],
        [-np.inf, 0, 1],
        [np.nan, 0, 1],
        [0, 1, np.nan],
        [np.inf, 0, 1],
        [np.inf, -np.inf, 0],
        [-np.inf, -np.inf, -np.inf],
    ]
)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(backend, name):
    tx = leaf(ODD_ROWS)
    ty = getattr(torch.nn.functional, name)(tx, -1)
    dy = np.tile([1.0, -2.0, 0.5], (len(ODD_ROWS), 1))
    ty.backward(torch.tensor(dy))
    same(getattr(F, name)(ODD_ROWS, backend=backend), ty)
    same(getattr(F, f"{name}_backward")(dy, ty.detach().numpy(), backend=backend), tx.grad)


@pytest.mark.parametrize("target", range(3))
@pytest.mark.parametrize("row", ODD_ROWS, ids=str)
def test_cross_entropy(backend, row, target):
    logits, labels = np.stack([row, [0.0, 1.0, 2.0]]), np.array([target, 2])
    tlogits = leaf(logits)
    for reduction in ("mean", "sum"):
        tlogits.grad = None
        tloss = torch.nn.functional.cross_entropy(tlogits, torch.tensor(labels), reduction=reduction)
        tloss.backward()
        loss = F.cross_entropy(logits, labels, reduction=reduction, backend=backend)
        assert loss == pytest.approx(tloss.item(), rel=1e-12, nan_ok=True)
        same(F.cross_entropy_backward(logits, labels, reduction=reduction, backend=backend), tlogits.grad)


@pytest.mark.parametrize("case", LOSS_CASES, ids=str)
def test_losses(backend, case, rng, dtype):
    """Compare the function, and the class with the same options."""
    x, target, options = case.arguments(rng, dtype)
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    tx = torch.tensor(x, requires_grad=True)
    tloss = getattr(torch.nn.functional, case.loss)(tx, torch.tensor(target), **theirs)
    with fastcnn.use_backend(backend):
        loss = getattr(F, case.loss)(x, target, **options)
        dy = case.gradient(loss, rng)
        dx = getattr(F, f"{case.loss}_backward")(x, target, **options, **dy)
        criterion = nn.LOSSES[case.layer](**options)
        np.testing.assert_array_equal(criterion(x, target), loss)
        np.testing.assert_array_equal(criterion.backward(*dy.values()), dx)
    tloss.backward(*map(torch.tensor, dy.values()))
    twin = getattr(torch.nn, case.layer)(**theirs)(torch.tensor(x), torch.tensor(target))
    np.testing.assert_array_equal(twin.numpy(), tloss.detach().numpy())
    # PyTorch sums thousands of losses in float32, fastcnn in float64
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}
    assert np.shape(loss) == tuple(tloss.shape)
    np.testing.assert_allclose(loss, tloss.detach().numpy(), **tolerance)
    np.testing.assert_allclose(dx, tx.grad.numpy(), **tolerance)


@pytest.mark.parametrize("kind", nn.LOSSES)
def test_losses_have_the_arguments_of_theirs(kind):
    """Order and defaults are the same, except for deprecated arguments."""
    ours, theirs = (inspect.signature(getattr(package, kind)).parameters for package in (nn, torch.nn))
    old = ("size_average", "reduce")
    assert {name: p.default for name, p in ours.items()} == {n: p.default for n, p in theirs.items() if n not in old}
    assert [*ours] == [name for name in theirs if name not in old]


ODD = np.array([0.0, -0.0, 1.0, -1.0, 1e4, -1e4, 1e30, -1e30, 1e300, 1e-300, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_losses_of_odd_numbers(backend, loss):
    x, target = (pair.ravel() for pair in np.meshgrid(ODD, ODD))
    tx = leaf(x)
    tlosses = getattr(torch.nn.functional, loss)(tx, torch.tensor(target), reduction="none")
    tlosses.backward(torch.ones(len(x), dtype=torch.float64))
    same(getattr(F, loss)(x, target, reduction="none", backend=backend), tlosses)
    dx = getattr(F, f"{loss}_backward")(x, target, reduction="none", dy=np.ones(len(x)), backend=backend)
    unknown = np.isnan(tlosses.detach().numpy())
    assert np.isnan(dx[unknown]).all()
    same(dx[~unknown], tx.grad[torch.tensor(~unknown)])  # PyTorch's sign of NaN is 0


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_binary_cross_entropy_of_odd_logits(backend, target):
    x = np.concatenate([ODD[~np.isinf(ODD)], np.linspace(-800, 800, 97)])  # for infinity PyTorch gives NaN
    tx, targets = leaf(x), np.full(len(x), target)
    tlosses = torch.nn.functional.binary_cross_entropy_with_logits(tx, torch.tensor(targets), reduction="none")
    tlosses.backward(torch.ones(len(x), dtype=torch.float64))
    same(F.binary_cross_entropy_with_logits(x, targets, reduction="none", backend=backend), tlosses)
    dx = F.binary_cross_entropy_with_logits_backward(x, targets, reduction="none", dy=np.ones(len(x)), backend=backend)
    same(dx, tx.grad)
