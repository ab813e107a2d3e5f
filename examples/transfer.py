"""Learn two more classes from a few pictures: with a new head on a trained body, and from scratch.

python examples/transfer.py --data cifar10 --epochs 10 --pictures 20 --seeds 5
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

import fastcnn
from fastcnn import data, models, nn, optim, training
from fastcnn.commands.errors import sentence
from fastcnn.data import augment

NEW = 2  # the last classes, which the body is not trained on


class Pictures:
    """Pictures of some classes of a data set, with their preprocessing and augmentation.

    Parameters
    ----------
    train, test : Dataset
    classes : range
        The classes to keep; the first one gets label 0.
    moments : (ndarray, ndarray)
        Mean and standard deviation of the channels.
    """

    def __init__(self, train: data.Dataset, test: data.Dataset, classes: range, moments: tuple):
        self.train, self.test = (part.take(np.flatnonzero(np.isin(part.labels, classes))) for part in (train, test))
        self.first, self.moments = classes.start, moments

    def few(self, count: int, rng: np.random.Generator) -> "Pictures":
        """Draw ``count`` training pictures of each class at random."""
        labels = self.train.labels
        drawn = [rng.choice(np.flatnonzero(labels == label), count, replace=False) for label in np.unique(labels)]
        few = copy.copy(self)
        few.train = self.train.take(np.concatenate(drawn))
        return few

    def batches(self, size: int, epochs: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of training pictures, each flipped at random and shifted by up to four pixels."""
        vary = augment.Compose(augment.HorizontalFlip(), augment.PadAndCrop(4, self.train.images.shape[2]))
        loader = data.DataLoader(self.train.images, self.train.labels, size, shuffle=True, rng=rng, augment=vary)
        for _ in range(epochs):
            for images, labels in loader:
                yield self.floats(images), labels - self.first

    def accuracy(self, model: nn.Module) -> float:
        """Return the accuracy of a model on the test pictures."""
        return training.evaluate(model, self.floats(self.test.images), self.test.labels - self.first).accuracy

    def floats(self, images: np.ndarray) -> np.ndarray:
        """Standardize images for the model."""
        return data.standardize(images, *self.moments)


def net(pictures: Pictures, classes: int, rng: np.random.Generator) -> nn.Sequential:
    """Build a ResNet-20."""
    _, C, size, _ = pictures.train.images.shape
    return models.ResNet20(classes, C, size, rng=rng)


