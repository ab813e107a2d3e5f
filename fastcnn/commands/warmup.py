"""``fastcnn warmup``: compile the kernels of a model ahead of time."""

import time
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

import fastcnn
from fastcnn import backends, functional, nn, optim
from fastcnn.commands import network
from fastcnn.commands.arguments import Parser, choice, from_text, whole
from fastcnn.commands.errors import CommandError, usage
from fastcnn.commands.info import size
from fastcnn.commands.parts import OPTIMIZERS
from fastcnn.nn.recording import layer_by_layer
from fastcnn.training import evaluation

EXAMPLES = """\
  fastcnn warmup
  fastcnn warmup --model resnet20 --image-size 32 --optimizer sgd
  fastcnn warmup runs/vgg7-pictures --batch-size 64 100
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Compile the float32 kernels of a model, for training and inference, so that no program has to wait."
    parser = Parser("fastcnn warmup", about, EXAMPLES)
    network.add_to(parser)
    parser.add_argument(
        "--batch-size",
        type=from_text(whole(1)),
        nargs="+",
        metavar="N",
        default=[128],
        help="images in a training batch, one or more numbers (default: 128)",
    )
    parser.add_argument(
        "--optimizer",
        type=from_text(choice(*OPTIMIZERS)),
        nargs="+",
        metavar="NAME",
        default=[*OPTIMIZERS],
        help=f"one or more of {', '.join(OPTIMIZERS)} (default: all)",
    )
    return parser


def run(args) -> int:
    """Find out which kernels the model needs, without computing anything, and compile those that are missing."""
    start = time.perf_counter()
    backend = backends.load("numba")
    from fastcnn.backends.numba_direct.runtime import cache, compile, launch

    folder = cache.folder()
    if folder is None:
        raise CommandError("There is no writable folder for kernels: set NUMBA_CACHE_DIR to a folder that is writable.")
    print(f"Kernels are kept in {folder}.", flush=True)
    before = backend.compiled()
    with fastcnn.use_backend("numba"), compile.rehearsing() as needed, np.errstate(all="ignore"):
        model = network.build(args, np.random.default_rng(0))
        with usage(), layer_by_layer():  # needs the same kernels, and keeps no memory
            _rehearse(model, args.batch_size, args.optimizer)
    launch.compile_all()
    # The bar appears late: not at all if nothing is compiled, and only after the announcement of compiling.
    for kernel, kinds in tqdm(needed, type(model).__name__, unit="kernel", delay=0.5):
        kernel.compile(kinds)
    done = backend.compiled()
    backend.reported()
    print(
        f"{type(model).__name__} is ready, after {time.perf_counter() - start:.1f} s: {len(needed) + 4} kernels, of "
        f"which {done.kernels - before.kernels} were compiled in {done.seconds - before.seconds:.1f} s. "
        f"All cached kernels take {size(folder)}."
    )
    return 0


def _rehearse(model: nn.Sequential, batch_sizes: Sequence[int], optimizers: Sequence[str]) -> None:
    """Call what training, evaluation and inference call, with every batch size that needs other kernels."""
    backend, losses = backends.load(), [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)]
    for N in _sizes(*batch_sizes):
        y, labels = model(_images(model, N)), np.zeros(N, np.int64)
        for loss in losses:
            backend.stop_unless_finite(np.array(loss(y, labels)))
            loss.backward()
        model.backward(np.zeros_like(y), input_grad=False)
    for name in optimizers:
        network.optimizer(name, model).step()
        if name == "sgd":  # its default has momentum; compile plain SGD, too
            optim.SGD(model.parameters(), 0.1).step()
    optim.ExponentialMovingAverage(model).update()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    # The two operations of `clip_grad_norm`, which cannot be called itself: it branches on the computed norm.
    backend.squared_norm(grads)
    backend.scaled(grads, 1.0)
    model.eval()
    for N in _sizes(evaluation.BATCH_SIZE):
        functional.softmax(model(_images(model, N)))
    infer = model.compile_inference()
    for N in (1, *_sizes(infer.batch_size)):
        infer(_images(model, N))


def _sizes(*largest: int) -> list[int]:
    """List one batch size for each number of blocks up to these sizes: tiles depend on the number of blocks."""
    from fastcnn.backends.numba_direct.runtime.processor import lanes

    block = lanes(np.float32)
    return sorted({min(N, end) for N in largest for end in range(block, N + block, block)})


def _images(model: nn.Sequential, N: int) -> np.ndarray:
    return np.zeros((N, *model.input_shape), np.float32)
