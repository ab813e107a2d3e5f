"""The interface of data sets for a `DataLoader`."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from fastcnn._inputs import each, joined, listed


@runtime_checkable
class Dataset(Protocol):
    """Protocol of data sets: a length, and items that are pairs (image, label), as for a PyTorch ``Dataset``.

    A class need not inherit from it, but it may. `ImageFolder` and `ArrayDataset` follow this protocol.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import DataLoader, Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 3
    ...
    ...     def __getitem__(self, i):
    ...         return np.full((1, 2, 2), i * i, np.float32), i
    >>> [(x.shape, labels.tolist()) for x, labels in DataLoader(Squares(), batch_size=2)]
    [((2, 1, 2, 2), [0, 1]), ((1, 1, 2, 2), [2])]
    """

    def __len__(self) -> int:
        """Number of items."""

    def __getitem__(self, i: int, /) -> tuple[Any, Any]:
        """Return image and label number ``i``, from 0; all images must have the same shape.

        For a model with several inputs the image is a tuple with an array for each input.
        """


def stacked(dataset: Dataset, which: np.ndarray) -> tuple[Any, np.ndarray]:
    """Stack the images with these indices into one array, or one for each input, and their labels into another."""
    pairs = [_pair(dataset, int(i)) for i in which]
    images, labels = [each(np.asarray, image) for image, _ in pairs], [np.asarray(label) for _, label in pairs]
    for what, found in (("images", images), ("labels", labels)):
        shapes = [each(np.shape, one) for one in found]
        for i, shape in zip(which, shapes, strict=True):
            if shape != shapes[0]:
                raise ValueError(
                    f"The {what} of a batch must have one shape, but {_named(dataset, i)} has {shape} and "
                    f"{_named(dataset, which[0])} has {shapes[0]}."
                )
    inputs = zip(*map(listed, images), strict=True)
    return joined(tuple(map(np.stack, inputs))), np.stack(labels)


def _pair(dataset: Dataset, i: int) -> tuple:
    """Return an item, which must be a pair."""
    try:
        item = dataset[i]
    except Exception as error:
        error.add_note(f"That was dataset[{i}].")
        raise
    if not isinstance(item, tuple | list) or len(item) != 2 or not listed(item[0]):
        raise TypeError(f"dataset[{i}] must be a pair (image, label), not {type(item).__name__}: {item!r:.60}.")
    return tuple(item)


def _named(dataset: Dataset, i: int) -> str:
    """Name of an item for an error message: its file if it has one."""
    samples = getattr(dataset, "samples", None)  # like those of ImageFolder and torchvision
    return str(samples[i][0]) if samples else f"dataset[{i}]"
