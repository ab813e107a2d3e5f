"""Digests of trained weights, which are equal on all processors with fused multiply-adds.

python -m tests.digests [--steps N] prints one line for each network and optimizer. With --compare, it runs again as on
a processor without AVX-512, and once more as on this one; the exit code is 1 if a digest differs. On a processor
without AVX2 and fused multiply-adds, there is nothing to compare.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from llvmlite.binding import get_host_cpu_features

from fastcnn import models, nn, training
from fastcnn.testing.optimizers import OPTIMIZERS, make
from tests import processors

NETS = {"LeNet-5": (models.LeNet5, (50, 1, 32, 32)), "ResNet-20": (models.ResNet20, (20, 3, 32, 32))}


def digests(steps: int) -> Iterator[tuple[str, str]]:
    """Train every network with every optimizer; yield what was trained, and a digest of its weights and statistics."""
    for net, (build, shape) in NETS.items():
        for name in OPTIMIZERS:
            yield f"{net}, {name}", digest(build, shape, name, steps)


def digest(build, shape: tuple[int, ...], optimizer: str, steps: int) -> str:
    """Train a network on random images and return the digest."""
    rng = np.random.default_rng(0)
    model = build(rng=rng)
    chosen = make(optimizer, model.parameters())
    chosen.lr = 0.001  # so that no loss grows without bound
    step = training.TrainStep(model, chosen, nn.CrossEntropyLoss())
    for _ in range(steps):
        images = rng.integers(0, 256, shape).astype(np.float32) / 255
        step(images, rng.integers(0, 10, len(images)))
    total = hashlib.sha256()
    for array in model.state_dict().values():
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def on_processors(steps: int) -> int:
    """Print the digests of fresh processes: here, as on a processor with AVX2, and here again; 1 if some differ."""
    command = [sys.executable, "-m", "tests.digests", "--steps", str(steps)]
    here = lines(command, {})
    differing = 0
    for what, other in ("AVX2", lines(command, processors.avx2())), ("again", lines(command, {})):
        for ours, theirs in zip(here, other, strict=True):
            differing += ours != theirs
            print(f"{'same' if ours == theirs else 'OTHER':6}{what:6}{theirs}", flush=True)
    return int(differing > 0)


def lines(command: list[str], variables: dict[str, str]) -> list[str]:
    """What a process with these environment variables prints."""
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def main() -> int:
    """Print the digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="of each training (default: %(default)s)")
    parser.add_argument("--compare", action="store_true", help="with those of a processor that has AVX2 alone")
    args = parser.parse_args()
    if args.compare and not {"avx2", "fma"} <= {name for name, has in get_host_cpu_features().items() if has}:
        print("Skipped: this processor has no AVX2 or no fused multiply-adds, so its digests are others.")
        return 0
    if args.compare:
        return on_processors(args.steps)
    for what, found in digests(args.steps):
        print(f"{found}  {what}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
