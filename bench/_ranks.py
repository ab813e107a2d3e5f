"""Time training steps and exchanges on the ranks of scaling.py; rank 0 prints JSON.

mpiexec -n 2 python bench/_ranks.py lenet5 64 128 --seconds 2
"""

import argparse
import json
import os
import sys
import time

import numpy as np

from fastcnn import distributed, models, nn, optim
from fastcnn.distributed.gradients import sum_gradients

SIZES = (256, 61_706, 1_000_000)  # array sizes to sum: for latency, LeNet-5, bandwidth


class Step:
    """A training step on one batch of random images, like a step of `fastcnn.training.Trainer`.

    Parameters
    ----------
    name : str
        Name of the model.
    N : int
        Number of images on this rank.
    ranks : Ranks, optional
        The ranks that train together.
    """

    def __init__(self, name: str, N: int, ranks: distributed.Ranks | None = None):
        rng = np.random.default_rng(0)
        self.model, self.ranks = models.build(name, rng=rng), ranks
        self.images = rng.normal(size=(N, *self.model.input_shape)).astype(np.float32)
        self.labels = rng.integers(10, size=N)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), 1e-4, momentum=0.9)

    def forward(self) -> None:
        """Compute only the forward pass and the loss."""
        self.loss(self.model(self.images), self.labels)

    def __call__(self) -> None:
        self.forward()
        share = 1.0
        if self.ranks:
            share = 1 / len(self.ranks.allgather_numbers([1.0, 2.0, 3.0, 4.0]))
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward() * share, input_grad=False)
        if self.ranks:
            sum_gradients(self.ranks, self.model.parameters())
        self.optimizer.step()
        if self.ranks:
            self.ranks.allgather_numbers([0.0, 0.0])


def milliseconds(call, seconds: float) -> float:
    """Return the median milliseconds of a call; all ranks call it equally often."""
    comm = distributed.world()
    calls, times = 3, []
    for turn in range(2):  # the first one estimates the time of a call
        for _ in range(calls):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        if turn == 0:
            calls = comm.bcast(max(3, int(seconds / np.median(times))))
            times.clear()
    return 1e3 * float(np.median(times))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("batches", type=int, nargs="+", help="images on each rank")
    parser.add_argument("--seconds", type=float, default=1.0, help="duration of each measurement")
    args = parser.parse_args()
    ranks = distributed.Ranks(distributed.world())
    threads = distributed.share_processors(ranks)
    found = {"ranks": ranks.size, "threads": threads, "processors": len(os.sched_getaffinity(0))}
    with distributed.abort_on_error(ranks.comm):
        found["step_ms"] = {N: milliseconds(Step(args.model, N, ranks), args.seconds) for N in args.batches}
        for name, exchange in (("sum_ms", lambda a, b: ranks.sum(a)), ("allreduce_ms", ranks.comm.Allreduce)):
            arrays = {size: (np.ones(size, np.float32), np.empty(size, np.float32)) for size in SIZES}
            found[name] = {
                size: milliseconds(lambda pair=pair, exchange=exchange: exchange(*pair), args.seconds / 4)
                for size, pair in arrays.items()
            }
        found["gather_ms"] = milliseconds(lambda: ranks.allgather_numbers([0.0, 0.0]), args.seconds / 4)
    if ranks.rank == 0:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
