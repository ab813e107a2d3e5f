"""Functions and layers compute the same, with the same kernels and tiles, forward and backward."""

import numpy as np
import pytest

pytest.importorskip("numba")

from fastcnn import backends, nn
from fastcnn import functional as F
from fastcnn.backends.numba_direct.runtime import recorder as recorders

BACKEND = backends.load("numba")
X = np.random.default_rng(0).standard_normal((3, 4, 7, 6)).astype(np.float32)
ROWS = X.reshape(3, -1)


def weights(layer):
    return layer.weight.data, layer.bias.data


def pooled(forward, backward, **options):
    def both(layer, x, dy):
        _, indices = forward(x, **options, return_indices=True)
        backward(dy, indices, x.shape, **(options if "kernel_size" in options else {}))

    return both


def convolved(forward, backward, **options):
    def both(layer, x, dy):
        weight, bias = weights(layer)
        forward(x, weight, bias, **options)
        backward(dy, x, weight, **options)

    return both


def averaged(forward, backward, **options):
    def both(layer, x, dy):
        forward(x, **options)
        backward(dy, x.shape, **(options if "kernel_size" in options else {}))

    return both


def normalized(layer, x, dy):
    running = layer.running_mean.data.copy(), layer.running_var.data.copy()
    _, mean, invstd = F.batch_norm(x, *running, *weights(layer), training=True, return_statistics=True)
    F.batch_norm_backward(dy, x, mean, invstd, layer.weight.data, True)


def mapped(forward, backward, wants_output: bool):
    def both(layer, x, dy):
        y = forward(x)
        backward(dy, y if wants_output else x)

    return both


SPREAD = {"stride": 2, "padding": 1}
LAYERS = {
    "conv": (nn.Conv2d(4, 5, 3, **SPREAD), convolved(F.conv2d, F.conv2d_backward, **SPREAD), X),
    "conv with a kernel as large as the image": (nn.Conv2d(4, 5, (7, 6)), convolved(F.conv2d, F.conv2d_backward), X),
    "transposed": (
        nn.ConvTranspose2d(4, 5, 3, **SPREAD), convolved(F.conv_transpose2d, F.conv_transpose2d_backward, **SPREAD), X
    ),
    "linear": (nn.Linear(168, 5), convolved(F.linear, F.linear_backward), ROWS),
    "max": (nn.MaxPool2d(2), pooled(F.max_pool2d, F.max_pool2d_backward, kernel_size=2), X),
    "max, overlapping": (
        nn.MaxPool2d(3, **SPREAD), pooled(F.max_pool2d, F.max_pool2d_backward, kernel_size=3, **SPREAD), X
    ),
    "average": (nn.AvgPool2d(2), averaged(F.avg_pool2d, F.avg_pool2d_backward, kernel_size=2), X),
    "average, overlapping": (
        nn.AvgPool2d(3, **SPREAD), averaged(F.avg_pool2d, F.avg_pool2d_backward, kernel_size=3, **SPREAD), X
    ),
    "adaptive max": (
        nn.AdaptiveMaxPool2d(3), pooled(F.adaptive_max_pool2d, F.adaptive_max_pool2d_backward, output_size=3), X
    ),
    "adaptive max, windows of one size": (
        nn.AdaptiveMaxPool2d((7, 3)),
        pooled(F.adaptive_max_pool2d, F.adaptive_max_pool2d_backward, output_size=(7, 3)), X,
    ),
    "adaptive average": (
        nn.AdaptiveAvgPool2d(3), averaged(F.adaptive_avg_pool2d, F.adaptive_avg_pool2d_backward, output_size=3), X
    ),
    "adaptive average, windows of one size": (
        nn.AdaptiveAvgPool2d((1, 2)),
        averaged(F.adaptive_avg_pool2d, F.adaptive_avg_pool2d_backward, output_size=(1, 2)), X,
    ),
    "batch norm": (nn.BatchNorm2d(4), normalized, X),
    "batch norm of rows": (nn.BatchNorm1d(168), normalized, ROWS),
    "ReLU": (nn.ReLU(), mapped(F.relu, F.relu_backward, True), X),
    "GELU": (nn.GELU(), mapped(F.gelu, F.gelu_backward, False), X),
    "softmax": (nn.Softmax(), mapped(F.softmax, F.softmax_backward, True), ROWS),
}  # fmt: skip


def launched(run) -> list[tuple]:
    """Return the launched kernels with their arguments except arrays; packing and unpacking are left out."""
    recorder = recorders.Recorder()
    with recorders.recording(recorder):
        run()
    kernels = []
    for step in recorder.parts:
        if step.kernel.name not in ("_pack", "_unpack"):
            arguments = {k: a.shape if isinstance(a, np.ndarray) else a for k, a in step.arguments.items()}
            kernels.append((step.kernel, step.tasks, arguments))
    return kernels


@pytest.mark.parametrize(("layer", "function", "x"), LAYERS.values(), ids=LAYERS)
def test_a_function_launches_what_its_layer_does(layer, function, x):
    native = BACKEND.pack(x)
    y = BACKEND.unpack(layer.forward_native(native, BACKEND))
    dy = np.ones_like(y)

    def by_layer():
        layer.forward_native(native, BACKEND)
        layer.backward_native(BACKEND.pack(dy), BACKEND, True)

    def by_function():
        function(layer, x, dy)

    expected = launched(by_layer)
    assert expected
    assert launched(by_function) == expected
