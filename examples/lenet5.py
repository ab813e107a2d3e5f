"""Train LeNet-5 on MNIST, or on the built-in digits if MNIST is neither on disk nor can be downloaded.

python examples/lenet5.py --backend numba --out runs/lenet5
mpiexec -n 4 python examples/lenet5.py --distributed
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn import data, distributed, models, nn, optim, training
from fastcnn.commands.errors import sentence

LEARNING_RATES = {"adam": 0.006, "sgd": 0.1}  # maximum of the one-cycle schedule


def main() -> int:
    """Run the command line; return the exit code: 2 for wrong options, 1 if the loss diverges, 130 after Ctrl-C."""
    parser = command_line()
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a terminal may be unable to show a folder's name
    if not args.distributed:
        return run(parser, args)
    try:
        ranks = distributed.world()
    except ImportError as error:
        parser.error(str(error))
    with distributed.abort_on_error(ranks):
        return run(parser, args, ranks)


def run(parser: argparse.ArgumentParser, args: argparse.Namespace, ranks=None) -> int:
    """Train, in one process or together with other ranks, of which only the first prints and writes files."""
    first = ranks is None or ranks.Get_rank() == 0
    if not first:
        args.out = args.json = None
    try:
        fastcnn.set_backend(args.backend)
        if args.threads is not None:
            fastcnn.set_num_threads(args.threads)
        for folder in filter(None, (args.out, args.json and args.json.parent)):
            folder.mkdir(parents=True, exist_ok=True)
        if args.json:
            args.json.open("a").close()  # fail now, not after the training, if the file cannot be written
        train, test = data.mnist_or_digits(args.data)
        if args.limit is not None:
            train = train.limit(args.limit, np.random.default_rng(args.seed))
    except (ValueError, OSError) as error:
        parser.error(sentence(error))
    if first:
        counts = f"{len(train):,} training images, {len(test):,} test images, also used for validation"
        print(f"Data: {train.source}. {counts}.")

    # Pad 28x28 to LeNet-5's 32x32; standardize with the mean and standard deviation of the training images.
    mean, std = data.mean_and_std(train.images)
    images, test_images = (data.standardize(data.pad_images(part.images, 2), mean, std) for part in (train, test))

    rng = np.random.default_rng(args.seed)
    model = models.LeNet5(rng=rng)
    lr = LEARNING_RATES[args.optimizer] if args.lr is None else args.lr
    if args.optimizer == "adam":
        optimizer = optim.Adam(model.parameters(), lr, betas=(0.7, 0.9))
    else:
        optimizer = optim.SGD(model.parameters(), lr, momentum=0.9, nesterov=True)
    loader = data.DataLoader(images, train.labels, args.batch_size, shuffle=True, rng=rng)
    schedule = optim.OneCycleLR(optimizer, lr, total_steps=args.epochs * len(loader), cycle_momentum=False)
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule, distributed=ranks)
    threads = fastcnn.get_num_threads()  # read here, because ranks have divided the processors by now
    if first:
        each = f" on each of {ranks.Get_size()} ranks" if ranks and ranks.Get_size() > 1 else ""
        print(f"Backend: {args.backend}, {threads} thread{'s' * (threads > 1)}{each}.", flush=True)
    exit_code = 0
    try:
        trainer.fit(loader, (test_images, test.labels), args.epochs)
    except FloatingPointError as error:
        complaint, exit_code = str(error), 1
    except KeyboardInterrupt:
        batches, saving = len(trainer.history.step_losses), "; saving the weights" if args.out else ""
        complaint, exit_code = f"interrupted after {batches:,} batches{saving}.", 130
    if exit_code and first:
        print(f"{parser.prog}: {complaint}", file=sys.stderr)

    if args.out:
        save(args.out, model, trainer.history)
    if args.json:
        record = {
            "settings": {**vars(args), "lr": lr},
            "environment": training.environment(),
            "data": {"source": train.source, "training_images": len(train), "test_images": len(test)},
            "parameters": sum(parameter.size for parameter in model.parameters()),
            "finished": exit_code == 0,
            "epochs": [epoch.to_dict() for epoch in trainer.history.epochs],
        }
        args.json.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    return exit_code


def save(folder: Path, model: nn.Module, history: training.History) -> None:
    """Write weights, history and curves."""
    training.save_weights(model, folder / "weights.safetensors")
    history.to_json(folder / "history.json")
    history.to_csv(folder / "history.csv")
    try:
        fastcnn.plotting.plot_history(history).savefig(folder / "curves.png")
    except ImportError:
        print("Did not write curves.png, which needs matplotlib: pip install matplotlib.", file=sys.stderr)
    except ValueError as error:  # interrupted in the first epoch
        print(f"Did not write curves.png: {error}", file=sys.stderr)
    print(f"Written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}.")


def command_line() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = OneLineParser(prog="lenet5.py", description="Train LeNet-5 on MNIST.")
    add = parser.add_argument
    add("--backend", choices=("naive", "numpy", "numba"), default="numba", help="backend (default: %(default)s)")
    add("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA; else download; else digits)")
    add("--epochs", type=at_least(1), metavar="N", default=5, help="default: %(default)s")
    add("--batch-size", type=at_least(1), metavar="N", default=128, help="default: %(default)s")
    add("--optimizer", choices=("adam", "sgd"), default="adam", help="default: %(default)s")
    add("--lr", type=positive, metavar="RATE", help="maximum learning rate (default: adam 0.006, sgd 0.1)")
    add("--seed", type=at_least(0), metavar="N", default=0, help="seed of weights and order (default: %(default)s)")
    add("--threads", type=at_least(1), metavar="N", help="default: one for each processor that this process may use")
    add("--distributed", action="store_true", help="train together with the other ranks that mpiexec started")
    add("--limit", type=at_least(1), metavar="N", help="train on only N images, drawn at random with the seed")
    add("--out", type=Path, metavar="DIR", help="write history, curves and weights to this folder")
    add("--json", type=Path, metavar="FILE", help="write a record of the run to this file")
    return parser


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage message."""

    def error(self, message: str):
        """Print the message and exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def at_least(least: int):
    """Make the type of an option that is a whole number of at least ``least``."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return whole


def positive(text: str) -> float:
    """Parse an option that is a positive number."""
    try:
        if 0 < float(text) < float("inf"):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before or after the training
        sys.exit(130)
