"""Predict how training scales to 256 nodes, with a model of the time of a step that uses measurements of this machine.

A node is a machine like this one. Its step takes as long as the step measured here for its part of the batch, plus the
exchange. The sum of the gradients, G bytes, is an Alltoall and an Allgather in which each node sends G / n bytes to
each node (`fastcnn.distributed.Ranks`). With n nodes these take

    (L + (n - 1) o + (n - 1) / n G / W) + (log2(n) (L + o) + (n - 1) / n G / W)

with latency L, overhead o of a message and bandwidth W, as in the LogGP model (A. Alexandrov, M. Ionescu, K. Schauser,
C. Scheiman, "LogGP: incorporating long messages into the LogP model", SPAA 1995), with the algorithms of R. Thakur, R.
Rabenseifner and W. Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 19 (2005): all
messages at once, and recursive doubling. Two exchanges of a few numbers take log2(n) (L + o) each. The time to copy and
add the gradients was measured. The model also gives the time of a step that overlaps the sum with the backward pass as
far as possible, an upper bound on the gain from overlapping.

Strong scaling divides a batch of 1,024 images among the nodes; weak scaling gives each node 128 images.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import _measure
import _ranks
import _report
import _sides
import numpy as np

from fastcnn import models, nn

HERE = Path(__file__).parent
MODELS = {"lenet5": "LeNet-5", "resnet20": "ResNet-20", "vgg7": "VGG7"}
NETWORKS = {
    # TCP: J. Hurwitz, W. Feng, "Initial end-to-end performance evaluation of 10-Gigabit Ethernet", Hot Interconnects
    # 2003: 20 µs between applications. Of 1,538 bytes on the wire (IEEE 802.3, MTU 1500) 1,448 are payload. The
    # overhead is half of the 10 µs that a single message takes through the stacks of both hosts, S. Larsen et al.,
    # "Architectural breakdown of end-to-end latency in a TCP/IP network", SBAC-PAD 2007.
    "10 Gbit/s": {"latency": 20e-6, "overhead": 5e-6, "bandwidth": 1.25e9 * 1448 / 1538},
    # Bypassing TCP: J. Squyres, "MPI over 40Gb Ethernet", Cisco 2014: 1.93 µs between MPI processes, and 37.23 of 40
    # Gbit/s; the same fraction of 100 Gbit/s is assumed here. The overhead of 0.5 µs in the MPI library is a guess.
    "100 Gbit/s": {"latency": 1.93e-6, "overhead": 0.5e-6, "bandwidth": 12.5e9 * 37.23 / 40},
}
STRONG, WEAK = 1024, 128
NODES = tuple(2**i for i in range(9))
MEASURED = 128  # images in the batch that is divided among one and two ranks on this machine

CONSTANTS = [
    ("model", "model", ""),
    ("parameters", "parameters", ",d"),
    ("gradients, kB", "kilobytes", ".0f"),
    ("GFLOP of a step, 128 images", "gflop", ".2f"),
    ("step of 128, ms", "steps/128/step_ms", ".2f"),
    ("of 16, ms", "steps/16/step_ms", ".2f"),
    ("of 4, ms", "steps/4/step_ms", ".2f"),
    ("GFLOP/s at 128", "gflops", ".0f"),
]
HERE_COLUMNS = [
    ("model", "model", ""),
    ("ranks", "ranks", "d"),
    ("threads of each", "threads", "d"),
    ("images of each", "images", "d"),
    ("step, ms", "step_ms", ".2f"),
    ("by the model, ms", "predicted_ms", ".2f"),
    ("sum of LeNet-5's gradients, ms", "sum_ms", ".3f"),
    ("Allreduce of them, ms", "allreduce_ms", ".3f"),
    ("gather of 2 numbers, ms", "gather_ms", ".3f"),
]
SCALING = [
    ("model", "model", ""),
    ("network", "network", ""),
    ("scaling", "scaling", ""),
    ("most useful nodes", "best/nodes", "d"),
    ("times faster there", "best/speedup", ".1f"),
    ("efficiency on 4", "efficiency/4", ".0%"),
    ("on 16", "efficiency/16", ".0%"),
    ("on 64", "efficiency/64", ".0%"),
    ("on 256", "efficiency/256", ".0%"),
    ("on 16, sum hidden", "hidden/16", ".0%"),
]


def main() -> int:
    args = _report.Options(__doc__, rounds=(), processes=()).parse()
    quick = args.quick
    names = dict([*MODELS.items()][:1]) if quick else MODELS
    nodes = NODES[:3] if quick else NODES
    strong, weak, measured = (16, 4, 8) if quick else (STRONG, WEAK, MEASURED)
    batches = sorted({weak} | {-(-strong // n) for n in nodes} | (set() if quick else {16}))
    seconds = 0.02 if quick else 0.5
    here, notes = [], []
    with _measure.start(_sides.on(args.threads, "fastcnn")) as sides:
        watch = _report.Watch(sides)
        constants = [measure(sides["fastcnn"], name, batches, seconds) for name in names]
        for name in names:
            try:
                here += on_this_machine(name, measured, seconds)
            except OSError as error:
                notes = [f"Ranks were not timed: {error}."]
        where = watch.environment()
    copying = {row["key"]: row["copy_ms"] / 1e3 for row in here if "copy_ms" in row}
    curves = [
        curve(row, network, kind, size, nodes, copying.get(row["key"], 0.0))
        for row in constants
        for kind, size in (("strong", strong), ("weak", weak))
        for network in NETWORKS
    ]
    shown = f"{strong:,} images in all (strong), {weak} on each node (weak)"
    tables = [
        _report.table("A training step here", CONSTANTS, constants),
        _report.table(f"Ranks on this machine, {measured} images in all or on each rank", HERE_COLUMNS,
                      here or [{"ranks": 0}], notes),
        _report.table(f"Nodes by the model: {shown}", SCALING, curves,
                      ["The most useful nodes are the largest number, a power of two, that pays: with twice as many, a "
                       "step is no shorter (strong scaling), or takes twice as long as on one node (weak scaling)."]),
    ]  # fmt: skip
    return _report.finish(args, "scaling", tables, where, networks=NETWORKS, strong=strong, weak=weak, curves=curves)


def measure(side, name: str, batches: list[int], seconds: float) -> dict:
    """Time a model's step on this machine for each batch size; return a row."""
    parameters, flop, steps = side(step_times, name, batches, seconds)
    usual = 128 if 128 in steps else max(batches)
    return {
        "key": name,
        "model": MODELS[name],
        "parameters": parameters,
        "kilobytes": 4 * parameters / 1e3,
        "gflop": flop * 128 / 1e9,
        "gflops": flop * usual / 1e6 / steps[usual]["step_ms"],
        "steps": {str(N): times for N, times in steps.items()},
    }


