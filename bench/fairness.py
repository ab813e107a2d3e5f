"""Check that taking turns is fair: compare LeNet-5 steps timed in turns with steps of each library timed alone.

Alone means in a process that does nothing else, while all other processes sleep.
"""

import sys

import _measure
import _nets
import _report
import _sides
import numpy as np

STEPS = {"fastcnn": _nets.FastcnnStep, "PyTorch": _nets.TorchStep}
IMAGES = 2048
BATCHES = (1, 16, 128, 512)


COLUMNS = [
    ("batch", "batch", "d"),
    ("library", "library", ""),
    ("alone, ms", "alone/ms", ".3f"),
    ("of processes, from", "alone/lowest_ms", ".3f"),
    ("to", "alone/highest_ms", ".3f"),
    ("in turns, ms", "turns/ms", ".3f"),
    ("of processes, from", "turns/lowest_ms", ".3f"),
    ("to", "turns/highest_ms", ".3f"),
    ("in turns / alone", "ratio", ".2f"),
]


def main() -> int:
    args = _report.Options(__doc__).parse()
    rows = []
    with _measure.start(_sides.on(args.threads, *STEPS)) as sides:
        watch = _report.Watch(sides)
        for N in _report.progress((16,) if args.quick else BATCHES, "batch sizes"):
            alone = {name: steps_alone(args, name, N) for name in sides}
            contenders = {name: (name, _nets.Walk, step, None, IMAGES, N) for name, step in STEPS.items()}
            right = {"length": 3000, "reference": lambda N=N: _nets.numpy_loss(None, IMAGES, N)}
            row = _measure.race(_sides.on(args.threads, *STEPS), contenders, **args.timing, **right)
            for name, turns in row["times"].items():
                ratio = turns["ms"] / alone[name]["ms"]
                rows.append({"batch": N, "library": name, "alone": alone[name], "turns": turns, "ratio": ratio})
            rows += [{"batch": N, "library": name, "wrong": {name: text}} for name, text in row["wrong"].items()]
        where = watch.environment()
    missing = _report.missing(sides, "PyTorch")
    return _report.finish(args, "fairness", [_report.table("A step alone and in turns", COLUMNS, rows, missing)], where)


def steps_alone(args, name: str, N: int) -> dict[str, float]:
    """Time a step of a library alone, in several processes; return median, lowest and highest milliseconds."""
    milliseconds = []
    for _ in range(args.timing["processes"]):
        with _measure.start(_sides.on(args.threads, name)) as sides:
            seconds = 20 * args.timing["seconds"]
            milliseconds.append(sides[name](_measure.steady, _nets.Walk, (STEPS[name], None, IMAGES, N), seconds))
    return {"ms": float(np.median(milliseconds)), "lowest_ms": min(milliseconds), "highest_ms": max(milliseconds)}


if __name__ == "__main__":
    sys.exit(main())
