"""Train the network of examples/cifar10.py in fastcnn and in PyTorch, in turns: the accuracy over the minutes.

Both use the same recipe, initial weights, batches and number of threads, and PyTorch the faster of its layouts of
memory. Training is timed from pictures in memory, with compiled kernels. After each epoch the clock stops, and the test
pictures are recognized by one view.
"""

import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import _measure
import _report
import _sides
import numpy as np

from fastcnn import data, training

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import cifar10 as example

COLUMNS = [
    ("epochs", "epochs", "g"),
    ("fastcnn, min", "minutes/fastcnn", ".2f"),
    ("test accuracy", "accuracy/fastcnn", ".2%"),
    ("PyTorch, min", "minutes/PyTorch", ".2f"),
    ("test accuracy", "accuracy/PyTorch", ".2%"),
    ("PyTorch / fastcnn", "ratio", ".2f"),
]


def main() -> int:
    parser = _report.Options(__doc__, rounds=(), processes=())
    add = parser.add_argument
    add("--recipe", choices=example.RECIPES, default="small", help="the example's recipe (default: %(default)s)")
    add("--data", metavar="DIR", default="cifar10", help="a folder of pictures (default: CIFAR-10, by download)")
    add("--seeds", type=int, metavar="N", default=1, help="number of seeds (default: %(default)s)")
    args = parser.parse()
    if args.seeds < 1:
        parser.error(f"--seeds is {args.seeds} but must be at least 1")
    recipe, folder = example.RECIPES[args.recipe], None if args.quick else args.data
    if args.quick:
        recipe = replace(recipe, widths=(4, 4, 4), epochs=1.5, batch_size=16)
    try:
        pictures(folder)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch")) as sides:
        watch, curves = _report.Watch(sides), []
        layouts = {name: side(first, name, recipe) for name, side in sides.items()}
        for seed in _report.progress(range(args.seeds), "seeds"):
            for name in sides if seed % 2 == 0 else reversed(sides):
                points = sides[name](curve, name, seed, recipe, folder, layouts[name])
                curves.append({"side": name, "seed": seed, "points": points})
        where = watch.environment()
    notes = [f"Data: {pictures(folder)[0].source}. {recipe}.", *_report.missing(sides, "PyTorch")]
    if "PyTorch" in layouts:
        notes.append(f"PyTorch's faster layout: {layouts['PyTorch']}.")
    title = f"{args.seeds} seed{'s' * (args.seeds > 1)}: medians of times, mean accuracies"
    tables = [_report.table(title, COLUMNS, rows(curves), notes)]
    return _report.finish(args, "accuracy_over_time", tables, where, curves=curves)


@cache
def pictures(folder: str | None) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """Load the training and test pictures; noise if there is no folder."""
    if folder is not None:
        return data.load(folder)
    _, images, labels = example.noise(replace(example.RECIPES["small"], batch_size=80))
    return tuple(data.ArrayDataset(images[part], labels[part], "noise") for part in np.split(np.arange(80), [64]))


def first(name: str, recipe) -> str:
    """Compile the kernels and wake the threads, and return the layout to use; call it on each side."""
    if name == "PyTorch":
        import _torch_cifar10

        return _torch_cifar10.faster_layout(recipe)
    example.train(*example.noise(recipe), seed=0)
    return "blocks"


def curve(name: str, seed: int, recipe, folder: str | None, layout: str) -> list[dict]:
    """Train once; return the epochs, minutes, accuracy and mean loss after each epoch. Call it on each side."""
    train_set, test_set = pictures(folder)
    x = example.Standardized(train_set.images)(test_set.images)
    epoch, steps = (number(len(train_set)) for number in (recipe.epoch, recipe.steps))
    points, losses, seconds, start = [], [], 0.0, time.perf_counter()

    def watch(step: int, loss: float, model) -> None:
        nonlocal seconds, start
        losses.append(loss)
        if step % epoch and step < steps:
            return
        seconds += time.perf_counter() - start
        accuracy = evaluate(model, x, test_set.labels)
        points.append({"epochs": step / epoch, "minutes": seconds / 60, "accuracy": accuracy})
        points[-1]["loss"] = float(np.mean(losses))
        losses.clear()
        start = time.perf_counter()

    given = recipe, train_set.images, train_set.labels, seed, watch
    if name == "PyTorch":
        import _torch_cifar10

        evaluate = _torch_cifar10.accuracy
        _torch_cifar10.train(*given, layout)
    else:
        evaluate = accuracy
        example.train(*given)
    _measure.wait_for_sleep()
    return points


def accuracy(model, x: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of standardized pictures that fastcnn's model recognizes."""
    return training.evaluate(model, x, labels).accuracy


def rows(curves: list[dict]) -> list[dict]:
    """Return a row for each epoch, over all seeds."""
    found = []
    for i, point in enumerate(curves[0]["points"]):
        at = {side: [it["points"][i] for it in curves if it["side"] == side] for side in ("fastcnn", "PyTorch")}
        at = {side: points for side, points in at.items() if points}
        minutes = {side: float(np.median([one["minutes"] for one in points])) for side, points in at.items()}
        means = {side: float(np.mean([one["accuracy"] for one in points])) for side, points in at.items()}
        ratio = {"ratio": minutes["PyTorch"] / minutes["fastcnn"]} if "PyTorch" in minutes else {}
        found.append({"epochs": point["epochs"], "minutes": minutes, "accuracy": means} | ratio)
    return found


if __name__ == "__main__":
    sys.exit(main())
