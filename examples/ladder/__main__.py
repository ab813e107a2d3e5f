"""Time the ladders of convolutions and max-poolings at the shapes of a public write-up, and compare with its times.

python examples/ladder --json runs/recipes/ladder.json
"""

import argparse
import json
import sys
import time
from pathlib import Path

import convolutions
import numpy as np
import poolings

from fastcnn import training

# The write-up's milliseconds, forward and backward; it does not name its processor.
SAID_CONV = {"loops": (484, 132), "im2col": (28.4, 66.2), "as_strided": (3.63, 19.6)}
SAID_POOL = {"loops": (133, 0.556), "im2col": (1.21, 0.282), "reshape": (0.108, 0.753)}
SAID_TIES_COST = 0.4
CONV = {"x": (16, 1, 28, 28), "weight": (6, 1, 5, 5)}
POOL = {"x": (64, 1, 28, 28), "k": 2}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="ladder", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    parser.add_argument("--quick", action="store_true", help="time each rung only once, to check that it works")
    args = parser.parse_args()
    seconds = 0.0 if args.quick else 1.0
    report = {"convolutions": time_convolutions(seconds), "poolings": time_poolings(seconds)}
    report["ties_cost"] = ties_cost(report["poolings"])
    report["environment"] = training.environment()
    print(table("Convolution 1→6, 5x5, 16 images of 28x28", report["convolutions"]))
    print(table("Max-pooling 2x2, 64 images of 28x28", report["poolings"]))
    print(f"Dividing the gradient among ties costs {report['ties_cost']:.0%} (the write-up: {SAID_TIES_COST:.0%}).")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def time_convolutions(seconds: float) -> list[dict]:
    """Time each rung; return one row for each."""
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in CONV.values())
    bias = np.zeros(len(weight), np.float32)
    flop = None
    rows = []
    for name, rung in convolutions.RUNGS.items():
        y = rung.forward(x, weight, bias)
        flop = 2 * y.size * weight[0].size
        forward = milliseconds(lambda rung=rung: rung.forward(x, weight, bias), seconds)
        backward = milliseconds(lambda rung=rung, dy=y: rung.backward(dy, x, weight), seconds)
        rows.append(row(name, forward, backward, SAID_CONV) | {"gflops": flop / forward / 1e6})
    return compared(rows)


def time_poolings(seconds: float) -> list[dict]:
    """Time each rung; return one row for each."""
    x, k = np.random.default_rng(0).standard_normal(POOL["x"]).astype(np.float32), POOL["k"]
    rows = []
    for name, rung in poolings.RUNGS.items():
        y, kept = rung.forward(x, k)
        forward = milliseconds(lambda rung=rung: rung.forward(x, k), seconds)
        backward = milliseconds(lambda rung=rung, dy=y, kept=kept: rung.backward(dy, kept, x, k), seconds)
        rows.append(row(name, forward, backward, SAID_POOL))
    return compared(rows)


def ties_cost(rows: list[dict]) -> float:
    """Return by how much dividing the gradient among ties slows down both passes of pooling by reshape."""
    times = {one["rung"]: one["forward_ms"] + one["backward_ms"] for one in rows}
    return times["reshape, ties shared"] / times["reshape"] - 1


def milliseconds(call, seconds: float) -> float:
    """Return the median time of the calls within ``seconds``, at least one, after one untimed call."""
    call()
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def row(name: str, forward: float, backward: float, said: dict) -> dict:
    """Return a row with our times and the write-up's."""
    return {"rung": name, "forward_ms": forward, "backward_ms": backward, "said_ms": said.get(name)}


def compared(rows: list[dict]) -> list[dict]:
    """Add to each row the speedup over the loops for both passes together, ours and the write-up's."""
    first = rows[0]
    for one in rows:
        one["times_loops"] = (first["forward_ms"] + first["backward_ms"]) / (one["forward_ms"] + one["backward_ms"])
        one["said_times_loops"] = one["said_ms"] and sum(first["said_ms"]) / sum(one["said_ms"])
    return rows


def table(title: str, rows: list[dict]) -> str:
    """Format rows as Markdown, with the write-up's figures in brackets."""
    lines = [f"**{title}** (the write-up's figures in brackets)", ""]
    lines += ["| rung | forward, ms | backward, ms | times the loops |", "|---|---:|---:|---:|"]
    for one in rows:
        there = [f" ({number:.3g})" for number in one["said_ms"] or ()] or ["", ""]
        ratio = f" ({one['said_times_loops']:.3g})" if one["said_ms"] else ""
        lines.append(
            f"| {one['rung']} | {one['forward_ms']:.3g}{there[0]} | {one['backward_ms']:.3g}{there[1]} "
            f"| {one['times_loops']:.3g}{ratio} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
