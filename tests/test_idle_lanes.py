"""Idle lanes of the numba backend, which hold no image, may overflow and must not affect gradients.

Each net starts with a bias close to the largest number, which the images cancel. An image of zeros, as in idle lanes,
overflows to infinity.
"""

import numpy as np
import pytest

import fastcnn
from fastcnn import nn

BATCHES = 1, 3, 15, 17, 33


def rows():
    return nn.Flatten()


HEADS = {
    "conv": lambda o: [nn.Conv2d(2, 5, 3, **o)],
    "conv with padding and stride": lambda o: [nn.Conv2d(2, 3, 3, 2, 1, **o)],
    "depthwise": lambda o: [nn.Conv2d(2, 4, 3, groups=2, **o)],
    "conv of the whole image": lambda o: [nn.Conv2d(2, 5, 6, **o)],
    "conv, ReLU, pooling": lambda o: [nn.Conv2d(2, 5, 3, **o), nn.ReLU(), nn.MaxPool2d(2)],
    "conv, pooling of one pixel": lambda o: [nn.Conv2d(2, 5, 3, **o), nn.MaxPool2d(1)],
    "transposed": lambda o: [nn.ConvTranspose2d(2, 3, 3, 2, **o)],
    "linear": lambda o: [rows(), nn.Linear(72, 7, **o)],
    "linear, ReLU, linear": lambda o: [rows(), nn.Linear(72, 5, **o), nn.ReLU(), nn.Linear(5, 3, **o)],
    "normalized images": lambda o: [nn.BatchNorm2d(2, dtype=o["dtype"]), nn.Conv2d(2, 3, 3, **o)],
    "normalized rows": lambda o: [rows(), nn.Linear(72, 5, **o), nn.BatchNorm1d(5, dtype=o["dtype"])],
    "normalized groups": lambda o: [nn.GroupNorm(1, 2, dtype=o["dtype"]), nn.ReLU(), nn.Conv2d(2, 3, 3, **o)],
    "normalized layers": lambda o: [rows(), nn.Linear(72, 5, **o), nn.LayerNorm(5, dtype=o["dtype"])],
    "normalized by running statistics": lambda o: [nn.BatchNorm2d(2, dtype=o["dtype"]).eval(), nn.Conv2d(2, 3, 3, **o)],
    "silu": lambda o: [nn.SiLU(), nn.Conv2d(2, 3, 3, **o), nn.GELU(), rows(), nn.Linear(48, 3, **o)],
    "softmax": lambda o: [nn.Softmax(), nn.Conv2d(2, 3, 3, **o)],
    "sum of two": lambda o: [nn.Residual(nn.Conv2d(2, 2, 3, padding=1, **o)), nn.ELU(), nn.Conv2d(2, 3, 3, **o)],
    "average-pooling": lambda o: [nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 3, 3, **o)],
}

CANCELLED = {"normalized images": 3, "normalized rows": 5}
"""Number of layers before a normalization, whose gradients sum to zero, so that only rounding errors remain."""


def net(head, dtype, rng):
    """Make a net of three 1x1 convolutions, after which images have values around 1, and the head; and its images."""
    most, options = float(np.finfo(dtype).max), {"rng": rng, "dtype": dtype}
    level, loud, quiet = (nn.Conv2d(2, 2, 1, **options) for _ in range(3))
    for layer, factor in ((level, 1), (loud, 10), (quiet, 1e4 / most)):
        layer.weight.data[...] = np.eye(2).reshape(2, 2, 1, 1) * factor
        layer.bias.data[...] = 0.9 * most if layer is level else 0
    model = nn.Sequential(level, loud, quiet, *HEADS[head](options))
    images = {N: ((rng.random((N, 2, 6, 6)) * 2e-5 - 0.9) * most).astype(dtype) for N in BATCHES}
    return model, images


def gradients(model, x, backend):
    """Return the gradients of all parameters."""
    with fastcnn.use_backend(backend):
        y = model(x)
        model.zero_grad()
        dy = np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
        model.backward(dy, input_grad=False)
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_those_of_the_images(head, dtype):
    pytest.importorskip("numba")
    for N in BATCHES:
        if N == 1 and head == "normalized rows":  # needs at least two rows
            continue
        model, images = net(head, dtype, np.random.default_rng(N))
        expected = gradients(model, images[N], "numpy")
        for _ in range(2):  # first recorded, then replayed
            found = gradients(model, images[N], "numba")
            for name, gradient in expected.items():
                assert np.isfinite(gradient).all()
                scale = np.abs(gradient).max() or 1
                worst = np.abs(found[name] / scale - gradient / scale).max()
                assert np.isfinite(worst), f"{N} images, {name}"
                allowed = 1e-4 if dtype == np.float32 else 1e-11
                if name[0] in "01":  # these small gradients are near the smallest normal number and count as zero
                    allowed = 0.05
                if int(name[0]) < CANCELLED.get(head, 0):
                    allowed = np.inf
                assert worst < allowed, f"{N} images, {name}"


def test_an_image_of_zeros_overflows(dtype):
    """The test above is only meaningful if this holds."""
    model, images = net("conv", dtype, np.random.default_rng(0))
    with fastcnn.use_backend("numpy"), np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(model(np.zeros((1, 2, 6, 6), dtype))).any()
        assert np.isfinite(model(images[3])).all()
