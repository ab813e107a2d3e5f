"""What the ranks of scaling.py run: training steps and exchanges, timed; rank 0 prints JSON.

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

SIZES = (256, 61_706, 1_000_000)  # numbers in the arrays that are summed: a message's latency, LeNet-5, a bandwidth


class Step:
    """A training step on one batch of random images, as `fastcnn.training.Trainer` takes it.

    Parameters
    ----------
    name : str
        Of the model.
    N : int
        Images of this rank.
    ranks : Ranks, optional
        That train together.
    """

    def __init__(self, name: str, N: int, ranks: distributed.Ranks | None = None):
        rng = np.random.default_rng(0)
        self.model, self.ranks = models.build(name, rng=rng), ranks
        self.images = rng.normal(size=(N, *self.model.input_shape)).astype(np.float32)
        self.labels = rng.integers(10, size=N)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), 1e-4, momentum=0.9)

    def forward(self) -> None:
        """Only to the loss."""
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
    """Median of a call, which all ranks make equally often."""
    comm = distributed.world()
    calls, times = 3, []
    for turn in range(2):  # the first to see how long it takes
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
    parser.add_argument("batches", type=int, nargs="+", help="images of each rank")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
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