def step_times(name: str, batches: list[int], seconds: float) -> tuple[int, float, dict]:
    """Return the number of parameters, the operations per image, and the times of steps; call it on fastcnn's side."""
    model, steps = models.build(name), {}
    for N in batches:
        step = _ranks.Step(name, N)
        steps[N] = {
            "step_ms": _measure.steady(lambda step=step: step, (), seconds),
            "forward_ms": _measure.steady(lambda step=step: step.forward, (), seconds / 2),
        }
    flop = 6 * nn.summarize(model).multiply_adds  # forward, gradient of the input, gradient of the filters
    return sum(parameter.size for parameter in model.parameters()), flop, steps


def on_this_machine(name: str, batch: int, seconds: float) -> list[dict]:
    """Time one and two ranks of one thread each: with the same batch in all, and with as many images on each rank."""
    one, two = (ranks(n, name, [batch // 2, batch], seconds) for n in (1, 2))
    parameters = sum(parameter.size for parameter in models.build(name).parameters())
    rows = []
    for found, images in ((one, batch), (two, batch // 2), (two, batch)):
        row = {what: found[what] for what in ("ranks", "threads", "gather_ms")}
        row |= {what: found[what][str(_ranks.SIZES[1])] for what in ("sum_ms", "allreduce_ms")}
        row |= {"key": name, "model": MODELS[name], "images": images, "step_ms": found["step_ms"][str(images)]}
        if found is one:
            row["copy_ms"] = sum_ms(parameters, one)
        else:
            exchanged = max(0.0, sum_ms(parameters, two) - sum_ms(parameters, one)) + 2 * two["gather_ms"]
            row["predicted_ms"] = one["step_ms"][str(images)] + exchanged
        rows.append(row)
    return rows


def sum_ms(parameters: int, found: dict) -> float:
    """Interpolate the milliseconds of the sum of so many numbers from the measured sizes."""
    return float(np.interp(parameters, _ranks.SIZES, [found["sum_ms"][str(size)] for size in _ranks.SIZES]))


def ranks(n: int, name: str, batches: list[int], seconds: float) -> dict:
    """Run _ranks.py on n ranks and return its report; raises OSError if mpiexec is missing or fails."""
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise OSError("there is no mpiexec")
    command = [mpiexec, "-n", str(n), sys.executable, str(HERE / "_ranks.py"), name, *map(str, batches)]
    environment = {**os.environ, "FASTCNN_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"mpiexec failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def curve(row: dict, network: str, kind: str, images: int, nodes: tuple[int, ...], copying: float) -> dict:
    """Predict the steps of a model for each number of nodes."""
    seconds, hidden = {}, {}
    for n in nodes:
        times = row["steps"][str(-(-images // n) if kind == "strong" else images)]
        gradients, rest = exchange(n, 4 * row["parameters"], **NETWORKS[network])
        gradients += copying if n > 1 else 0
        seconds[n] = times["step_ms"] / 1e3 + gradients + rest
        hidden[n] = seconds[n] - min(gradients, max(0, times["step_ms"] - times["forward_ms"]) / 1e3)
    ideal = {n: seconds[1] / (n if kind == "strong" else 1) for n in nodes}
    work = {n: seconds[1] * (1 if kind == "strong" else n) for n in nodes}  # time of one node for the same images
    best = nodes[0]
    while 2 * best in seconds:
        pays = seconds[2 * best] < (seconds[best] if kind == "strong" else 2 * seconds[1])
        if not pays:
            break
        best *= 2
    return {
        "model": row["model"],
        "network": network,
        "scaling": kind,
        "nodes": list(nodes),
        "step_ms": [1e3 * seconds[n] for n in nodes],
        "hidden_step_ms": [1e3 * hidden[n] for n in nodes],
        "speedup": [work[n] / seconds[n] for n in nodes],
        "efficiency": {str(n): ideal[n] / seconds[n] for n in nodes},
        "hidden": {str(n): ideal[n] / hidden[n] for n in nodes},
        "best": {"nodes": best, "speedup": work[best] / seconds[best]},
    }


def exchange(n: int, size: int, latency: float, overhead: float, bandwidth: float) -> tuple[float, float]:
    """Predict the seconds of the sum of ``size`` bytes of gradients, and of the two gathers of a few numbers."""
    if n == 1:
        return 0.0, 0.0
    doublings = math.ceil(math.log2(n)) * (latency + overhead)
    moving = (n - 1) / n * size / bandwidth
    return latency + (n - 1) * overhead + moving + doublings + moving, 2 * doublings


if __name__ == "__main__":
    sys.exit(main())
