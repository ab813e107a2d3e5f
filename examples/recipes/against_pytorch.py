"""Train the same net in PyTorch, with the same initial weights, batches and number of threads."""

import time

import numpy as np

import fastcnn
from fastcnn import data


def compare(run, epochs: int, initial: dict, train_set, test_set, seed: int) -> dict | None:
    """Train in PyTorch like `train.py` and return the results; None if PyTorch is not installed.

    Parameters
    ----------
    run : Run
        A run of `fastcnn.models.Conv8` with plain SGD.
    epochs : int
    initial : dict of str to ndarray
        The initial weights of fastcnn's net.
    train_set, test_set : (images, labels)
        The images as prepared for fastcnn.
    seed : int
    """
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(fastcnn.get_num_threads())
    model = conv8(initial)
    optimizer = torch.optim.SGD(model.parameters(), **run.optimizer_options)
    criterion = torch.nn.CrossEntropyLoss()
    loader = data.DataLoader(*train_set, run.batch_size, shuffle=True, rng=np.random.default_rng([seed, 1]))
    losses, seconds, accuracies = [], [], []
    for _ in range(epochs):
        start = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(torch.from_numpy(images)), torch.from_numpy(labels))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        with torch.inference_mode():
            predictions = model(torch.from_numpy(test_set[0])).argmax(dim=1).numpy()
        accuracies.append(float(np.mean(predictions == test_set[1])))
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": seconds,
        "test_accuracies": accuracies,
        "step_losses": losses,
    }


def conv8(initial: dict):
    """Make `fastcnn.models.Conv8` in PyTorch with these weights, which have the same names."""
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, bias=False),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 13 * 13, 10),
    )
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in initial.items()})
    return model
