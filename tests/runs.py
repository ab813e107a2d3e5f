"""A small run with everything that a checkpoint must save; test_kill.py runs this file and kills it.

python tests/runs.py FOLDER trains, continuing from the latest checkpoint in the folder, and writes result.json there.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from fastcnn import data, nn, optim, training
from fastcnn.training.state import capture

EPOCHS, BATCHES = 3, 7


def make_run(*callbacks, optimizer="Adam", schedule="OneCycleLR", shared: bool = False, batch_size: int = 16):
    """Make a trainer, its loader and validation images: with Dropout, BatchNorm, shuffling and an incomplete batch."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCHES * 16 - 5, 1, 8, 8)).astype(np.float32)
    labels = (images[:, 0, :4].sum(axis=(1, 2)) > images[:, 0, 4:].sum(axis=(1, 2))).astype(np.int64)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.25, rng=rng), nn.Linear(36, 8, rng=rng), nn.ReLU(), nn.Dropout(0.1, rng=np.random.default_rng(5)),
        nn.Linear(8, 2, rng=rng),
    )  # fmt: skip
    parameters = model.parameters()
    steps = optim.Adam(parameters, 0.01) if optimizer == "Adam" else optim.SGD(parameters, 0.05, momentum=0.9)
    if schedule == "OneCycleLR":
        schedule = optim.OneCycleLR(steps, 0.02, total_steps=EPOCHS * BATCHES)
    elif schedule == "SequentialLR":
        schedule = optim.SequentialLR(steps, [optim.LinearLR(steps, 0.5), optim.StepLR(steps, 1, 0.5)], [2])
    else:
        schedule = schedule and optim.StepLR(steps, 1, 0.5)
    loader_rng = rng if shared else np.random.default_rng(7)
    loader = data.DataLoader(images, labels, batch_size, shuffle=True, rng=loader_rng)
    trainer = training.Trainer(model, steps, nn.CrossEntropyLoss(), schedule, callbacks)
    return trainer, loader, (images[:40], labels[:40])


def remaining(trainer) -> int:
    """Return the number of epochs until the end of the run."""
    return EPOCHS - len(trainer.history.epochs)


def outcome(trainer, loader) -> dict:
    """Return everything that must be bit-identical when a run is repeated, that is, all but the times."""
    return timeless(capture(trainer, loader))


def timeless(state: dict) -> dict:
    """Return the state of a run without the times."""
    times = "seconds", "images_per_second"
    epochs = [{key: epoch[key] for key in epoch if key not in times} for epoch in state["history"]["epochs"]]
    return {**state, "history": {**state["history"], "epochs": epochs}}


def exact(tree):
    """Convert a tree for JSON, with the exact bytes of its arrays."""
    if isinstance(tree, dict):
        return {key: exact(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [exact(value) for value in tree]
    return [tree.dtype.name, list(tree.shape), tree.tobytes().hex()] if isinstance(tree, np.ndarray) else tree


class Slowly(training.Callback):
    """Print the number of steps after each batch, and wait so that the process can be killed in between."""

    def on_batch_end(self, trainer):
        print(len(trainer.history.step_losses), flush=True)
        time.sleep(0.01)


def main(folder: Path) -> None:
    """Train from the latest checkpoint to the end."""
    checkpoint = training.Checkpoint(folder, every_steps=2)
    trainer, loader, validation = make_run(checkpoint, training.EarlyStopping(50), training.BestWeights(), Slowly())
    saved = training.latest_checkpoint(folder)
    if saved:
        saved.restore(trainer, loader)
    trainer.fit(loader, validation, remaining(trainer))
    (folder / "result.json").write_text(json.dumps(exact(outcome(trainer, loader))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
