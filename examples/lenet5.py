"""Train LeNet-5 on MNIST, or on the embedded digits where there is neither MNIST nor a network.

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

LEARNING_RATES = {"adam": 0.006, "sgd": 0.1}  # the highest of the one-cycle schedule


def main() -> int:
    """Run the command line; the exit code is 0, 2 for wrong options, 1 if the loss explodes, 130 after Ctrl-C."""
    parser = command_line()
    args = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # names of folders that the terminal cannot show
    if not args.distributed:
        return run(parser, args)
    try:
        ranks = distributed.world()
    except ImportError as error:
        parser.error(str(error))
    with distributed.abort_on_error(ranks):
        return run(parser, args, ranks)


def run(parser: argparse.ArgumentParser, args: argparse.Namespace, ranks=None) -> int:
    """Train, by oneself or together with the other ranks, of which the first alone prints and writes."""
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
            args.json.open("a").close()  # what cannot be written is said now, not after the training
        train, test = data.mnist_or_digits(args.data)
        if args.limit is not None:
            train = train.limit(args.limit, np.random.default_rng(args.seed))
    except (ValueError, OSError) as error:
        parser.error(sentence(error))
    if first:
        counts = f"{len(train):,} training images, {len(test):,} test images, which are the validation"
        print(f"Data: {train.source}; {counts}.")

    # 28x28 is padded to LeNet-5's 32x32; the training images decide what mean 0 and standard deviation 1 are
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
    threads = fastcnn.get_num_threads()  # each rank has its share of the processors now
    if first:
        each = f" on each of {ranks.Get_size()} ranks" if ranks and ranks.Get_size() > 1 else ""
        print(f"Backend: {args.backend}, {threads} thread{'s' * (threads > 1)}{each}.", flush=True)
    exit_code = 0
    try:
        trainer.fit(loader, (test_images, test.labels), args.epochs)
    except FloatingPointError as error:
        complaint, exit_code = str(error), 1
    except KeyboardInterrupt:
        batches, saving = len(trainer.history.step_losses), ", saving what was learned" if args.out else ""
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
        print('No curves.png: it needs matplotlib, pip install "fastcnn[plot]".', file=sys.stderr)
    except ValueError as error:  # interrupted in the first epoch
        print(f"No curves.png: {error}", file=sys.stderr)
    print(f"Written to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}.")


def command_line() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = OneLineParser(prog="lenet5.py", description="Train LeNet-5 on MNIST.")
    add = parser.add_argument
    add("--backend", choices=("naive", "numpy", "numba"), default="numba", help="what computes (default: %(default)s)")
    add("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA; else download; else digits)")
    add("--epochs", type=at_least(1), metavar="N", default=5, help="default: %(default)s")
    add("--batch-size", type=at_least(1), metavar="N", default=128, help="default: %(default)s")
    add("--optimizer", choices=("adam", "sgd"), default="adam", help="default: %(default)s")
    add("--lr", type=positive, metavar="RATE", help="highest learning rate (default: adam 0.006, sgd 0.1)")
    add("--seed", type=at_least(0), metavar="N", default=0, help="of weights and order (default: %(default)s)")
    add("--threads", type=at_least(1), metavar="N", help="default: one for each processor that this process may use")
    add("--distributed", action="store_true", help="train together with the other ranks that mpiexec started")
    add("--limit", type=at_least(1), metavar="N", help="train on N images only, drawn at random by the seed")
    add("--out", type=Path, metavar="DIR", help="write history, curves and weights there")
    add("--json", type=Path, metavar="FILE", help="write the run's record there")
    return parser


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str):
        """Print the message and exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def at_least(least: int):
    """Type of an option: a whole number from ``least``."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return whole


def positive(text: str) -> float:
    """Type of an option: a positive number."""
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
