"""Time a process from its start to the end of its first training step, with and without compiled kernels."""

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
HERE = Path(__file__).parent
LINEAR = "nn.Sequential(nn.Flatten(), nn.Linear(1024, 10))"
QUICK = {"a linear net, batch 4": {"shape": "(4, 1, 32, 32)", "fastcnn": LINEAR, "torch": LINEAR}}
NETS = {
    "LeNet-5, batch 128": {
        "shape": "(128, 1, 32, 32)",
        "fastcnn": "models.LeNet5()",
        "torch": "_torch_nets.lenet5()",
    },
    "ResNet-20, batch 128": {
        "shape": "(128, 3, 32, 32)",
        "fastcnn": "models.ResNet20()",
        "torch": "_torch_nets.resnet20()",
    },
}

# The code that a fresh process runs.
FASTCNN_STEP = """
import numpy as np, fastcnn
from fastcnn import models, nn, optim
fastcnn.set_num_threads({threads})
model, criterion, images = {fastcnn}, nn.CrossEntropyLoss(), np.zeros({shape}, np.float32)
optimizer = optim.SGD(model.parameters(), 0.01, 0.9)
criterion(model(images), np.zeros(len(images), np.int64))
model.backward(criterion.backward(), input_grad=False)
optimizer.step()
"""
PYTORCH_STEP = """
import torch, _torch_nets
from torch import nn
torch.set_num_threads({threads})
model, criterion, images = {torch}, nn.CrossEntropyLoss(), torch.zeros({shape})
optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
criterion(model(images), torch.zeros(len(images), dtype=torch.int64)).backward()
optimizer.step()
"""


def main() -> int:
    args = _report.Options(__doc__, rounds=(7, 1), processes=()).parse()
    nets = QUICK if args.quick else NETS
    steps = {
        f"fastcnn's first step of {net}": FASTCNN_STEP.format(**of, threads=args.threads) for net, of in nets.items()
    }
    starts = {
        "an empty program": "",
        **{f"import {module}": f"import {module}" for module in IMPORTS},
        **{f"{what}, kernels cached": step for what, step in steps.items()},
        "import torch": "import torch",
        **{
            f"PyTorch's first step of {net}": PYTORCH_STEP.format(**of, threads=args.threads)
            for net, of in nets.items()
        },
    }
    cold = {f"{what}, no kernel cached": [] for what in steps}
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch")) as sides, tempfile.TemporaryDirectory() as warm:
        watch = _report.Watch(sides)
        for _ in _report.progress(range(min(args.rounds, 2)), "cold starts"):
            for starts_s, step in zip(cold.values(), steps.values(), strict=True):
                with tempfile.TemporaryDirectory() as empty:
                    starts_s.append(seconds(step, empty))
        for step in steps.values():
            seconds(step, warm)  # fills the cache
        if "PyTorch" not in sides:
            starts = {what: code for what, code in starts.items() if "torch" not in what.lower()}
        times = {what: [] for what in starts}
        for _ in _report.progress(range(args.rounds), "starts"):
            for what, code in starts.items():
                times[what].append(seconds(code, warm))
        where = watch.environment()
    times |= cold
    rows = [{"what": what, "s": float(np.median(of)), "starts": len(of), "starts_s": of} for what, of in times.items()]
    columns = [("from the start of a process to", "what", ""), ("s", "s", ".2f"), ("starts", "starts", "d")]
    notes = [] if "PyTorch" in sides else ["PyTorch is not installed."]
    return _report.finish(args, "startup", [_report.table("Starting", columns, rows, notes)], where)


def seconds(code: str, cache: str, checkout: Path = Path(fastcnn.__file__).parents[1]) -> float:
    """Return the wall time from the start of a fresh process until it has run the code; its exit is not counted.

    ``checkout`` is the folder from which the process imports fastcnn.
    """
    folders = str(checkout), str(HERE), os.environ.get("PYTHONPATH")
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    command = [sys.executable, "-P", "-c", f"{code}\nprint('done', flush=True)"]  # -P: not from the current folder
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        line = process.stdout.readline()
        elapsed = time.perf_counter() - start
        process.communicate()
    if line != "done\n" or process.returncode:
        raise RuntimeError(f"A fresh process failed to run this code: {code}")
    return elapsed


if __name__ == "__main__":
    sys.exit(main())
