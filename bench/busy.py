"""Time training steps on a busy machine: beside other programs, and on fewer processors than threads.

Each library trains in a process of its own, with as many threads as on a quiet machine, and the libraries take turns.
The time of a turn is the mean of its steps, because a median would not show pauses; a reported time is the median over
the turns, by default three. The slowest step is that of all turns.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import _limits
import _measure
import _nets
import _report
import _sides
import numpy as np

STEPS = {"fastcnn": _nets.FastcnnStep, "PyTorch": _nets.TorchStep}
NETS = {"lenet5": (64, 8192, 3000), "resnet20": (32, 1024, 20_000)}  # batch, images, roundings from a pixel to a loss
QUICK = {"lenet5": (16, 64, 3000)}
TIMES = 4  # threads for each processor, in the last row
COLUMNS = [
    ("net", "net", ""),
    ("batch", "N", "d"),
    ("beside, or on", "beside", ""),
    *(
        (heading.format(name), f"times/{name}/{what}", form)
        for name in STEPS
        for heading, what, form in (
            ("{}, ms", "ms", ".2f"), ("slowdown", "slowdown", ".2f"), ("slowest step, ms", "slowest_ms", ".1f")
        )
    ),
]  # fmt: skip


def main() -> int:
    args = _report.Options(__doc__, rounds=(3, 1), processes=()).parse()
    seconds = 20 * args.timing["seconds"]
    setups, more = (_sides.on(threads, *STEPS) for threads in (args.threads, TIMES * args.threads))
    setups |= {f"{name}, second": setups[name] for name in STEPS} | {f"{name}, more": more[name] for name in STEPS}
    rows, notes = [], set()
    with _measure.start(setups) as sides:
        watch = _report.Watch(sides)
        for net, (N, images, length) in (QUICK if args.quick else NETS).items():
            wrong = prepare(sides, (None, images, N, net), length, seconds / 2)
            times = take_turns(sides, args.rounds, seconds, args.threads, notes)
            rows += [{"net": net, "N": N, "beside": beside, "times": of, "wrong": {}} for beside, of in times.items()]
            rows[-1]["wrong"] = wrong
        where = watch.environment()
    notes = [*notes, *_report.missing(sides, "PyTorch")]
    return _report.finish(
        args, "busy", [_report.table("A training step on a busy machine", COLUMNS, rows, notes)], where
    )


def prepare(sides: dict, walk: tuple, length: int, settle: float) -> dict[str, str]:
    """Make the steps of a net in all processes; return sentences about wrong losses of the first step."""
    wrong, expected = {}, None
    for name, side in reversed(sides.items()):  # PyTorch first
        _, (loss,) = side(_measure.prepare, "step", settle, _nets.Walk, STEPS[name.split(",")[0]], *walk)
        expected = loss if expected is None else expected
        if (error := _measure.relative_error(loss, expected)) > _measure.tolerance(length):
            wrong[name] = f"The loss of {name} differs by {error:.1e} from that of the other processes."
    return wrong


def take_turns(sides: dict, rounds: int, seconds: float, threads: int, notes: set[str]) -> dict[str, dict]:
    """Time the steps beside everything; return the times of each library by what was beside it."""
    beside = disturbances(threads)
    libraries = [name for name in STEPS if name in sides]
    found = {what: {name: [] for name in libraries} for what in beside}
    for i in range(rounds):
        for what, (disturb, which) in beside.items():
            for name in libraries if i % 2 == 0 else reversed(libraries):
                with disturb(sides, name) as note:
                    found[what][name].append(sides[name + which](_measure.turn, "step", seconds))
                notes |= {note} - {None}
    times = {what: {name: figures(turns) for name, turns in of.items()} for what, of in found.items()}
    for of in times.values():
        for name, record in of.items():
            record["slowdown"] = _measure.ratio(record, times["nothing"][name])
    return times


def figures(turns: list[list[float]]) -> dict:
    """Return the times of a library from the seconds of the steps in each turn."""
    means = [1e3 * float(np.mean(turn)) for turn in turns]
    return {"ms": float(np.median(means)), "rounds_ms": means, "slowest_ms": 1e3 * max(map(max, turns))}


def disturbances(threads: int) -> dict[str, tuple[Callable, str]]:
    """Return what is beside a library: a function that makes a context manager, and which of its processes is timed."""

    def half(sides: dict, name: str):
        return _limits.half_a_processor(sides[name].pid, threads)

    def one_core(sides: dict, name: str):
        return _limits.one_core(sides[name].pid)

    return {
        "nothing": (loops(0), ""),
        "a busy loop": (loops(1), ""),
        "two busy loops": (loops(2), ""),
        "a second training with the same library": (second_training, ""),
        **({"half a processor": (half, "")} if hasattr(signal, "SIGSTOP") else {}),
        **({"one core": (one_core, "")} if hasattr(os, "sched_setaffinity") else {}),
        f"{TIMES * threads} threads": (loops(0), ", more"),
    }


def loops(n: int) -> Callable:
    """Make a function that keeps ``n`` processors busy."""

    @contextmanager
    def disturb(sides: dict, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            for _ in range(n):
                stack.enter_context(_measure.busy_loop())
            yield

    return disturb


@contextmanager
def second_training(sides: dict, name: str) -> Iterator[None]:
    """Train in the second process of a library."""
    second = sides[f"{name}, second"]
    second(_measure.begin, "step")
    try:
        yield
    finally:
        second(_measure.end)


if __name__ == "__main__":
    sys.exit(main())
