"""Train one run of a recipe, going on from its last checkpoint, and write its record."""

import json
import statistics
from dataclasses import asdict
from pathlib import Path

import nets
import numpy as np
from callbacks import DecayWeights, Log
from images import PREPARE
from optimizers import OPTIMIZERS
from recipe import Recipe, Run

import fastcnn
from fastcnn import data, nn, optim, training


def load_data(folder: Path | None, quick: bool) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """MNIST, or a few embedded digits."""
    return data.digits(256, 100) if quick else data.mnist(folder)


def train(recipe: Recipe, run: Run, seed: int, datasets, out: Path, epochs: int, quick: bool) -> dict:
    """Train and return the record, which is in ``out`` then, beside the checkpoints and the weights.

    ``epochs`` may be fewer than the recipe's; the record's settings are the recipe's.

    Raises
    ------
    ValueError
        If `out` holds a run with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = json.loads(json.dumps({"recipe": recipe.name, "seed": seed, "quick": quick, **asdict(run)}))
    train_set, test_set = datasets
    images, test_images = PREPARE[run.images](train_set.images, test_set.images)

    rng = np.random.default_rng(seed)
    model = nets.build(run, rng)
    initial = model.state_dict()
    optimizer = OPTIMIZERS[run.optimizer](model.parameters(), **run.optimizer_options)
    schedule = getattr(optim, run.schedule)(optimizer, **run.schedule_options) if run.schedule else None
    loader = data.DataLoader(
        images, train_set.labels, run.batch_size, shuffle=True, rng=np.random.default_rng([seed, 1])
    )
    log = Log(run.log_every)
    callbacks = [log, training.Checkpoint(out, keep=1, settings=settings)]
    if run.weight_decay_of_weights:
        callbacks.append(DecayWeights(run.weight_decay_of_weights))
    trainer = training.Trainer(model, optimizer, nets.LOSSES[run.loss](), schedule, callbacks)
    if saved := training.latest_checkpoint(out):
        if not same_run(saved.settings, settings):
            raise ValueError(f"{out} holds a run with other settings; choose another --out, or delete it.")
        saved.restore(trainer, loader)
    trainer.fit(loader, (test_images, test_set.labels), max(0, epochs - len(trainer.history.epochs)))

    training.save_weights(model, out / "weights.safetensors")
    record = {
        "title": recipe.title,
        "notes": list(recipe.notes),
        "settings": settings,
        "environment": training.environment(),
        "data": {"source": train_set.source, "training_images": len(images), "test_images": len(test_images)},
        "figures": figures(run, model, trainer, (images, train_set.labels), log),
        "epochs": [epoch.to_dict() for epoch in trainer.history.epochs],
        "log": [{name: line[name] for name in ("steps", "loss", "accuracy")} for line in log.lines],
    }
    if run.pictures:
        from pictures import draw

        record["pictures"] = draw(model, test_images, test_set.labels, out)
    if run.against_pytorch and seed == run.seeds[0]:
        from against_pytorch import compare

        record["pytorch"] = compare(
            run, epochs, initial, (images, train_set.labels), (test_images, test_set.labels), seed
        )
        record["step_losses"] = trainer.history.step_losses
    write(out / "record.json", record)
    return record


def same_run(saved: dict | None, settings: dict) -> bool:
    """Whether a checkpoint is of this run; what it is held against, and other seeds, do not matter."""
    free = ("claims", "seeds")
    return {**(saved or {}), **dict.fromkeys(free)} == {**settings, **dict.fromkeys(free)}


def figures(run: Run, model: nn.Module, trainer, train_set, log: Log) -> dict:
    """What the write-ups' figures are held against. The seconds are of training alone, without the evaluation."""
    epochs, summary = trainer.history.epochs, nn.summarize(model)
    seconds = statistics.median(epoch.seconds for epoch in epochs)
    flop = 2 * summary.training_multiply_adds * len(train_set[0])
    test = [epoch.validation_accuracy for epoch in epochs]  # the test images are looked at after each epoch
    return {
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "test_accuracy": test[-1],
        "best_test_accuracy": max(test),
        "best_epoch": 1 + int(np.argmax(test)),
        "train_accuracy": training.evaluate(model, *train_set, loss=nets.LOSSES[run.loss]()).accuracy,
        "seconds_an_epoch": seconds,
        "seconds_for_30_epochs": 30 * seconds,
        "seconds": seconds * len(epochs),  # not the sum: an epoch in which the machine was busy or asleep says nothing
        "training_gflops": flop / seconds / 1e9,
        "log_lines": len(log.lines),
    }


def write(path: Path, record: dict) -> None:
    """Write a record."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def place(out: Path, recipe: str, run: str, seed: int) -> Path:
    """Where a run's files are."""
    return out / fastcnn.get_backend() / recipe / f"{run}-{seed}"
