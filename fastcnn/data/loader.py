"""Batches."""

from collections.abc import Iterator

import numpy as np

from fastcnn import _validate


class DataLoader:
    """Iterate over images and labels in batches; each iteration is one epoch.

    Parameters
    ----------
    images : ndarray, shape (N, ...)
        Images, of any dtype.
    labels : ndarray, shape (N, ...)
        As many labels.
    batch_size : int
        Images in a batch, at least 1.
    shuffle : bool
        Take the images in a new random order each epoch. Batches are then copies; without it, C-contiguous arrays give
        batches that are views.
    rng : numpy.random.Generator
        Where the orders come from: one permutation an epoch. Needed by ``shuffle``.
    drop_last : bool
        Leave out the last batch if it is not full.

    Raises
    ------
    TypeError, ValueError
        ``images`` or ``labels`` is not an array, they differ in length, ``batch_size`` is not a whole number of at
        least 1, or ``rng`` is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import DataLoader
    >>> loader = DataLoader(np.zeros((5, 1, 28, 28), np.float32), np.arange(5), batch_size=2)
    >>> len(loader), [(x.shape[0], labels.tolist()) for x, labels in loader]
    (3, [(2, [0, 1]), (2, [2, 3]), (1, [4])])
    """

    def __init__(self, images, labels, batch_size: int, *, shuffle: bool = False, rng=None, drop_last: bool = False):
        for name, array in (("images", images), ("labels", labels)):
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise TypeError(f"`{name}` must be a numpy array of at least 1 dimension, not {array!r:.60}.")
        if len(images) != len(labels):
            raise ValueError(
                f"`images` has length {len(images)} (shape {images.shape}) but `labels` has {len(labels)} "
                f"(shape {labels.shape}); there must be one label for each image."
            )
        if shuffle and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"`rng` is {rng!r:.60} but `shuffle=True` needs a numpy.random.Generator, such as "
                "numpy.random.default_rng(0)."
            )
        self.images = images
        self.labels = labels
        self.batch_size = _validate.count("batch_size", batch_size, least=1)
        self.shuffle = shuffle
        self.rng = rng
        self.drop_last = drop_last

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.images), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self.rng.permutation(len(self.images)) if self.shuffle else None
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            batch = slice(first, first + self.batch_size)
            which = batch if order is None else order[batch]
            yield np.ascontiguousarray(self.images[which]), np.ascontiguousarray(self.labels[which])
