"""Time max- and average-pooling, forward and backward together: in fastcnn's native layout, in NCHW, and in PyTorch."""

import sys

import _measure
import _report
import _sides
import numpy as np

from fastcnn import backends, functional
from fastcnn.testing import PoolCase

KINDS = ("max", "average")

POOLINGS = (
    PoolCase("LeNet S2: 6 @ 28x28, 2x2", (128, 6, 28, 28), 2),
    PoolCase("LeNet S4: 16 @ 10x10, 2x2", (128, 16, 10, 10), 2),
    PoolCase("CIFAR: 32 @ 32x32, 2x2", (128, 32, 32, 32), 2),
    PoolCase("CIFAR: 64 @ 16x16, 2x2", (128, 64, 16, 16), 2),
    PoolCase("CIFAR: 64 @ 32x32, 3x3, stride 2, padding 1", (128, 64, 32, 32), 3, 2, 1),
    PoolCase("CIFAR: 64 @ 8x8, global", (128, 64, 8, 8), 8),
)
QUICK_POOLINGS = (PoolCase("2 @ 6x6, 2x2", (4, 2, 6, 6), 2), PoolCase("2 @ 7x7, 3x3, stride 2", (20, 2, 7, 7), 3, 2, 1))
COLUMNS = [
    ("pooling", "pooling", ""),
    ("N", "N", "d"),
    ("kind", "kind", ""),
    ("native, ms", "times/native/ms", ".3f"),
    ("NCHW, ms", "times/NCHW/ms", ".3f"),
    ("PyTorch, ms", "times/PyTorch/ms", ".3f"),
    ("PyTorch / native", "ratios/PyTorch/native", ".2f"),
    ("PyTorch / NCHW", "ratios/PyTorch/NCHW", ".2f"),
]


def main() -> int:
    args = _report.Options(__doc__).parse()
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch")) as sides:
        watch = _report.Watch(sides)
        pairs = [(case, kind) for case in (QUICK_POOLINGS if args.quick else POOLINGS) for kind in KINDS]
        rows = [measure(*pair, args) for pair in _report.progress(pairs, "poolings")]
        where = watch.environment()
    tables = [_report.table("Pooling, forward and backward", COLUMNS, rows, _report.missing(sides, "PyTorch"))]
    return _report.finish(args, "pooling", tables, where)


def measure(case: PoolCase, kind: str, args) -> dict:
    """Time one kind of pooling of one shape; return a row."""
    row = _measure.race(
        _sides.on(args.threads, "fastcnn", "PyTorch"),
        {
            "native": ("fastcnn", native, case, kind),
            "NCHW": ("fastcnn", nchw, case, kind),
            "PyTorch": ("PyTorch", pytorch, case, kind),
        },
        **args.timing,
        length=case.windows.KH * case.windows.KW,
        reference=lambda: nchw(case, kind, "numpy")(),
    )
    return {"pooling": case.reason, "N": case.x[0], "kind": kind, **row}


def native(case: PoolCase, kind: str):
    """Make both passes as they run inside a model: on arrays in the native layout of the backend."""
    x, dy = case.arrays(np.random.default_rng(0), np.float32)
    backend, windows = backends.load("numba"), case.windows
    x, dy = backend.pack(x), backend.pack(dy)

    def largest():
        y, indices = backend.max_pool2d(x, windows)
        return y, backend.max_pool2d_backward(dy, indices, x.shape, windows)

    def average():
        return backend.avg_pool2d(x, windows, True, None), backend.avg_pool2d_backward(dy, windows, True, None)

    return largest if kind == "max" else average


def nchw(case: PoolCase, kind: str, backend: str = "numba"):
    """Make both passes as two function calls, each with checks, packing and unpacking."""
    x, dy = case.arrays(np.random.default_rng(0), np.float32)
    options = {**case.options, "backend": backend}

    def largest():
        y, indices = functional.max_pool2d(x, **options, return_indices=True)
        return y, functional.max_pool2d_backward(dy, indices, x.shape, backend=backend)

    def average():
        return functional.avg_pool2d(x, **options), functional.avg_pool2d_backward(dy, x.shape, **options)

    return largest if kind == "max" else average


def pytorch(case: PoolCase, kind: str):
    """Make both passes in PyTorch."""
    import torch

    x, dy = (torch.from_numpy(array) for array in case.arrays(np.random.default_rng(0), np.float32))
    w, aten = case.windows, torch.ops.aten
    at = [w.KH, w.KW], [w.SH, w.SW], [w.top, w.left]

    def largest():
        y, indices = aten.max_pool2d_with_indices(x, *at, [1, 1], False)
        return y, aten.max_pool2d_with_indices_backward(dy, x, *at, [1, 1], False, indices)

    def average():
        return aten.avg_pool2d(x, *at, False, True, None), aten.avg_pool2d_backward(dy, x, *at, False, True, None)

    return largest if kind == "max" else average


if __name__ == "__main__":
    sys.exit(main())
