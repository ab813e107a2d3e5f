"""From the start of a process to the first finished LeNet-5 training step, with and without compiled kernels."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _measure
import _report
import _sides
import numpy as np

import fastcnn

IMPORTS = ("numpy", "numba", "fastcnn", "fastcnn.backends.numba_direct")

# What a fresh process does.
FASTCNN_STEP = """
import numpy as np, fastcnn
from fastcnn import models, nn, optim
fastcnn.set_num_threads({threads})
model, criterion = {fastcnn_model}, nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), 0.01, 0.9)
criterion(model(np.zeros(({N}, 1, 32, 32), np.float32)), np.zeros({N}, np.int64))
model.backward(criterion.backward(), input_grad=False)
optimizer.step()
"""
PYTORCH_STEP = """
import torch
from torch.nn import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential
torch.set_num_threads({threads})
model, criterion = {torch_model}, CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
criterion(model(torch.zeros({N}, 1, 32, 32)), torch.zeros({N}, dtype=torch.int64)).backward()
optimizer.step()
"""
LENET5 = {
    "N": 128,
    "fastcnn_model": "models.LeNet5()",
    "torch_model": """Sequential(
        Conv2d(1, 6, 5), ReLU(), MaxPool2d(2), Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Conv2d(16, 120, 5), ReLU(),
        Flatten(), Linear(120, 84), ReLU(), Linear(84, 10))""",
}
LINEAR = {
    "N": 4,
    "fastcnn_model": "nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))",
    "torch_model": "Sequential(Flatten(), Linear(1024, 10))",
}


def main() -> int:
    args = _report.parse(_report.options(__doc__))
    rounds, cold_rounds = (1, 1) if args.quick else (min(args.timing["rounds"], 7), min(args.timing["rounds"], 2))
    numbers = {"threads": args.threads, **(LINEAR if args.quick else LENET5)}
    step = FASTCNN_STEP.format(**numbers)
    starts = {
        "an empty program": "",
        **{f"import {module}": f"import {module}" for module in IMPORTS},
        "the first step of fastcnn, kernels cached": step,
        "import torch": "import torch",
        "the first step of PyTorch": PYTORCH_STEP.format(**numbers),
    }
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch")) as sides, tempfile.TemporaryDirectory() as warm:
        watch = _report.Watch(sides)
        cold = []
        for _ in _report.progress(range(cold_rounds), "cold starts"):
            with tempfile.TemporaryDirectory() as empty:
                cold.append(seconds(step, empty))
        seconds(step, warm)  # fills the cache
        if "PyTorch" not in sides:
            starts = {what: code for what, code in starts.items() if "torch" not in what.lower()}
        times = {what: [] for what in starts}
        for _ in _report.progress(range(rounds), "starts"):
            for what, code in starts.items():
                times[what].append(seconds(code, warm))
        where = watch.environment()
    times["the first step of fastcnn, no kernel cached"] = cold
    rows = [{"what": what, "s": float(np.median(of)), "starts": len(of), "starts_s": of} for what, of in times.items()]
    columns = [("from the start of a process to", "what", ""), ("s", "s", ".2f"), ("starts", "starts", "d")]
    net = "a linear net, batch 4" if args.quick else "LeNet-5, batch 128"
    notes = [f"The step: {net}.", *([] if "PyTorch" in sides else ["PyTorch is not installed."])]
    return _report.finish(args, "startup", [_report.table("Starting", columns, rows, notes)], where)


def seconds(code: str, cache: str) -> float:
    """Wall-clock time from the start of a fresh process until it has done what the code says, not until its end."""
    path = os.pathsep.join(filter(None, (str(Path(fastcnn.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": path}
    command = [sys.executable, "-c", f"{code}\nprint('done', flush=True)"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        elapsed = time.perf_counter() - start
        process.communicate()
    if line != "done\n" or process.returncode:
        raise RuntimeError(f"A fresh process did not finish this: {code}")
    return elapsed


if __name__ == "__main__":
    sys.exit(main())
