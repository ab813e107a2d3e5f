"""Train one run of a recipe, continuing from its last checkpoint, and write its record."""

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
    """Load MNIST, or a few built-in digits."""
    return data.digits(256, 100) if quick else data.mnist(folder)


def train(recipe: Recipe, run: Run, seed: int, datasets, out: Path, epochs: int, quick: bool) -> dict:
    """Train, write record, checkpoints and weights to ``out``, and return the record.

    ``epochs`` may be fewer than in the recipe; the settings in the record are always those of the recipe.

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
    """Whether a checkpoint belongs to this run; claims and the list of seeds may differ."""
    free = ("claims", "seeds")
    return {**(saved or {}), **dict.fromkeys(free)} == {**settings, **dict.fromkeys(free)}


def figures(run: Run, model: nn.Module, trainer, train_set, log: Log) -> dict:
    """Return the figures to compare with those of the write-ups; seconds are those of training without evaluation."""
    epochs, summary = trainer.history.epochs, nn.summarize(model)
    seconds = statistics.median(epoch.seconds for epoch in epochs)
    flop = 2 * summary.training_multiply_adds * len(train_set[0])
    test = [epoch.validation_accuracy for epoch in epochs]  # the test images are the validation images
    return {
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "test_accuracy": test[-1],
        "best_test_accuracy": max(test),
        "best_epoch": 1 + int(np.argmax(test)),
        "train_accuracy": training.evaluate(model, *train_set, loss=nets.LOSSES[run.loss]()).accuracy,
        "seconds_an_epoch": seconds,
        "seconds_for_30_epochs": 30 * seconds,
        "seconds": seconds * len(epochs),  # not the sum, as the machine may be busy or asleep during some epochs
        "training_gflops": flop / seconds / 1e9,
        "log_lines": len(log.lines),
    }


def write(path: Path, record: dict) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def place(out: Path, recipe: str, run: str, seed: int) -> Path:
    """Return the folder of a run."""
    return out / fastcnn.get_backend() / recipe / f"{run}-{seed}"
