"""Calls of every operation of a backend, from the case tables and from further cases.

The arguments are in the form that a backend takes: checked, C-contiguous, and with batches in the backend's own layout.
Backends take images only: signals are images with one row.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastcnn import nn
from fastcnn._geometry import pool_windows
from fastcnn.backends import operations
from fastcnn.functional.signals import images_shape
from fastcnn.testing import activations
from fastcnn.testing.cases import (
    ADAPTIVE_POOL_CASES,
    CONV_CASES,
    CONV_TRANSPOSE_CASES,
    GROUP_NORM_CASES,
    LOSS_CASES,
    NORM_CASES,
    PAD_CASES,
    POOL_CASES,
    RESIZE_CASES,
    ConvCase,
    LossCase,
)
from fastcnn.testing.optimizers import OPTIMIZERS, update


class Call(NamedTuple):
    """An operation, the reason for the call, and ``arguments(backend, rng, dtype)``, which makes its arguments."""

    operation: str
    reason: str
    arguments: Callable

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}"


SHAPES = {
    "one number": (1, 1),
    "rows": (5, 9),
    "last batch block half full": (24, 3, 5, 7),
    "several chunks": (40, 2, 9, 15),
}
LINEAR = {"one to one": (1, 1, 1), "half a block": (24, 7, 5), "many blocks": (70, 33, 10), "batch of 1": (1, 84, 10)}
FUSED = (  # a convolution, the kernel size and stride of the pooling after it, and whether there is a ReLU
    (ConvCase("LeNet's C1 and S2", (2, 1, 32, 32), (6, 1, 5, 5)), 2, None, True),
    (ConvCase("no ReLU", (3, 2, 8, 6), (3, 2, 3, 3)), 2, None, False),
    (ConvCase("leftover filters, padding, stride", (17, 2, 12, 20), (7, 2, 3, 3), 2, 1), (3, 5), None, True),
    (ConvCase("groups and dilation", (2, 4, 6, 6), (6, 2, 3, 3), 1, 2, 2, 2), 2, None, True),
    (ConvCase("windows that leave a row out", (3, 2, 8, 8), (3, 2, 2, 2)), 2, None, True),
    (ConvCase("chunks of channels", (3, 48, 8, 8), (5, 48, 3, 3)), 2, None, True),
    (ConvCase("chunks of channels, padding", (3, 30, 6, 6), (12, 30, 3, 3), padding=1), 2, None, True),
    (ConvCase("padding on one side", (3, 3, 9, 8), (5, 3, 2, 3), padding=(1, 0)), 2, None, False),
    (ConvCase("windows of two pixels", (3, 2, 6, 6), (5, 2, 3, 3)), (1, 2), None, True),
    (ConvCase("windows of two pixels, no ReLU", (3, 2, 6, 6), (5, 2, 3, 3)), (2, 1), None, False),
    (ConvCase("windows of one pixel", (3, 2, 6, 6), (5, 2, 3, 3)), 1, None, True),
    (ConvCase("windows of one pixel, no ReLU", (17, 2, 6, 6), (5, 2, 3, 3)), 1, None, False),
    (ConvCase("windows of one pixel, padding", (3, 2, 6, 6), (5, 2, 3, 3), padding=1), 1, None, True),
    (ConvCase("windows of one pixel, apart", (3, 2, 7, 7), (5, 2, 3, 3)), 1, 2, True),
    (ConvCase("windows of one pixel, apart along one axis", (3, 2, 6, 6), (5, 2, 3, 3)), 1, (2, 1), False),
    (ConvCase("windows as large as the image", (3, 2, 6, 5), (5, 2, 3, 3)), (4, 3), None, True),
    (ConvCase("windows that overlap", (3, 2, 7, 7), (5, 2, 3, 3)), 3, 2, True),
    (ConvCase("windows that overlap, no ReLU", (3, 2, 6, 6), (5, 2, 3, 3)), (1, 2), 1, False),
    (ConvCase("windows apart", (3, 2, 8, 8), (5, 2, 3, 3)), 2, 3, True),
    (ConvCase("windows of one pixel of the whole image", (3, 2, 4, 4), (5, 2, 4, 4)), 1, None, True),
    (ConvCase("signals", (17, 2, 20), (5, 2, 3)), (1, 2), None, True),
)


def calls() -> Iterator[Call]:
    """Yield all calls."""
    yield from _convolutions()
    yield from _transposed_convolutions()
    yield from _poolings()
    yield from _paddings()
    yield from _adaptive_poolings()
    yield from _interpolations()
    yield from _normalizations()
    yield from _image_normalizations()
    yield from _elementwise()
    yield from _rows()
    yield from _losses()
    yield from _layouts()
    yield from _updates()


def _images(case, rng, dtype) -> list:
    """Return the arrays of a case, with signals reshaped to images."""
    arrays = case.arrays(rng, dtype)
    return [a if a is None or a.ndim == 1 else a.reshape(images_shape(a.shape)) for a in arrays]


def _convolutions() -> Iterator[Call]:
    for case in CONV_CASES:

        def forward(backend, rng, dtype, case=case):
            x, weight, bias, _ = _images(case, rng, dtype)
            return backend.pack(x), weight, bias, case.windows, case.groups

        def backward(backend, rng, dtype, case=case, wanted=(True, True)):
            x, weight, _, dy = _images(case, rng, dtype)
            return backend.pack(dy), backend.pack(x), weight, case.windows, case.groups, *wanted

        yield Call("conv2d", case.reason, forward)
        yield Call("conv2d_relu", case.reason, forward)
        yield Call("conv2d_backward", case.reason, backward)
    for case, size, stride, relu in FUSED:
        pool = pool_windows((case.windows.OH, case.windows.OW), size, stride)

        def pooled(backend, rng, dtype, case=case, pool=pool, relu=relu):
            x, weight, bias, _ = _images(case, rng, dtype)
            return backend.pack(x), weight, bias, case.windows, case.groups, pool, relu

        def pooled_backward(backend, rng, dtype, wanted, case=case, pooled=pooled, pool=pool):
            given = pooled(backend, rng, dtype)
            y, winners = backend.conv2d_max_pool2d(*given)
            dy = backend.pack(rng.standard_normal(backend.unpack(y).shape).astype(dtype))
            return dy, winners, given[0], given[1], case.windows, case.groups, pool, wanted, True

        yield Call("conv2d_max_pool2d", case.reason, pooled)
        for wanted in (True, False):
            yield Call(
                "conv2d_max_pool2d_backward",
                f"{case.reason}{', no dx' * (not wanted)}",
                lambda *given, wanted=wanted, f=pooled_backward: f(*given, wanted),
            )


def _transposed_convolutions() -> Iterator[Call]:
    for case in CONV_TRANSPOSE_CASES:

        def transposed(backend, rng, dtype, case=case):
            x, weight, bias, _ = _images(case, rng, dtype)
            return backend.pack(x), weight, bias, case.windows, case.groups

        def transposed_backward(backend, rng, dtype, case=case):
            x, weight, _, dy = _images(case, rng, dtype)
            return backend.pack(dy), backend.pack(x), weight, case.windows, case.groups, True, True

        yield Call("conv_transpose2d", case.reason, transposed)
        yield Call("conv_transpose2d_backward", case.reason, transposed_backward)


def _poolings() -> Iterator[Call]:
    for case in POOL_CASES:
        yield Call("max_pool2d", case.reason, lambda b, *r, c=case: (b.pack(_images(c, *r)[0]), c.windows))
        for known in (case.windows, None):

            def backward(backend, rng, dtype, case=case, known=known):
                x, dy = _images(case, rng, dtype)
                _, indices = backend.max_pool2d(backend.pack(x), case.windows)
                return backend.pack(dy), indices, x.shape, known

            yield Call("max_pool2d_backward", f"{case.reason}{', indices alone' * (known is None)}", backward)
        if case.dilation == 1:
            for options in ((True, None), (False, None), (False, 3)):

                def average(backend, rng, dtype, case=case, options=options):
                    return backend.pack(_images(case, rng, dtype)[0]), case.windows, *options

                def average_backward(backend, rng, dtype, case=case, options=options):
                    return backend.pack(_images(case, rng, dtype)[1]), case.windows, *options

                yield Call("avg_pool2d", f"{case.reason}, {options}", average)
                yield Call("avg_pool2d_backward", f"{case.reason}, {options}", average_backward)


def _paddings() -> Iterator[Call]:
    for case in PAD_CASES:
        yield Call("pad", case.reason, lambda b, *r, c=case: (b.pack(c.arrays(*r)[0]), c.at, c.value))
        yield Call("pad_backward", case.reason, lambda b, *r, c=case: (b.pack(c.arrays(*r)[1]), c.at))


def _adaptive_poolings() -> Iterator[Call]:
    for case in ADAPTIVE_POOL_CASES:

        def adaptive_backward(backend, rng, dtype, case=case):
            x, dy = _images(case, rng, dtype)
            _, indices = backend.adaptive_max_pool2d(backend.pack(x), case.windows)
            return backend.pack(dy), indices, x.shape, case.windows

        for name in ("adaptive_max_pool2d", "adaptive_avg_pool2d"):
            yield Call(name, case.reason, lambda b, *r, c=case: (b.pack(_images(c, *r)[0]), c.windows))
        yield Call("adaptive_max_pool2d_backward", case.reason, adaptive_backward)
        yield Call(
            "adaptive_avg_pool2d_backward",
            case.reason,
            lambda b, *r, c=case: (b.pack(_images(c, *r)[1]), c.windows),
        )


def _interpolations() -> Iterator[Call]:
    for case in RESIZE_CASES:
        for name, which in (("interpolate", 0), ("interpolate_backward", 1)):
            yield Call(name, case.reason, lambda b, *r, c=case, i=which: (b.pack(c.arrays(*r)[i]), c.sampling))


def _normalizations() -> Iterator[Call]:
    for case in NORM_CASES:

        def normalize(backend, rng, dtype, case=case):
            x, mean, var, weight, bias, _ = case.arrays(rng, dtype)
            return backend.pack(x), mean, (1 / np.sqrt(var + case.eps)).astype(dtype), weight, bias

        yield Call("batch_moments", case.reason, lambda b, *r, c=case: (b.pack(c.arrays(*r)[0]),))
        yield Call("batch_norm", case.reason, normalize)
        yield Call("batch_norm_relu", case.reason, normalize)
        yield Call("norm_statistics", case.reason, lambda _, *r, c=case: (*c.arrays(*r)[1:3], c.eps, r[1]))
        for momentum in (0.1, None):

            def track(backend, rng, dtype, case=case, momentum=momentum):
                x, mean, var, *_ = case.arrays(rng, dtype)
                count = x.size // x.shape[1]
                return mean, var, np.array(3), *backend.batch_moments(backend.pack(x)), count, momentum

            yield Call("track_moments", f"{case.reason}, momentum {momentum}", track)
        for training, *wanted in (
            (True, True, True), (False, True, True), (True, False, True), (True, True, False), (False, True, False),
        ):  # fmt: skip

            def backward(backend, rng, dtype, case=case, training=training, wanted=wanted):
                x, mean, var, weight, _, dy = case.arrays(rng, dtype)
                invstd = (1 / np.sqrt(var + case.eps)).astype(dtype)
                return backend.pack(dy), backend.pack(x), mean, invstd, weight, training, *wanted

            left_out = "".join(f", no {what}" for what, want in zip(("dx", "dweight"), wanted, strict=True) if not want)
            reason = f"{case.reason}, {'training' if training else 'evaluation'}{left_out}"
            yield Call("batch_norm_backward", reason, backward)

            def relu_backward(backend, rng, dtype, backward=backward, case=case):
                *given, training, dx, dweight = backward(backend, rng, dtype)
                return *given, case.arrays(rng, dtype)[4], training, dx, dweight

            yield Call("batch_norm_relu_backward", reason, relu_backward)


def _image_normalizations() -> Iterator[Call]:
    for case in GROUP_NORM_CASES:

        def given(backend, rng, dtype, case=case):
            x, weight, bias, dy = case.arrays(rng, dtype)
            shape = case.over if isinstance(case.over, tuple) else case.x[1:2]
            weight = np.ones(shape, dtype) if weight is None else weight
            bias = np.zeros(shape, dtype) if bias is None else bias
            return backend.pack(dy), backend.pack(x), weight.ravel(), bias.ravel()

        def forward(*of, case=case, given=given):
            (groups, pixels), (_, x, weight, bias) = case.groups, given(*of)
            return x, groups, weight, bias, pixels, case.eps

        yield Call("group_norm", case.reason, forward)
        yield Call("group_norm_relu", case.reason, forward)
        for wanted in ((True, True), (True, False), (False, True)):

            def backward(*of, case=case, given=given, wanted=wanted):
                (groups, pixels), (dy, x, weight, _) = case.groups, given(*of)
                return dy, x, groups, weight, pixels, case.eps, *wanted

            missing = ", no dx" * (not wanted[0]) + ", no dweight" * (not wanted[1])
            yield Call("group_norm_backward", case.reason + missing, backward)


def _elementwise() -> Iterator[Call]:
    for reason, shape in SHAPES.items():

        def packed(count, *others, shape=shape):
            def arguments(backend, rng, dtype):
                return *(backend.pack(rng.standard_normal(shape).astype(dtype)) for _ in range(count)), *others

            return arguments

        for case, (name, options) in activations.CASES.items():
            yield Call(name, reason + case.removeprefix(name), packed(1, *options.values()))
            yield Call(f"{name}_backward", reason + case.removeprefix(name), packed(2, *options.values()))
        for name in ("dropout", "dropout_backward", "add"):
            yield Call(name, reason, packed(2))
        if len(shape) == 4:
            for channels in (1, shape[1], shape[1] + 2):
                yield Call("resize_channels", f"{reason}, to {channels} channels", packed(1, channels))
        for slopes in {1, shape[1]}:

            def with_slopes(backend, rng, dtype, shape=shape, slopes=slopes):
                x, dy = rng.standard_normal((2, *shape)).astype(dtype)
                return backend.pack(dy), backend.pack(x), rng.standard_normal(slopes).astype(dtype)

            yield Call("prelu", f"{reason}, slopes: {slopes}", lambda *of, f=with_slopes: f(*of)[1:])
            for wanted in ((True, True), (False, True), (True, False)):
                missing = ", no dx" * (not wanted[0]) + ", no dweight" * (not wanted[1])
                yield Call(
                    "prelu_backward",
                    f"{reason}, slopes: {slopes}{missing}",
                    lambda *of, f=with_slopes, wanted=wanted: (*f(*of), *wanted),
                )
        for dim in range(1, len(shape)):
            for parts in (1, 3):
                sizes = tuple(range(1, 1 + parts))

                def joined(backend, rng, dtype, shape=shape, dim=dim, sizes=sizes):
                    parts = [(*shape[:dim], size, *shape[dim + 1 :]) for size in sizes]
                    return [backend.pack(rng.standard_normal(part).astype(dtype)) for part in parts], dim

                def parted(backend, rng, dtype, shape=shape, dim=dim, sizes=sizes):
                    whole = (*shape[:dim], sum(sizes), *shape[dim + 1 :])
                    return backend.pack(rng.standard_normal(whole).astype(dtype)), sizes, dim

                yield Call("concatenate", f"{reason}, {parts} along axis {dim}", joined)
                yield Call("concatenate_backward", f"{reason}, {parts} along axis {dim}", parted)
            for name in ("softmax", "log_softmax"):
                yield Call(name, f"{reason}, axis {dim}", packed(1, dim))
                yield Call(f"{name}_backward", f"{reason}, axis {dim}", packed(2, dim))


def _rows() -> Iterator[Call]:
    for reason, (N, C, O) in LINEAR.items():
        for bias in (True, False):

            def forward(backend, rng, dtype, N=N, C=C, O=O, bias=bias):
                x, weight, b = (rng.standard_normal(shape).astype(dtype) for shape in ((N, C), (O, C), (O,)))
                return backend.pack(x), weight, b if bias else None

            yield Call("linear", f"{reason}{', no bias' * (not bias)}", forward)
            yield Call("linear_relu", f"{reason}{', no bias' * (not bias)}", forward)

        def backward(backend, rng, dtype, N=N, C=C, O=O):
            dy, x, weight = (rng.standard_normal(shape).astype(dtype) for shape in ((N, O), (N, C), (O, C)))
            return backend.pack(dy), backend.pack(x), weight, True, True

        yield Call("linear_backward", reason, backward)


def _losses() -> Iterator[Call]:
    for case in LOSS_CASES:

        def terms(rng, dtype, case=case):
            x, target, options = case.arguments(rng, dtype)
            return nn.LOSSES[case.layer](**options)._terms(x, target)

        def losses(backend, rng, dtype, terms=terms):
            found = terms(rng, dtype)
            return found.x, *found.given, *found.options

        def gradient(backend, rng, dtype, terms=terms):
            found = terms(rng, dtype)
            if not found.summed:
                found = found.by(rng.standard_normal(found.shape).astype(dtype))
            return found.weights, found.x, *found.given, *found.options

        operation = "soft_cross_entropy" if _is_soft(case) else case.loss
        yield Call(operation, case.reason, losses)
        yield Call(f"{operation}_backward", case.reason, gradient)
    for reason, size in {"one loss": 1, "some": 37, "several tasks": 9000}.items():
        for weights in (1, size):

            def summed(backend, rng, dtype, size=size, weights=weights):
                losses, dy = rng.standard_normal((2, size)).astype(dtype)
                dy[::3] = 0
                return losses, dy if weights > 1 else np.array(0.3)

            yield Call("weighted_sum", f"{reason}, {'each with' if weights > 1 else 'with'} a weight", summed)


def _is_soft(case: LossCase) -> bool:
    """Whether the backend's operation takes the probabilities of all classes as its target."""
    return case.soft or "label_smoothing" in case.others


