"""Time single convolutions, forward and both gradients: in fastcnn's native layout, in NCHW, and in PyTorch."""

import sys
import tracemalloc

import _measure
import _report
import _sides
import numpy as np

from fastcnn import backends, functional
from fastcnn.testing import ConvCase

OPERATIONS = ("forward", "input gradient", "filter gradient")  # the last one includes the gradient of the bias

LAYERS = (
    ConvCase("LeNet C1: 1→6, 5x5, 32x32", (128, 1, 32, 32), (6, 1, 5, 5)),
    ConvCase("LeNet C3: 6→16, 5x5, 14x14", (128, 6, 14, 14), (16, 6, 5, 5)),
    ConvCase("LeNet C5: 16→120, 5x5, 5x5", (128, 16, 5, 5), (120, 16, 5, 5)),
    ConvCase("64→64, 3x3, 56x56", (32, 64, 56, 56), (64, 64, 3, 3), padding=1),
    ConvCase("128→128, 3x3, 28x28", (32, 128, 28, 28), (128, 128, 3, 3), padding=1),
    ConvCase("256→256, 3x3, 14x14", (32, 256, 14, 14), (256, 256, 3, 3), padding=1),
    ConvCase("16→16, 3x3, 32x32", (128, 16, 32, 32), (16, 16, 3, 3), padding=1),
    ConvCase("32→32, 3x3, 16x16", (128, 32, 16, 16), (32, 32, 3, 3), padding=1),
    ConvCase("64→64, 1x1, 56x56", (32, 64, 56, 56), (64, 64, 1, 1)),
    ConvCase("64→128, 3x3, stride 2, 56x56", (32, 64, 56, 56), (128, 64, 3, 3), stride=2, padding=1),
    ConvCase("8→8, 5x5, 32x32", (128, 8, 32, 32), (8, 8, 5, 5), padding=2),
    ConvCase("3→64, 7x7, stride 2, 112x112", (16, 3, 112, 112), (64, 3, 7, 7), stride=2, padding=3),
    ConvCase("64 depthwise, 3x3, 56x56", (32, 64, 56, 56), (64, 1, 3, 3), padding=1, groups=64),
)
QUICK_LAYERS = (
    ConvCase("1→6, 5x5, 12x12", (16, 1, 12, 12), (6, 1, 5, 5)),
    ConvCase("3→4, 3x3, stride 2, 9x9", (4, 3, 9, 9), (4, 3, 3, 3), stride=2, padding=1),
)
COLUMNS = [
    ("layer", "layer", ""),
    ("N", "N", "d"),
    ("operation", "operation", ""),
    ("native, ms", "times/native/ms", ".3f"),
    ("NCHW, ms", "times/NCHW/ms", ".3f"),
    ("PyTorch, ms", "times/PyTorch/ms", ".3f"),
    ("channels_last, ms", "times/PyTorch, channels_last/ms", ".3f"),
    ("PyTorch's faster / native", "native_ratio", ".2f"),
    ("PyTorch / NCHW", "NCHW_ratio", ".2f"),
    ("native, GFLOP/s", "gflops/native", ".0f"),
    ("of peak", "share_of_peak", ".0%"),
    ("PyTorch, GFLOP/s", "gflops/PyTorch", ".0f"),
    ("workspace, KB", "workspace_kb", ".0f"),
    ("of x and y", "workspace_share", ".1%"),
]


