"""Time an epoch of LeNet-5 in fastcnn, in PyTorch and in a NumPy im2row network.

The images are MNIST's if --data or FASTCNN_DATA names its folder, otherwise as many built-in digits.
"""

import os
import sys
from pathlib import Path

import _measure
import _nets
import _report
import _sides
import im2row
import numpy as np

EPOCH, BATCH_SIZE = 60_000, 128
LENGTH = 3000  # approximate number of roundings from a pixel to a loss
# The losses of two libraries must agree to APART for SAME_STEPS steps. Rounding errors grow afterwards: on MNIST,
# PyTorch's losses in its two memory formats differ by 1e-6 after 50 steps, while the loss falls, and 3e-2 after 100.
SAME_STEPS, APART = 50, 1e-3


def main() -> int:
    parser = _report.Options(__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA, or no MNIST)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", default=3, help="epochs in each process (default: %(default)s; quick: 2)"
    )
    args = parser.parse()
    folder = args.data or os.environ.get("FASTCNN_DATA")
    folder = folder and str(folder)
    if args.epochs < 1:
        parser.error(f"--epochs is {args.epochs} but must be at least 1")
    try:
        _nets.training_data(folder, 1)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    setups = _sides.on(args.threads, "fastcnn", "PyTorch", "NumPy")
    with _measure.start(setups) as sides:
        watch = _report.Watch(sides)
        apart = compare_gradients(sides, folder)
        epochs, curves = epoch_table(args, folder)
        tables = [epochs, im2row_table(args, folder, apart)]
        where = watch.environment()
    for table in tables:
        table["notes"] += _report.missing(sides, "PyTorch")
    return _report.finish(args, "lenet5", tables, where, curves=curves)


def epoch_table(args, folder) -> tuple[dict, dict]:
    """Time epochs in turns; each library continues its own training. Return the table and the losses of all steps."""
    limit, epochs, processes = (512, 2, 1) if args.quick else (EPOCH, args.epochs, args.timing["processes"])
    contenders = {
        "fastcnn": ("fastcnn", _nets.Epoch, _nets.FastcnnStep, folder, limit, BATCH_SIZE),
        "PyTorch": ("PyTorch", _nets.Epoch, _nets.TorchStep, folder, limit, BATCH_SIZE),
        "PyTorch, channels_last": ("PyTorch", _nets.Epoch, _nets.TorchStep, folder, limit, BATCH_SIZE, "lenet5", True),
    }
    row = _measure.race(
        _sides.on(args.threads, "fastcnn", "PyTorch"),
        contenders,
        rounds=epochs * processes,
        processes=processes,
        seconds=0,
        length=LENGTH,
        reference=lambda: _nets.numpy_loss(folder, limit, BATCH_SIZE),
        collect="losses",
    )
    curves = {name: np.array(losses) for name, losses in row.pop("collected").items()}
    rows = by_library(row)
    for record in rows:
        if (curve := curves.get(record["library"])) is not None:
            means = curve.reshape(epochs, -1).mean(axis=1)
            record |= {"first_epoch_loss": means[0], "last_epoch_loss": means[-1]}
            if "fastcnn" in curves:
                record["apart"] = float(np.abs(curve / curves["fastcnn"] - 1)[:SAME_STEPS].max())
                if record["apart"] > APART:
                    record["wrong"] = {"curve": f"{record['library']} is wrong: its losses differ from fastcnn's."}
    columns = [
        ("library", "library", ""),
        ("epoch, s", "s", ".3f"),
        ("times fastcnn's", "ratio", ".2f"),
        ("mean loss of epoch 1", "first_epoch_loss", ".4f"),
        (f"of epoch {epochs}", "last_epoch_loss", ".4f"),
        (f"first {SAME_STEPS} losses apart from fastcnn's", "apart", ".1e"),
    ]
    title = f"An epoch of {limit:,} images, batch {BATCH_SIZE}, SGD with momentum"
    notes = [f"Data: {_nets.training_data(folder, limit)[2]}."]
    losses = {name: np.round(curve, 6).tolist() for name, curve in curves.items()}
    return _report.table(title, columns, rows, notes), losses


def im2row_table(args, folder, apart: float) -> dict:
    """Time a part of an epoch in fastcnn and in the NumPy im2row network; return a table."""
    batches, limit = (1, 512) if args.quick else (20, EPOCH)
    part = batches * BATCH_SIZE
    contenders = {
        "fastcnn": ("fastcnn", _nets.Epoch, _nets.FastcnnStep, folder, part, BATCH_SIZE),
        "NumPy im2row": ("NumPy", _nets.Epoch, Im2rowStep, folder, part, BATCH_SIZE),
    }
    row = _measure.race(
        _sides.on(args.threads, "fastcnn", "NumPy"),
        contenders,
        rounds=min(args.timing["rounds"], 6),
        processes=args.timing["processes"],
        seconds=0,
        length=LENGTH,
        reference=lambda: _nets.numpy_loss(folder, part, BATCH_SIZE),
    )
    columns = [("library", "library", ""), ("epoch, s", "s", ".2f"), ("times fastcnn's", "ratio", ".1f")]
    notes = [
        f"Timed on {batches} batches of {BATCH_SIZE} images and scaled to the {limit:,} of an epoch.",
        f"NumPy's steps are plain SGD. Its gradients were first compared with fastcnn's: they differ by {apart:.1e}.",
    ]
    return _report.table("An epoch against a NumPy im2row network", columns, by_library(row, limit / part), notes)


def by_library(row: dict, scale: float = 1.0) -> list[dict]:
    """Return a row for each contender of a race, with its seconds multiplied by ``scale``."""
    rows = [
        {"library": name, "s": scale * time["ms"] / 1e3, "ratio": row["ratios"][name].get("fastcnn"), **time}
        for name, time in row["times"].items()
    ]
    return rows + [{"library": name, "wrong": {name: sentence}} for name, sentence in row["wrong"].items()]


class Im2rowStep:
    """A step of the NumPy im2row network."""

    net, batches = "lenet5", _nets.FastcnnStep.batches

    def __init__(self):
        self.model = im2row.LeNet5(_nets.model(self.net).state_dict())

    def __call__(self, images, labels) -> float:
        """Train on one batch; return the loss before the step."""
        loss, _ = self.model.gradients(images, labels)
        self.model.update(_nets.LEARNING_RATE)
        return loss


def compare_gradients(sides, folder) -> float:
    """Return the largest relative difference between the gradients of the im2row network and fastcnn's."""
    expected = sides["fastcnn"](fastcnn_gradients, folder)
    actual = sides["NumPy"](im2row_gradients, folder)
    apart = max(_measure.relative_error(a, b) for a, b in zip(actual, expected, strict=True))
    if apart > _measure.tolerance(LENGTH):
        raise RuntimeError(f"The gradients of the im2row network differ from fastcnn's by {apart:.1e}.")
    return apart


def fastcnn_gradients(folder) -> list[np.ndarray]:
    step = _nets.FastcnnStep()
    step.optimizer.lr = 0.0
    step(*step.batches(folder, BATCH_SIZE, BATCH_SIZE)[0])
    return [parameter.grad for parameter in step.model.parameters()]


def im2row_gradients(folder) -> list[np.ndarray]:
    step = Im2rowStep()
    return step.model.gradients(*step.batches(folder, BATCH_SIZE, BATCH_SIZE)[0])[1]


if __name__ == "__main__":
    sys.exit(main())
