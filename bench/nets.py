"""Time training steps of whole nets in fastcnn and PyTorch, and the share of fastcnn's time outside of kernels."""

import sys
import time

import _measure
import _nets
import _report
import _sides
import numpy as np

# net: batch sizes, number of images to train on, approximate number of roundings from a pixel to a loss
NETS = {
    "lenet5": ((1, 16, 32, 64, 128, 256, 512), 8192, 3000),
    "conv8_conv16": ((64,), 8192, 3000),
    "resnet20": ((32, 128), 1024, 20_000),
    "vgg_batch_norm": ((128,), 1024, 10_000),
    "six_layers": ((128,), 1024, 5_000),
    "separable": ((128,), 1024, 5_000),
    "small_mobilenet": ((128,), 1024, 20_000),
}
QUICK, QUICK_SIZES = ("lenet5", "conv8_conv16"), (16,)
# PyTorch's two memory formats run in separate processes, so that they do not share a heap.
SIDES = {"fastcnn": "fastcnn", "PyTorch": "PyTorch", "PyTorch, channels_last": "PyTorch"}
STEPS = [
    ("net", "net", ""),
    ("batch", "N", "d"),
    *(
        (heading.format(name), f"times/{name}/{what}", ".3f")
        for name in SIDES
        for heading, what in (("{}, ms", "ms"), ("of processes, from", "lowest_ms"), ("to", "highest_ms"))
    ),
    ("PyTorch's faster / fastcnn", "ratio", ".2f"),
]
LAUNCHES = [
    ("net", "net", ""),
    ("batch", "N", "d"),
    ("step, ms", "step_ms", ".3f"),
    ("launches", "launches", "d"),
    ("in launches, ms", "in_launches_ms", ".3f"),
    ("outside", "outside", ".1%"),
]


def main() -> int:
    parser = _report.Options(__doc__)
    quick = ", ".join(QUICK)
    parser.add_argument("--nets", nargs="+", choices=NETS, help=f"nets to time (default: all; quick: {quick})")
    args = parser.parse()
    on = _sides.on(args.threads, "fastcnn", "PyTorch")
    setups = {name: on[side] for name, side in SIDES.items()}
    steps, launches = [], []
    with _measure.start(on) as sides:
        watch = _report.Watch(sides)
        for net in args.nets or (QUICK if args.quick else NETS):
            batches, images, length = NETS[net]
            for N in _report.progress(QUICK_SIZES if args.quick else batches, net):
                walk = (None, 32 if args.quick else images, N, net)
                contenders = {
                    "fastcnn": ("fastcnn", _nets.Walk, _nets.FastcnnStep, *walk),
                    "PyTorch": ("PyTorch", _nets.Walk, _nets.TorchStep, *walk),
                    "PyTorch, channels_last": ("PyTorch, channels_last", _nets.Walk, _nets.TorchStep, *walk, True),
                }
                right = {"length": length, "reference": lambda walk=walk: _nets.numpy_loss(*walk)}
                row = _measure.race(setups, contenders, **args.timing, **right)
                ratios = [of["fastcnn"] for of in row["ratios"].values() if "fastcnn" in of]
                steps.append({"net": net, "N": N, **row, "ratio": min(ratios, default=None)})
                seconds = 20 * args.timing["seconds"]
                launches.append({"net": net, "N": N, **sides["fastcnn"](in_launches, seconds, *walk)})
        where = watch.environment()
    notes = [
        "SGD with momentum; the ratio is to PyTorch in its faster memory format. fastcnn's step is a "
        "`training.TrainStep`, PyTorch's is eager."
    ]
    tables = [
        _report.table("A training step", STEPS, steps, [*notes, *_report.missing(sides, "PyTorch")]),
        _report.table("The launches of kernels in fastcnn's step", LAUNCHES, launches),
    ]
    return _report.finish(args, "nets", tables, where)


def in_launches(seconds: float, *walk) -> dict:
    """Count the launches of a step, and time it inside and outside of them; call it on fastcnn's side."""
    from fastcnn.backends.numba_direct.runtime import launches  # here, because no other process loads Numba

    step, run, spent, steps = _nets.Walk(_nets.FastcnnStep, *walk), launches.run, [], []

    def timed_run(*args):
        start = time.perf_counter()
        failed = run(*args)
        spent.append(time.perf_counter() - start)
        return failed

    def timed_step():
        spent.clear()
        start = time.perf_counter()
        step()
        steps.append((time.perf_counter() - start, sum(spent), len(spent)))

    launches.run = timed_run
    try:
        _measure.calls(timed_step, seconds)
        steps.clear()  # the first steps include compiling and recording programs
        _measure.calls(timed_step, seconds)
    finally:
        launches.run = run
    _measure.wait_for_sleep()
    whole, inside, counts = np.array(steps).T
    return {
        "step_ms": 1e3 * float(np.median(whole)),
        "launches": int(np.median(counts)),
        "in_launches_ms": 1e3 * float(np.median(inside)),
        "outside": float(np.median(1 - inside / whole)),
    }


if __name__ == "__main__":
    sys.exit(main())
