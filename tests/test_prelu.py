"""ReLU with trained slopes: values computed by hand -> naive -> central differences -> the other backends, PyTorch."""

import re

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn, optim, training
from fastcnn.testing import assert_close, central_difference

NAN, INF = np.nan, np.inf
SHAPES = {
    "rows": ((5, 7), 7), "one slope": ((24, 3, 4, 5), 1), "last block of the batch half full": ((24, 3, 4, 5), 3),
    "many images": ((100, 6, 15, 15), 6), "many images, one slope": ((100, 6, 15, 15), 1), "3 axes": ((3, 4, 5), 4),
}  # fmt: skip
shapes = pytest.mark.parametrize(("shape", "slopes"), SHAPES.values(), ids=SHAPES)


def drawn(rng, shape, slopes, dtype=np.float64):
    return (rng.standard_normal(size).astype(dtype) for size in (shape, shape, (slopes,)))


def test_by_hand(backend, dtype):
    x = np.array([[-4, 3, -INF], [0, -2, NAN]], dtype)
    dy = np.array([[1, 2, 0.5], [3, 5, 7]], dtype)
    weight = np.array([0.25, -1, 2], dtype)
    np.testing.assert_array_equal(F.prelu(x, weight, backend=backend), [[-1, 3, -INF], [0, 2, NAN]])
    dx, dweight = F.prelu_backward(dy, x, weight, backend=backend)
    np.testing.assert_array_equal(dx, [[0.25, 2, 1], [0.75, -5, 14]])  # at 0 the derivative is the slope
    np.testing.assert_array_equal(dweight, [-4, -10, NAN])
    for asked in ({"input_grad": False}, {"weight_grad": False}):
        found = F.prelu_backward(dy, x, weight, **asked, backend=backend)
        for name, one, whole in zip(("input_grad", "weight_grad"), found, (dx, dweight), strict=True):
            np.testing.assert_array_equal(one, None if name in asked else whole)
    dx, dweight = F.prelu_backward(dy[:, :2], x[:, :2], weight[:1], backend=backend)
    np.testing.assert_array_equal(dweight, [-14])


def test_what_is_above_zero_teaches_no_slope(backend, dtype):
    x, dy = np.array([[INF, 2, 1]], dtype), np.array([[3, INF, NAN]], dtype)
    dx, dweight = F.prelu_backward(dy, x, np.ones(3, dtype), backend=backend)
    np.testing.assert_array_equal(dx, dy)
    np.testing.assert_array_equal(dweight, [0, 0, 0])


@shapes
def test_gradients_are_central_differences(fast_backend, shape, slopes, rng):
    x, dy, weight = drawn(rng, shape, slopes)
    dx, dweight = F.prelu_backward(dy, x, weight, backend=fast_backend)
    direction = rng.standard_normal(slopes)
    slope = central_difference(lambda w: float((F.prelu(x, w, backend=fast_backend) * dy).sum()), weight, direction)
    assert slope == pytest.approx((dweight * direction).sum(), rel=1e-6)
    np.testing.assert_array_equal(dx, np.where(x > 0, 1, weight.reshape(-1, *(1,) * (x.ndim - 2))) * dy)


@shapes
def test_agrees_with_pytorch(fast_backend, dtype, shape, slopes, rng):
    torch = pytest.importorskip("torch")
    x, dy, weight = drawn(rng, shape, slopes, dtype)
    tx, tweight = (torch.tensor(array, requires_grad=True) for array in (x, weight))
    ty = torch.nn.functional.prelu(tx, tweight)
    ty.backward(torch.tensor(dy))
    np.testing.assert_array_equal(F.prelu(x, weight, backend=fast_backend), ty.detach().numpy())
    dx, dweight = F.prelu_backward(dy, x, weight, backend=fast_backend)
    np.testing.assert_array_equal(dx, tx.grad.numpy())
    assert_close(dweight, tweight.grad.numpy(), x.size // slopes, np.full(slopes, np.abs(x * dy).sum() / slopes))


@shapes
def test_numba_gives_the_same_bits_on_any_number_of_threads(shape, slopes, dtype, rng):
    x, dy, weight = drawn(rng, shape, slopes, dtype)
    before, found = fastcnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastcnn.set_num_threads(threads)
            found.append(F.prelu_backward(dy, x, weight, backend="numba"))
    finally:
        fastcnn.set_num_threads(before)
    for dx, dweight in found[1:]:
        np.testing.assert_array_equal(dx, found[0][0])
        np.testing.assert_array_equal(dweight, found[0][1])


def test_a_step_is_the_loop(backend):
    def trained(stepped):
        rng = np.random.default_rng(0)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, rng=rng), nn.PReLU(4), nn.Flatten(), nn.Linear(36, 8, rng=rng), nn.PReLU(),
            nn.Linear(8, 3, rng=rng),
        )  # fmt: skip
        assert not nn.unrecorded(model)
        loss, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01)
        step = training.TrainStep(model, optimizer, loss)
        for N in (37, 37, 5):
            x, labels = rng.standard_normal((N, 2, 5, 5)).astype(np.float32), rng.integers(0, 3, N)
            if stepped:
                step(x, labels)
                continue
            loss(model(x), labels)
            optimizer.zero_grad()
            model.backward(loss.backward(), input_grad=False)
            optimizer.step()
        state = model.state_dict()
        assert len(np.unique(state["1.weight"])) == 4  # each channel has learned its own slope
        return state

    with fastcnn.use_backend(backend):
        expected = trained(False)
        for name, array in trained(True).items():
            np.testing.assert_array_equal(array, expected[name])


def test_other_channels_are_refused(backend):
    with fastcnn.use_backend(backend):
        text = "PReLU(num_parameters=3) needs 3 channels but its input has shape (2, 4, 5, 5)."
        with pytest.raises(ValueError, match=re.escape(text)):
            nn.PReLU(3)(np.ones((2, 4, 5, 5), np.float32))
        with pytest.raises(TypeError, match=r"is float32 but its input is float64"):
            nn.PReLU()(np.ones((2, 4)))


def test_one_image_is_computed_as_it_is_in_a_batch(rng):
    model = nn.Sequential(nn.Conv2d(2, 20, 3, rng=rng), nn.PReLU(20, 0.3), nn.Conv2d(20, 3, 3, rng=rng), nn.PReLU())
    infer, x = model.eval().compile_inference(), rng.standard_normal((40, 2, 7, 7)).astype(np.float32)
    np.testing.assert_array_equal(infer(x), model(x))
    np.testing.assert_array_equal(infer(x[:1]), model(x)[:1])
