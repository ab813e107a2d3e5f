"""Measure the memory of one convolution besides its input and filters: the peak of the resident set, on Linux.

Each backend runs in a fresh process, after a small convolution of the same kind, so that compilation is not measured.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import _measure
import _report
import _sides
import numpy as np

from fastcnn.testing import ConvCase

COLUMNS = [
    ("convolution", "convolution", ""),
    ("N", "N", "d"),
    ("by", "by", ""),
    ("x, MB", "x_mb", ".1f"),
    ("y, MB", "y_mb", ".1f"),
    ("increase at the peak, MB", "peak_mb", ".1f"),
    ("of it besides y, MB", "beside_y_mb", ".1f"),
]
CASE = ConvCase("64→64, 3x3, 56x56", (32, 64, 56, 56), (64, 64, 3, 3), padding=1)
QUICK = ConvCase("4→4, 3x3, 8x8", (2, 4, 8, 8), (4, 4, 3, 3), padding=1)
WAYS = {
    "numba, native": ("fastcnn", "native"),
    "numba, NCHW": ("fastcnn", "nchw"),
    "numpy": ("NumPy", "numpy"),
    "PyTorch": ("PyTorch", "pytorch"),
}


def main() -> int:
    args = _report.Options(__doc__, rounds=(), processes=()).parse()
    case, rows = QUICK if args.quick else CASE, []
    with _measure.start(_sides.on(args.threads, "fastcnn", "NumPy", "PyTorch")) as watched:
        watch = _report.Watch(watched)
        for by, (side, way) in WAYS.items():
            with _measure.start(_sides.on(args.threads, side)) as sides:
                if side in sides:
                    rows.append(figures(case, by, sides[side](more_at_the_peak, case, way)))
        where = watch.environment()
    notes = _report.missing(watched, "PyTorch")
    table = _report.table("Memory of a convolution, forward", COLUMNS, rows, notes)
    return _report.finish(args, "memory", [table], where)


def figures(case: ConvCase, by: str, peak: int) -> dict:
    """Return a row of the table."""
    N, O, w = case.x[0], case.weight[0], case.windows
    x, y = 4 * np.prod(case.x), 4 * N * O * w.OH * w.OW
    sizes = {"x_mb": x / 1e6, "y_mb": y / 1e6, "peak_mb": peak / 1e6, "beside_y_mb": max(0, peak - y) / 1e6}
    return {"convolution": case.reason, "N": N, "by": by, **{name: float(size) for name, size in sizes.items()}}


def more_at_the_peak(case: ConvCase, way: str) -> int:
    """Return by how many bytes a convolution increases the memory at its peak; call it in a fresh process."""
    import layers  # which imports PyTorch and Numba only when they are used

    job = {
        "native": lambda case: layers.native(case, "forward"),
        "nchw": lambda case: layers.nchw(case, "forward"),
        "numpy": lambda case: layers.nchw(case, "forward", "numpy"),
        "pytorch": lambda case: layers.pytorch(case, "forward"),
    }[way]
    job(case._replace(x=(1, *case.x[1:])))()
    compute, numba_direct = job(case), sys.modules.get("fastcnn.backends.numba_direct")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    with numba_direct.Pool() if numba_direct else nullcontext():  # a new pool, so that y gets new memory
        y = compute()
        most = _status("VmHWM")
    del y
    return most - before


def _status(name: str) -> int:
    """Read a number of /proc/self/status, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
