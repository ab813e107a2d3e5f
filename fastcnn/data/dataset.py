"""What a data loader takes batches from."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from fastcnn._inputs import each, joined, listed


@runtime_checkable
class Dataset(Protocol):
    """Anything with a length, whose items are pairs of an image and its label, as a dataset of PyTorch's.

    A class need not be derived from this one; that it may is for those who like to say so. `ImageFolder` and
    `ArrayDataset` are such.

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
        """How many there are."""

    def __getitem__(self, i: int, /) -> tuple[Any, Any]:
        """The image, an array of one shape for all, and the label of number ``i``, from 0.

        For a model with several inputs the image is a tuple of an array for each.
        """


def stacked(dataset: Dataset, which: np.ndarray) -> tuple[Any, np.ndarray]:
    """Images and labels of these numbers, each in one array; of several inputs, each input's in one."""
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
    """An item, which must be a pair."""
    try:
        item = dataset[i]
    except Exception as error:
        error.add_note(f"That was dataset[{i}].")
        raise
    if not isinstance(item, tuple | list) or len(item) != 2 or not listed(item[0]):
        raise TypeError(f"dataset[{i}] must be a pair (image, label), not {type(item).__name__}: {item!r:.60}.")
    return tuple(item)


def _named(dataset: Dataset, i: int) -> str:
    """An item as an error names it: by its file, where it is one."""
    samples = getattr(dataset, "samples", None)  # as ImageFolder's, and torchvision's
    return str(samples[i][0]) if samples else f"dataset[{i}]"
