"""Time training to 99 % on MNIST with a recipe of examples/mnist_99.py, in fastcnn and in PyTorch, in turns.

Both use the same initial weights, batches and number of threads. The training is timed from raw images in memory to a
trained net, with compiled kernels. Whole processes are timed, too, with and without compiled kernels. Without MNIST
(--data, FASTCNN_DATA) both train on built-in digits, which only checks that the program works.
"""

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import _measure
import _report
import _sides
import numpy as np

import fastcnn
from fastcnn import data, training

EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist_99.py"
sys.path.insert(0, str(EXAMPLE.parent))

import mnist_99 as example  # noqa: E402

COLUMNS = [
    ("seed", "seed", "d"),
    ("fastcnn, s", "seconds/fastcnn", ".3f"),
    ("test accuracy", "accuracy/fastcnn", ".2%"),
    ("GFLOP/s", "gflops", ".0f"),
    ("% of peak", "share", ".0f"),
    ("PyTorch, s", "seconds/PyTorch", ".3f"),
    ("test accuracy", "accuracy/PyTorch", ".2%"),
    ("PyTorch / fastcnn", "ratio", ".2f"),
]


def main() -> int:
    parser = _report.Options(__doc__, rounds=(), processes=())
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA, or no MNIST)")
    parser.add_argument("--goal", choices=example.RECIPES, default="99", help="the example's goal: %% of test images")
    parser.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: 10; quick: 1)")
    args = parser.parse()
    recipe, folder = example.RECIPES[args.goal], args.data or os.environ.get("FASTCNN_DATA")
    seeds = range(args.seeds or (1 if args.quick else 10))
    job = (recipe, folder and str(folder), args.quick)
    with _measure.start(_sides.on(args.threads, "fastcnn", "PyTorch")) as sides:
        watch, runs = _report.Watch(sides), []
        for name, side in sides.items():
            side(first, name, *job)
        for seed in _report.progress(seeds, "seeds"):
            turns = list(sides.items()) if seed % 2 == 0 else list(reversed(sides.items()))
            runs.append((seed, {name: side(timed, name, seed, *job) for name, side in turns}))
        where = watch.environment()
    images = len(images_of(*job[1:])[0].images)
    gflop = example.gflop(recipe, images)
    rows = [row(seed, run, gflop, where["peak_gflops"]) for seed, run in runs]
    rows.append(summary(rows))
    notes = [f"Data: {images_of(*job[1:])[0].source}. {recipe}: {gflop:.1f} GFLOP.", *_report.missing(sides, "PyTorch")]
    tables = [_report.table(f"To {args.goal} % of MNIST; the last row: medians, mean accuracies", COLUMNS, rows, notes)]
    if not args.quick:
        tables.append(processes(args, folder))
    return _report.finish(args, "time_to_accuracy", tables, where)


@cache
def images_of(folder: str | None, quick: bool) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """Load the training and test images."""
    return data.digits(256, 100) if quick or folder is None else data.mnist(folder)


def first(name: str, recipe, folder: str | None, quick: bool) -> None:
    """Load the images, compile the kernels and wake the threads; call it on each side."""
    images_of(folder, quick)
    TRAIN[name](*example.noise(recipe), seed=0)


def timed(name: str, seed: int, recipe, folder: str | None, quick: bool) -> tuple[float, float]:
    """Train once; return the seconds and the test accuracy. Call it on each side."""
    train_set, test_set = images_of(folder, quick)
    start = time.perf_counter()
    model, moments = TRAIN[name](recipe, train_set.images, train_set.labels, seed)
    seconds = time.perf_counter() - start
    _measure.wait_for_sleep()
    images = example.floats(test_set.images, *moments)
    if name == "PyTorch":
        import torch

        with torch.inference_mode():
            predictions = model(torch.from_numpy(images)).argmax(dim=1).numpy()
        return seconds, float(np.mean(predictions == test_set.labels))
    return seconds, training.evaluate(model, images, test_set.labels).accuracy


def train_torch(recipe, images: np.ndarray, labels: np.ndarray, seed: int):
    """Train like `example.train` in PyTorch, with the same preprocessing, initial weights and batches."""
    import torch
    from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential

    rng = np.random.default_rng(seed)
    moments = example.moments_of(images)
    one, two = recipe.filters
    model = Sequential(
        Conv2d(1, one, 5), ReLU(), MaxPool2d(2), Conv2d(one, two, 3), ReLU(), MaxPool2d(2),
        Flatten(), Linear(two * 25, 10),
    )  # fmt: skip
    state = example.build(recipe, rng).state_dict()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, recipe.betas, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, recipe.steps(len(images)), cycle_momentum=False
    )
    loss = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for x, t in example.batches(recipe, images, labels, moments, rng):
        optimizer.zero_grad()
        loss(model(torch.from_numpy(x)), torch.from_numpy(t)).backward()
        optimizer.step()
        schedule.step()
    return model, moments


TRAIN = {"fastcnn": example.train, "PyTorch": train_torch}


def row(seed: int, run: dict, gflop: float, peak: float) -> dict:
    """Return the row of one seed."""
    seconds, accuracy = ({name: it[i] for name, it in run.items()} for i in (0, 1))
    gflops = gflop / seconds["fastcnn"]
    ratio = {"ratio": seconds["PyTorch"] / seconds["fastcnn"]} if "PyTorch" in seconds else {}
    return {
        "seed": seed,
        "seconds": seconds,
        "accuracy": accuracy,
        "gflops": gflops,
        "share": 100 * gflops / peak,
    } | ratio


def summary(rows: list[dict]) -> dict:
    """Return a row with the medians of times and ratios, and the means of accuracies."""
    names = rows[0]["seconds"]
    return {
        "seconds": {name: float(np.median([row["seconds"][name] for row in rows])) for name in names},
        "accuracy": {name: float(np.mean([row["accuracy"][name] for row in rows])) for name in names},
        **{key: float(np.median([row[key] for row in rows])) for key in ("gflops", "share", "ratio") if key in rows[0]},
    }


def processes(args, folder) -> dict:
    """Time whole runs of `python examples/mnist_99.py --seeds 1`, with empty and with filled kernel caches."""
    command = [sys.executable, str(EXAMPLE), "--seeds", "1", "--goal", args.goal, "--threads", str(args.threads)]
    if folder:
        command += ["--data", str(folder)]
    path = os.pathsep.join(filter(None, (str(Path(fastcnn.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    rows = []
    with tempfile.TemporaryDirectory() as kernels:
        for what in ("no kernel cached", *["kernels cached"] * 3):
            start = time.perf_counter()
            environment = {**os.environ, "NUMBA_CACHE_DIR": kernels, "PYTHONPATH": path}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
            rows.append({"what": what, "s": time.perf_counter() - start})
    return _report.table("The whole process, one seed", [("with", "what", ""), ("s", "s", ".2f")], rows)


if __name__ == "__main__":
    sys.exit(main())
