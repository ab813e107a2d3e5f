"""``fastcnn warmup``: compile ahead."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

import fastcnn
from fastcnn import backends, models, nn, optim
from fastcnn.commands.arguments import Parser, from_text, whole
from fastcnn.commands.errors import CommandError
from fastcnn.commands.info import size

EXAMPLES = """\
  fastcnn warmup
  fastcnn warmup --batch-size 64 1
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Compile what LeNet-5 needs in float32, so that no program has to wait for it."
    parser = Parser("fastcnn warmup", about, EXAMPLES)
    parser.add_argument(
        "--batch-size",
        type=from_text(whole(1)),
        nargs="+",
        metavar="N",
        default=(1, 96, 128, 1000),
        help="images in a batch, one or more numbers (default: 128, which leaves 96 of MNIST, 1000 and 1)",
    )
    return parser


def run(args) -> int:
    """Compile the kernels of LeNet-5, inference and training with every optimizer, by calling them all."""
    start = time.perf_counter()
    backends.load("numba")
    from fastcnn.backends.numba_direct import cache

    folder = cache.folder()
    if folder is None:
        raise CommandError("No folder can be written to keep kernels in: set NUMBA_CACHE_DIR to one that can.")
    print(f"Kernels are kept in {folder}.")
    with fastcnn.use_backend("numba"):
        # The bar waits until there is something to wait for, and until compiling was announced.
        for _ in tqdm(_calls(args.batch_size), "LeNet-5", 7 * len(args.batch_size), unit="call", delay=0.5):
            pass
    print(f"LeNet-5 is ready, after {time.perf_counter() - start:.1f} s; the kernels take {size(folder)}.")
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