def _layouts() -> Iterator[Call]:
    for reason, shape in SHAPES.items():
        for name in ("pack", "unpack", "flatten", "unflatten"):

            def arguments(backend, rng, dtype, shape=shape, name=name):
                shape = shape if len(shape) == 4 else (*shape, 1, 1)
                x = rng.standard_normal(shape).astype(dtype)
                if name == "pack":
                    return (x,)
                x = backend.pack(x)
                return (x,) if name != "unflatten" else (backend.flatten(x), shape[1:])

            yield Call(name, reason, arguments)


def _updates() -> Iterator[Call]:
    sizes = {"one number": [(1,)], "uneven": [(7,), (3, 5), (4, 3, 2)], "several chunks": [(2048,), (41, 101), (1,)]}
    for reason, shapes in sizes.items():

        def lists(rng, dtype, count, shapes=shapes):
            return [[np.abs(rng.standard_normal(shape)).astype(dtype) for shape in shapes] for _ in range(count)]

        def average(backend, rng, dtype, lists=lists):
            return *lists(rng, dtype, 2), 0.9

        def scaled(backend, rng, dtype, lists=lists):
            return *lists(rng, dtype, 1), 0.3

        yield Call("average_update", reason, average)
        yield Call("squared_norm", reason, lambda *given, lists=lists: tuple(lists(*given[1:], 1)))
        yield Call("scaled", reason, scaled)
        for name in OPTIMIZERS:
            operation, _ = update(name, shapes, np.random.default_rng(0), np.float32)
            yield Call(operation, f"{reason}, {name}", lambda _, *given, n=name, s=shapes: update(n, s, *given)[1])


UPDATES = {
    **{name: slice(1, 2) for name in operations() if name.endswith("_update")},
    "track_moments": slice(3, None),
}
"""Operations that update their arguments, and the slice of arguments that they do not change."""


def arrays(value, backend) -> Iterator[np.ndarray]:
    """Yield all arrays in arguments or results, with batches unpacked."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from arrays(item, backend)
    elif is_native(value):
        yield backend.unpack(value)
    elif isinstance(value, float):
        yield np.array(value)


def is_native(value) -> bool:
    """Whether a value is a batch in a layout other than NumPy's."""
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and len(shape) > 0 and not isinstance(value, np.ndarray)
