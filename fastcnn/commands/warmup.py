"""``python -m fastcnn warmup``: compile ahead."""

import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

import fastcnn
from fastcnn import backends, models, nn, optim
from fastcnn.commands.info import size


def warmup(batch_sizes: Sequence[int]) -> int:
    """Compile the kernels of LeNet-5, inference and training with every optimizer, by calling them all."""
    start = time.perf_counter()
    backends.load("numba")
    from fastcnn.backends.numba_direct import cache

    if cache.folder() is None:
        print("No folder can be written to keep kernels in: set NUMBA_CACHE_DIR to one that can.", file=sys.stderr)
        return 1
    print(f"Kernels are kept in {cache.folder()}.")
    with fastcnn.use_backend("numba"):
        # The bar waits until there is something to wait for, and until compiling was announced.
        for _ in tqdm(_calls(batch_sizes), "LeNet-5", 7 * len(batch_sizes), unit="call", delay=0.5):
            pass
    print(f"LeNet-5 is ready, after {time.perf_counter() - start:.1f} s; the kernels take {size(cache.folder())}.")
    return 0


def _calls(batch_sizes: Sequence[int]) -> Iterator[None]:
    """Call all that compiles something, and yield after each call: seven for every batch."""
    rng = np.random.default_rng(0)
    model, loss = models.LeNet5(rng=rng), nn.CrossEntropyLoss()
    parameters = list(model.parameters())
    optimizers = (
        optim.SGD(parameters, 0.01),
        optim.SGD(parameters, 0.01, momentum=0.9),
        optim.Adam(parameters),
        optim.RMSprop(parameters),
    )
    for N in batch_sizes:
        x, labels = rng.standard_normal((N, 1, 32, 32)).astype(np.float32), rng.integers(0, 10, N)
        y = model(x)
        yield
        loss(y, labels)
        dy = loss.backward()
        yield
        model.backward(dy, input_grad=False)
        yield
        for optimizer in optimizers:
            yield optimizer.step()
