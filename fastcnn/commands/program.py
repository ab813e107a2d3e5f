"""``fastcnn program``: show the kernels of a training step, and how long each takes."""

import numpy as np

import fastcnn
from fastcnn import nn, training
from fastcnn.commands import network
from fastcnn.commands.arguments import Parser, choice, from_text, whole
from fastcnn.commands.errors import usage
from fastcnn.commands.parts import OPTIMIZERS
from fastcnn.training.compiling import Compiling

EXAMPLES = """\
  fastcnn program
  fastcnn program runs/lenet5-mnist --batch-size 1
  fastcnn program --model resnet20 --image-size 28 --channels 1 --optimizer sgd
"""


def parser() -> Parser:
    """Describe the options."""
    about = "Print the compiled kernels that a training step of a model runs, with the time of each."
    parser = Parser("fastcnn program", about, EXAMPLES)
    network.add_to(parser)
    images = "images in the batch (default: 128)"
    parser.add_argument("--batch-size", type=from_text(whole(1)), metavar="N", default=128, help=images)
    names = f"one of {', '.join(OPTIMIZERS)} (default: adam)"
    parser.add_argument("--optimizer", type=from_text(choice(*OPTIMIZERS)), metavar="NAME", default="adam", help=names)
    return parser


def run(args) -> int:
    """Run one training step, time its kernels, and print them."""
    with fastcnn.use_backend("numba"):
        compiling, rng = Compiling(), np.random.default_rng(0)
        model, loss = network.build(args, rng), nn.CrossEntropyLoss()
        optimizer = network.optimizer(args.optimizer, model)
        x = rng.standard_normal((args.batch_size, *model.input_shape), np.float32)
        labels = np.zeros(args.batch_size, np.int64)
        step = training.TrainStep(model, optimizer, loss)
        with usage():
            step(x, labels)
        (program,) = step.programs
        compiling.say()
        shape, threads = "x".join(map(str, model.input_shape)), fastcnn.get_num_threads()
        print(
            f"{type(model).__name__} and {args.optimizer}, a training step on {args.batch_size} images of {shape}, "
            f"on {threads} thread{'s' * (threads > 1)}\n\n{program.times()}"
        )
    return 0
