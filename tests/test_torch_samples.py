"""The sample inputs of PyTorch's own tests, for which fastcnn gives the same results as PyTorch.

They are all samples of `torch.testing._internal.common_methods_invocations.op_db`, in float32 and float64: outputs,
indices and gradients. None is left out. Differences in arguments are translated here: fastcnn takes only batches, so
a single image (C, H, W) gets a batch axis; and a pair has two numbers, where PyTorch also accepts ``(1,)`` for 1
and ``()`` for a stride that is the kernel's size.
"""

import numpy as np
import pytest

from fastcnn import functional as F
from fastcnn.testing import assert_close

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's samples need expecttest: pip install expecttest")
op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def samples(name, dtype):
    """Yield images, positional and keyword arguments of every sample of an operation, as tensors."""
    (op,) = (op for op in op_db if op.name == f"nn.functional.{name}")
    found = list(op.sample_inputs("cpu", dtype))
    assert found
    for sample in found:
        x = sample.input if sample.input.ndim == 4 else sample.input[None]
        args = [None if a == () else a[0] if isinstance(a, tuple) and len(a) == 1 else a for a in sample.args]
        yield x, args, sample.kwargs


def gradient_like(y):
    return torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)


def pytorchs(name, tensors, *args, **kwargs):
    """Return the output of an operation and gradients, and for each the sum of the absolute values of its terms."""
    results = []
    for prepare in (torch.clone, torch.abs):
        leaves = [prepare(tensor).detach().requires_grad_() for tensor in tensors]
        y = getattr(torch.nn.functional, name)(*leaves, *args, **kwargs)
        results.append((y.detach(), *torch.autograd.grad(y, leaves, prepare(gradient_like(y)))))
    return results


def assert_all_close(actual, expected, magnitudes):
    length = 2 * sum(tensor.numel() for tensor in expected)  # more than any sum has; both sides round
    for array, tensor, magnitude in zip(actual, expected, magnitudes, strict=True):
        assert_close(array, tensor.numpy(), length, magnitude.numpy())


@dtypes
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_convolutions(name, dtype, backend):
    for x, (weight, bias), kwargs in samples(name, dtype):
        tensors = [x, weight] if bias is None else [x, weight, bias]
        expected, magnitudes = pytorchs(name, tensors, **kwargs)
        arrays, options = [tensor.numpy() for tensor in tensors], {**kwargs, "backend": backend}
        dy = gradient_like(expected[0]).numpy()
        gradients = getattr(F, f"{name}_backward")(dy, *arrays[:2], **options)
        assert_all_close((getattr(F, name)(*arrays, **options), *gradients[: len(tensors)]), expected, magnitudes)


@dtypes
@pytest.mark.parametrize("name", ["avg_pool2d", "adaptive_avg_pool2d"])
def test_average_poolings(name, dtype, backend):
    for x, args, _ in samples(name, dtype):
        expected, magnitudes = pytorchs(name, [x], *args)
        magnitudes = [magnitude.abs() for magnitude in magnitudes]  # a divisor may be negative
        dy, known = gradient_like(expected[0]).numpy(), () if name == "adaptive_avg_pool2d" else args
        dx = getattr(F, f"{name}_backward")(dy, tuple(x.shape), *known, backend=backend)
        assert_all_close((getattr(F, name)(x.numpy(), *args, backend=backend), dx), expected, magnitudes)


@dtypes
@pytest.mark.parametrize("name", ["max_pool2d", "adaptive_max_pool2d"])
def test_max_poolings(name, dtype, fast_backend):
    for x, args, kwargs in samples(name, dtype):
        # some samples request the indices, by name or by position; here they are always requested
        args, kwargs = args[:1], {**kwargs, "return_indices": True}
        leaf = x.detach().requires_grad_()
        ty, tindices = getattr(torch.nn.functional, name)(leaf, *args, **kwargs)
        dy = gradient_like(ty)
        (tdx,) = torch.autograd.grad(ty, leaf, dy, retain_graph=True)
        (magnitude,) = torch.autograd.grad(ty, leaf, dy.abs())
        y, indices = getattr(F, name)(x.numpy(), *args, **kwargs, backend=fast_backend)
        np.testing.assert_array_equal(y, ty.detach().numpy())
        np.testing.assert_array_equal(indices, tindices.numpy())
        dx = getattr(F, f"{name}_backward")(dy.numpy(), indices, tuple(x.shape), backend=fast_backend)
        assert_all_close([dx], [tdx], [magnitude])
