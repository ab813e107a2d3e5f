"""Time LeNet-5's training step at batch 128 for each number of threads and beside a busy loop, and a kernel launch."""

import sys

import _measure
import _nets
import _report
import _sides

BATCH_SIZE, IMAGES = 128, 8192
STEPS = {"fastcnn": _nets.FastcnnStep, "PyTorch": _nets.TorchStep}
COLUMNS = [
    ("threads", "threads", "d"),
    ("beside", "beside", ""),
    ("fastcnn, ms", "fastcnn/ms", ".3f"),
    ("times faster than 1 thread", "fastcnn/speedup", ".2f"),
    ("PyTorch, ms", "PyTorch/ms", ".3f"),
    ("PyTorch: times faster", "PyTorch/speedup", ".2f"),
    ("launch of a parallel kernel, µs", "launch_us", ".1f"),
]


class Disturbed(_nets.Walk):
    """A `Walk` beside another process that keeps one processor busy."""

    beside = staticmethod(_measure.busy_loop)


def main() -> int:
    args = _report.Options(__doc__).parse()
    counts = [n for n in (2**i for i in range(10)) if n < args.threads] + [args.threads]
    setups = {f"{name} {n}": setup for n in counts for name, setup in _sides.on(n, *STEPS).items()}
    with _measure.start(setups) as sides:
        watch = _report.Watch(sides, f"fastcnn {args.threads}")
        contenders = {
            f"{name} {n}": (f"{name} {n}", _nets.Walk, step, None, *size(args.quick))
            for n in counts
            for name, step in STEPS.items()
        }
        contenders |= {
            f"{name} disturbed": (f"{name} {args.threads}", Disturbed, step, None, *size(args.quick))
            for name, step in STEPS.items()
        }
        right = {"length": 3000, "reference": lambda: _nets.numpy_loss(None, *size(args.quick))}
        row = _measure.race(setups, contenders, **args.timing, **right)
        rows = [
            {
                "threads": n,
                "launch_us": sides[f"fastcnn {n}"](_sides.best, "launch_microseconds"),
                **{name: figures(row, name, n) for name in STEPS},
            }
            for n in counts
        ]
        disturbed = {name: figures(row, name, "disturbed") for name in STEPS}
        rows.append({"threads": args.threads, "beside": "a busy loop", **disturbed})
        where = watch.environment()
        missing = _report.missing({name.split()[0]: side for name, side in sides.items()}, "PyTorch")
    rows[0]["wrong"] = row["wrong"]
    title = f"A LeNet-5 training step at batch {size(args.quick)[1]}"
    return _report.finish(args, "threads", [_report.table(title, COLUMNS, rows, missing)], where)


def size(quick: bool) -> tuple[int, int]:
    """Return the number of images to train on, and the batch size."""
    return (64, 16) if quick else (IMAGES, BATCH_SIZE)


def figures(row: dict, name: str, how: int | str) -> dict:
    """Return the times of a library on ``how`` threads, or disturbed, with the speedup over one thread."""
    one, this = f"{name} 1", f"{name} {how}"
    if this not in row["times"]:
        return {}
    return {**row["times"][this], "speedup": row["ratios"].get(one, {}).get(this, 1.0 if one == this else None)}


if __name__ == "__main__":
    sys.exit(main())
