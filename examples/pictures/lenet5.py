"""LeNet-5 after five epochs on MNIST: its curves, its mistakes, and its feature maps of a digit."""

from functools import cache
from typing import NamedTuple

import numpy as np

from fastcnn import data, models, nn, optim, plotting, training


class Run(NamedTuple):
    """A trained model, and what it was measured on."""

    model: nn.Module
    history: training.History
    result: training.Evaluation
    pixels: data.Dataset
    images: np.ndarray


@cache
def trained() -> Run:
    """Train it as examples/lenet5.py does by default, a few seconds."""
    train, test = data.mnist()
    statistics = data.mean_and_std(train.images)
    images, held_out = (data.standardize(data.pad_images(part.images, 2), *statistics) for part in (train, test))
    rng = np.random.default_rng(0)
    model = models.LeNet5(rng=rng)
    optimizer = optim.Adam(model.parameters(), lr=0.006, betas=(0.7, 0.9))
    batches = data.DataLoader(images, train.labels, batch_size=128, shuffle=True, rng=rng)
    schedule = optim.OneCycleLR(optimizer, 0.006, total_steps=5 * len(batches), cycle_momentum=False)
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), schedule)
    history = trainer.fit(batches, (held_out, test.labels), epochs=5)
    return Run(model, history, training.evaluate(model, held_out, test.labels), test, held_out)


def curves():
    """Loss and accuracy by epoch."""
    return plotting.plot_history(trained().history, "validation_accuracy")


def mistakes():
    """The test images that the network gets wrong, the most confident first."""
    run = trained()
    return plotting.plot_mistakes(run.pixels.images, run.pixels.labels, run.result.probabilities)


def feature_maps():
    """What each layer makes of the first test image."""
    run = trained()
    return plotting.plot_feature_maps(run.model, run.images[0])
