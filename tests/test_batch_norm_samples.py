"""Batch normalization against PyTorch: PyTorch's sample inputs, its layers, and state dicts loaded both ways."""

import numpy as np
import pytest

import fastcnn
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.testing import assert_close

torch = pytest.importorskip("torch")

TORCH_DTYPE = {np.float32: torch.float32, np.float64: torch.float64}


def samples(dtype):
    """Return PyTorch's sample inputs of two and four axes, which fastcnn accepts."""
    op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db  # it needs expecttest
    torch.manual_seed(0)
    [op] = [op for op in op_db if op.name == "nn.functional.batch_norm" and not op.variant_test_name]
    found = op.sample_inputs("cpu", TORCH_DTYPE[dtype], requires_grad=True)
    return [sample for sample in found if sample.input.ndim in (2, 4)]


def copied(tensor):
    return None if tensor is None else tensor.detach().numpy().copy()


def test_there_are_samples_of_both_kinds(dtype):
    found = samples(dtype)
    assert {sample.input.ndim for sample in found} == {2, 4}
    assert {sample.kwargs.get("training", False) for sample in found} == {True, False}
    assert len(found) >= 7


def test_pytorch_samples(backend, dtype, rng):
    for number, sample in enumerate(samples(dtype)):
        tensors = (sample.input, *sample.args, *[None] * (4 - len(sample.args)))
        x, mean, var, weight, bias = map(copied, tensors)
        ty = torch.nn.functional.batch_norm(*tensors, **sample.kwargs)
        dy = rng.standard_normal(x.shape).astype(dtype)
        ty.backward(torch.tensor(dy))
        y, *statistics = F.batch_norm(
            x, mean, var, weight, bias, **sample.kwargs, return_statistics=True, backend=backend
        )
        training = sample.kwargs.get("training", False)
        gradients = F.batch_norm_backward(dy, x, *statistics, weight, training, backend=backend)
        # Values and weights are up to 10; the gradient with respect to x has three terms that may cancel.
        inputs = tensors[0], *tensors[3:5]
        largest = np.float64(100 * max(1, statistics[1].max()) ** 2)
        length = x.size // x.shape[1]
        for name, actual, expected in (
            ("y", y, ty.detach().numpy()),
            ("running_mean", mean, copied(tensors[1])),
            ("running_var", var, copied(tensors[2])),
            *((name, gradient, copied(tensor.grad))
              for name, gradient, tensor in zip(("dx", "dweight", "dbias"), gradients, inputs, strict=True)
              if tensor is not None),
        ):  # fmt: skip
            try:
                assert_close(actual, expected, length, np.full(expected.shape, largest))
            except AssertionError as error:
                raise AssertionError(f"sample {number}, {sample.summary()}, {name}: {error}") from None


LAYERS = pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        pytest.param(nn.BatchNorm2d, torch.nn.BatchNorm2d, (20, 3, 4, 5), id="images"),
        pytest.param(nn.BatchNorm1d, torch.nn.BatchNorm1d, (20, 3), id="rows"),
    ],
)
OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.3, "eps": 0.1},
        {"momentum": None},
        {"affine": False},
        {"track_running_stats": False},
        {"affine": False, "track_running_stats": False},
    ],
    ids=str,
)


@LAYERS
@OPTIONS
def test_layers_train_and_evaluate_as_pytorch(backend, ours, theirs, shape, options, rng):
    layer, twin = ours(3, **options, dtype=np.float64), theirs(3, **options, dtype=torch.float64)
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(3)
    twin.load_state_dict({name: torch.tensor(array) for name, array in layer.state_dict().items()})
    for training in (True, True, False, True, False):
        layer.train(training)
        twin.train(training)
        x, dy = 3 * rng.standard_normal((2, *shape)) + 1
        tx = torch.tensor(x, requires_grad=True)
        ty = twin(tx)
        ty.backward(torch.tensor(dy))
        with fastcnn.use_backend(backend):
            y = layer(x)
            dx = layer.backward(dy)
        np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-11, atol=1e-11)
        for parameter, tensor in zip(layer.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(parameter.grad, tensor.grad.numpy(), rtol=1e-11, atol=1e-11)
        state, expected = layer.state_dict(), twin.state_dict()
        assert list(state) == list(expected)
        for name, array in state.items():
            np.testing.assert_allclose(array, expected[name].numpy(), rtol=1e-12)


def test_state_passes_both_ways(rng):
    ours = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(12, 2),
        torch.nn.BatchNorm1d(2),
    )  # fmt: skip
    x = rng.standard_normal((5, 2, 4, 4)).astype(np.float32)
    theirs(torch.tensor(x))
    state = theirs.state_dict()
    assert [(name, tuple(tensor.shape), str(tensor.numpy().dtype)) for name, tensor in state.items()] == [
        (name, array.shape, str(array.dtype)) for name, array in ours.state_dict().items()
    ]
    ours.load_state_dict({name: tensor.numpy() for name, tensor in state.items()})
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-4, atol=1e-5)
    ours.train()(x)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    assert theirs[1].num_batches_tracked == 2
    np.testing.assert_array_equal(theirs[4].running_var.numpy(), ours[4].running_var.data)


def test_one_value_for_each_channel_is_a_value_error_in_pytorch_too():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        torch.nn.functional.batch_norm(torch.ones(1, 3), torch.zeros(3), torch.ones(3), training=True)
    with pytest.raises(ValueError, match="training needs at least 2"):
        F.batch_norm(np.ones((1, 3)), np.zeros(3), np.ones(3), training=True)