def train(
    model: nn.Sequential, groups: list, lr, pictures: Pictures, size: int, epochs: int, rng, bar: str = ""
) -> float:
    """Train with a one-cycle schedule; return the seconds."""
    count = epochs * -(-len(pictures.train) // size)
    optimizer = optim.SGD(groups, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.OneCycleLR(optimizer, lr, total_steps=count, cycle_momentum=False)
    step = training.TrainStep(model, optimizer, nn.CrossEntropyLoss())
    start = time.perf_counter()
    batches = pictures.batches(size, epochs, rng)
    for images, labels in tqdm(batches, bar, count, leave=False, disable=None if bar else True):
        step(images, labels)
        schedule.step()
    return time.perf_counter() - start


def with_head(body: nn.Sequential, rng: np.random.Generator) -> nn.Sequential:
    """Copy the trained model with a new last layer."""
    model = copy.deepcopy(body)
    model.layers = (*model.layers[:-1], nn.Linear(model[-1].in_features, NEW, rng=rng))
    return model


def head(body: nn.Sequential, pictures: Pictures, rng: np.random.Generator) -> tuple[nn.Sequential, list, list]:
    """Freeze the body, with its batch normalization in evaluation mode: only the new head is trained."""
    model = with_head(body, rng).eval()
    for layer in model.layers[:-1]:
        layer.requires_grad_(False)
    return model, [{"params": model.parameters()}], [0.1]


def both(body: nn.Sequential, pictures: Pictures, rng: np.random.Generator) -> tuple[nn.Sequential, list, list]:
    """Train the body too, with a hundredth of the head's learning rate."""
    model = with_head(body, rng).train()
    parts = [parameter for layer in model.layers[:-1] for parameter in layer.parameters()]
    return model, [{"params": model[-1].parameters()}, {"params": parts}], [0.1, 0.001]


def nothing(body: nn.Sequential, pictures: Pictures, rng: np.random.Generator) -> tuple[nn.Sequential, list, list]:
    """Train the same net from new initial weights."""
    model = net(pictures, NEW, rng)
    return model, [{"params": model.parameters()}], [0.1]


WAYS: dict[str, Callable] = {"head": head, "head and body": both, "from nothing": nothing}


def compare(body: nn.Sequential, pictures: Pictures, count: int, epochs: int, seeds: int) -> list[dict]:
    """Train in each way on the same pictures, for each seed."""
    runs = []
    for seed in range(seeds):
        few = pictures.few(count, np.random.default_rng(seed))
        for way, make in WAYS.items():
            rng = np.random.default_rng(seed)
            train(*make(body, few, rng), few, NEW * count, 2, rng)  # compiles the kernels
            model, groups, lr = make(body, few, rng)
            seconds = train(model, groups, lr, few, NEW * count, epochs, rng)
            runs.append({"way": way, "seed": seed, "seconds": seconds, "test_accuracy": few.accuracy(model)})
            print(f"seed {seed}, {way}: {runs[-1]['test_accuracy']:.2%} after {seconds:.2f} s", flush=True)
    return runs


def main() -> int:
    """Run the command line; return the exit code: 0, 2 for wrong options, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="transfer.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", default="cifar10", help="a data set or a folder of pictures (default: %(default)s)")
    add("--limit", type=int, metavar="N", help="train the body on N pictures (default: all)")
    add("--epochs", type=int, metavar="N", default=10, help="epochs of the body (default: %(default)s)")
    add("--batch-size", type=int, metavar="N", default=128, help="batch size of the body (default: %(default)s)")
    add("--pictures", type=int, metavar="N", default=20, help="pictures of each new class (default: %(default)s)")
    add("--new-epochs", type=int, metavar="N", default=60, help="epochs on these pictures (default: %(default)s)")
    add("--seeds", type=int, metavar="N", default=5, help="number of draws of the pictures (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="default: one for each processor that this process may use")
    add("--json", type=Path, metavar="FILE", help="write a record to this file")
    args = parser.parse_args()
    try:
        for name in ("epochs", "batch_size", "pictures", "new_epochs", "seeds"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(args, name)} but must be at least 1")
        if args.threads is not None:
            fastcnn.set_num_threads(args.threads)
        train_set, test_set = data.load(args.data)
        if args.json:
            args.json.open("a").close()  # fail now, not after the training, if the file cannot be written
        known = len(train_set.classes) - NEW
        if known < 2:
            raise ValueError(f"--data has {len(train_set.classes)} classes but needs at least {NEW + 2}")
        moments = data.mean_and_std(train_set.images)
        old, new = (
            Pictures(train_set, test_set, classes, moments) for classes in (range(known), range(known, known + NEW))
        )
        if args.limit is not None:
            old.train = old.train.limit(args.limit, np.random.default_rng(0))
        if args.pictures > np.bincount(new.train.labels)[known:].min():
            raise ValueError(f"--pictures is {args.pictures}, but a class has fewer")
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {sentence(error)}\n")

    rng = np.random.default_rng(0)
    body = net(old, known, rng)
    groups = [{"params": body.parameters()}]
    seconds = train(body, groups, 0.1, old, args.batch_size, args.epochs, rng, f"{known} classes")
    accuracy = old.accuracy(body)
    print(f"{known} classes, {len(old.train)} pictures: {accuracy:.2%} after {seconds:.1f} s", flush=True)

    runs = compare(body, new, args.pictures, args.new_epochs, args.seeds)
    print(f"{NEW} classes, {args.pictures} pictures of each, {args.new_epochs} steps; mean of {args.seeds} seeds:")
    for way in WAYS:
        own = [run for run in runs if run["way"] == way]
        accuracies = [run["test_accuracy"] for run in own]
        middle = float(np.median([run["seconds"] for run in own]))
        print(f"{way:14} {np.mean(accuracies):7.2%} ± {np.std(accuracies):.2%}, {middle:.2f} s")
    if args.json:
        trained = {"classes": known, "pictures": len(old.train), "seconds": seconds, "test_accuracy": accuracy}
        options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        record = {"options": options, "body": trained, "runs": runs, "environment": training.environment()}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
