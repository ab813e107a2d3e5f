"""How training scales over machines: a model of the step's time, with what was measured here, for up to 256 nodes.

A node is a machine as this one. Its step takes what the same step was measured to take here, for its part of the
batch, and then the exchange. The sum of the gradients, G bytes, is an Alltoall and an Allgather of G / n bytes from
each node to each (`fastcnn.distributed.Ranks`), with n nodes

    (L + (n - 1) o + (n - 1) / n G / W) + (log2(n) (L + o) + (n - 1) / n G / W)

with latency L, overhead o of a message and bandwidth W, as in the LogGP model (A. Alexandrov, M. Ionescu, K. Schauser,
C. Scheiman, "LogGP: incorporating long messages into the LogP model", SPAA 1995), by the algorithms of R. Thakur, R.
Rabenseifner and W. Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 19 (2005): all
messages at once, and recursive doubling. Two exchanges of a few numbers are log2(n) (L + o) each. What a node does to
the gradients besides, copying and adding, was measured. The time of a step that hides the sum behind the backward pass
as far as it can is there too: what there is to gain by that at most.

Strong scaling shares out a batch of 1,024 images; weak scaling gives each node 128.
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
    # overhead is half of the 10 µs of a lone message through both hosts' stacks, S. Larsen et al., "Architectural
    # breakdown of end-to-end latency in a TCP/IP network", SBAC-PAD 2007.
    "10 Gbit/s": {"latency": 20e-6, "overhead": 5e-6, "bandwidth": 1.25e9 * 1448 / 1538},
    # Past the system's TCP: J. Squyres, "MPI over 40Gb Ethernet", Cisco 2014: 1.93 µs between MPI processes and 37.23
    # of 40 Gbit/s, the same part of 100 here. The overhead is a guess: half a microsecond in the MPI library.
    "100 Gbit/s": {"latency": 1.93e-6, "overhead": 0.5e-6, "bandwidth": 12.5e9 * 37.23 / 40},
}
STRONG, WEAK = 1024, 128
NODES = tuple(2**i for i in range(9))
MEASURED = 128  # images of the batch that one and two ranks share out here

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
    args = _report.parse(_report.options(__doc__))
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
                notes = [f"No ranks were timed: {error}."]
        where = watch.environment()
    copying = {row["key"]: row["copy_ms"] / 1e3 for row in here if "copy_ms" in row}
    curves = [
        curve(row, network, kind, size, nodes, copying.get(row["key"], 0.0))
        for row in constants
        for kind, size in (("strong", strong), ("weak", weak))
        for network in NETWORKS
    ]
    shown = f"{strong:,} images shared out (strong), {weak} on each (weak)"
    tables = [
        _report.table("A training step here", CONSTANTS, constants),
        _report.table(f"Ranks on this machine, sharing out {measured} images or with as many each", HERE_COLUMNS,
                      here or [{"ranks": 0}], notes),
        _report.table(f"Nodes by the model: {shown}", SCALING, curves,
                      ["The most useful nodes are the last whose number pays: with twice as many a step of strong "
                       "scaling is no shorter, and one of weak scaling twice as long as on one node. Powers of two."]),
    ]  # fmt: skip
    return _report.finish(args, "scaling", tables, where, networks=NETWORKS, strong=strong, weak=weak, curves=curves)


def measure(side, name: str, batches: list[int], seconds: float) -> dict:
    """What a model's step takes on this machine, by the images in a batch."""
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
    """Parameters, operations of a step for an image, and milliseconds of steps; to be called on fastcnn's side."""
    model, steps = models.build(name), {}
    for N in batches:
        step = _ranks.Step(name, N)
        steps[N] = {
            "step_ms": _measure.steady(lambda step=step: step, (), seconds),
            "forward_ms": _measure.steady(lambda step=step: step.forward, (), seconds / 2),
        }
    flop = 6 * nn.summarize(model).multiply_adds  # forward, and the gradients of the input and of the filters
    return sum(parameter.size for parameter in model.parameters()), flop, steps


def on_this_machine(name: str, batch: int, seconds: float) -> list[dict]:
    """One and two ranks of one thread: the same batch shared out, and as many images each."""
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
    """What the sum of so many numbers takes, between those that were measured."""
    return float(np.interp(parameters, _ranks.SIZES, [found["sum_ms"][str(size)] for size in _ranks.SIZES]))


def ranks(n: int, name: str, batches: list[int], seconds: float) -> dict:
    """What _ranks.py says; OSError where there is no mpiexec or it fails."""
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
    """A model's steps by the number of nodes."""
    seconds, hidden = {}, {}
    for n in nodes:
        times = row["steps"][str(-(-images // n) if kind == "strong" else images)]
        gradients, rest = exchange(n, 4 * row["parameters"], **NETWORKS[network])
        gradients += copying if n > 1 else 0
        seconds[n] = times["step_ms"] / 1e3 + gradients + rest
        hidden[n] = seconds[n] - min(gradients, max(0, times["step_ms"] - times["forward_ms"]) / 1e3)
    ideal = {n: seconds[1] / (n if kind == "strong" else 1) for n in nodes}
    work = {n: seconds[1] * (1 if kind == "strong" else n) for n in nodes}  # of one node for the same images
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
    """Seconds of the sum of the gradients, ``size`` bytes, and of the two gathers of a few numbers."""
    if n == 1:
        return 0.0, 0.0
    doublings = math.ceil(math.log2(n)) * (latency + overhead)
    moving = (n - 1) / n * size / bandwidth
    return latency + (n - 1) * overhead + moving + doublings + moving, 2 * doublings


if __name__ == "__main__":
    sys.exit(main())