def main() -> int:
    parser = _report.Options(__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only layers whose names contain TEXT")
    args = parser.parse()
    layers = [case for case in (QUICK_LAYERS if args.quick else LAYERS) if args.only in case.reason]
    if not layers:
        parser.error(f"--only is {args.only!r}, but no layer has a name that contains this text")
    setups = _sides.on(args.threads, "fastcnn", "PyTorch")
    setups["PyTorch, channels_last"] = setups["PyTorch"]  # another process, so that the two do not share a heap
    with _measure.start(setups) as sides:
        watch = _report.Watch(sides)
        bandwidth = sides["fastcnn"](_sides.best, "bandwidth_gbytes", 4 if args.quick else 128)
        pairs = [(case, operation) for case in layers for operation in OPERATIONS]
        rows = [measure(setups, sides, *pair, args) for pair in _report.progress(pairs, "layers")]
        where = watch.environment()
    for row in rows:
        if "native" in row["gflops"]:
            row["share_of_peak"] = row["gflops"]["native"] / where["peak_gflops"]
    notes = [*summary(rows), *_report.missing(sides, "PyTorch")]
    tables = [_report.table("Convolutions, float32", COLUMNS, rows, notes)]
    return _report.finish(args, "layers", tables, where, bandwidth_gbytes=bandwidth)


def measure(setups, sides, case: ConvCase, operation: str, args) -> dict:
    """Time one operation of one layer; return a row."""
    N, C, H, W = case.x
    O, Cg, KH, KW = case.weight
    outputs = N * case.windows.OH * case.windows.OW
    length = {"forward": Cg * KH * KW, "input gradient": O * KH * KW, "filter gradient": outputs}[operation]
    row = _measure.race(
        setups,
        {
            "native": ("fastcnn", native, case, operation),
            "NCHW": ("fastcnn", nchw, case, operation),
            "PyTorch": ("PyTorch", pytorch, case, operation),
            "PyTorch, channels_last": ("PyTorch, channels_last", pytorch, case, operation, True),
        },
        **args.timing,
        length=length,
        reference=lambda: nchw(case, operation, "numpy")(),
    )
    flop = 2 * outputs * O * Cg * KH * KW
    x_and_y = 4 * (N * C * H * W + outputs * O)
    workspace = sides["fastcnn"](workspace_bytes, case, operation)
    pytorch_ratios = [
        of["native"] for name, of in row["ratios"].items() if name.startswith("PyTorch") and "native" in of
    ]
    return {
        "layer": case.reason,
        "N": N,
        "operation": operation,
        **row,
        "gflops": {name: flop / time["ms"] / 1e6 for name, time in row["times"].items()},
        "flop_per_byte": flop / (x_and_y + 4 * O * Cg * KH * KW),
        "native_ratio": min(pytorch_ratios, default=None),  # inside a model each library uses its own format
        "NCHW_ratio": row["ratios"].get("PyTorch", {}).get("NCHW"),
        "workspace_kb": workspace / 1e3,
        "workspace_share": workspace / x_and_y,
    }


def native(case: ConvCase, operation: str):
    """Make the operation as it runs inside a model: on arrays in the native layout of the backend."""
    x, weight, bias, dy = case.arrays(np.random.default_rng(0), np.float32)
    backend = backends.load("numba")
    x, dy = backend.pack(x), backend.pack(dy)
    at = case.windows, case.groups
    if operation == "forward":
        return lambda: backend.conv2d(x, weight, bias, *at)
    return lambda: backend.conv2d_backward(dy, x, weight, *at, *which(operation))


def nchw(case: ConvCase, operation: str, backend: str = "numba"):
    """Make the operation as a single function call: with checks, packing and unpacking."""
    x, weight, bias, dy = case.arrays(np.random.default_rng(0), np.float32)
    options = {**case.options, "backend": backend}
    if operation == "forward":
        return lambda: functional.conv2d(x, weight, bias, **options)
    input_grad, weight_grad = which(operation)
    return lambda: functional.conv2d_backward(dy, x, weight, **options, input_grad=input_grad, weight_grad=weight_grad)


def pytorch(case: ConvCase, operation: str, channels_last: bool = False):
    """Make the operation in PyTorch, on arrays in one of its memory formats."""
    import torch

    x, weight, bias, dy = (torch.from_numpy(array) for array in case.arrays(np.random.default_rng(0), np.float32))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    x, weight, dy = (array.contiguous(memory_format=memory_format) for array in (x, weight, dy))
    if operation == "forward":
        return lambda: torch.nn.functional.conv2d(x, weight, bias, **case.options)
    w, (input_grad, weight_grad) = case.windows, which(operation)
    options = [w.SH, w.SW], [w.top, w.left], [w.DH, w.DW], False, [0, 0], case.groups
    mask = [input_grad, weight_grad, weight_grad]
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, [len(weight)], *options, mask)


def which(operation: str) -> tuple[bool, bool]:
    """Return whether to compute the gradient of the input, and those of the filters and the bias."""
    return operation == "input gradient", operation == "filter gradient"


def workspace_bytes(case: ConvCase, operation: str) -> int:
    """Return the peak of the bytes allocated besides the result, in the native layout; call it on fastcnn's side.

    These are NumPy's arrays, and memory that threads take inside a kernel: partial sums of the filters' gradient, about
    50 KB for each.
    """
    from fastcnn.backends.numba_direct.runtime import memory

    job = native(case, operation)
    job()
    tracemalloc.start()
    with memory.Pool():  # a new pool, because reuse of memory would not be counted
        result = job()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays = result if isinstance(result, tuple) else (result,)
    return most - sum(getattr(array, "blocks", array).nbytes for array in arrays if array is not None)


def summary(rows: list[dict]) -> list[str]:
    """Say how long first calls took, and the geometric mean and the worst of the ratios to PyTorch."""
    first_calls = sum(
        row["times"][name]["first_call_ms"] for row in rows for name in ("native", "NCHW") if name in row["times"]
    )
    sentences = [
        f"fastcnn's first calls took {first_calls / 1e3:.1f} s in all: compiling, or loading from Numba's cache."
    ]
    for name, who in (("native", "PyTorch's faster memory format"), ("NCHW", "PyTorch")):
        ratios = {f"{row['layer']}, {row['operation']}": row[f"{name}_ratio"] for row in rows if row[f"{name}_ratio"]}
        if ratios:
            worst = min(ratios, key=ratios.get)
            mean = np.exp(np.mean(np.log(list(ratios.values()))))
            sentences.append(
                f"{who} / {name}: geometric mean {mean:.2f} over {len(ratios)} rows, "
                f"worst {ratios[worst]:.2f} ({worst})."
            )
    return sentences


if __name__ == "__main__":
    sys.exit(main())
