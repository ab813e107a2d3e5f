"""Images and labels in memory."""

from dataclasses import dataclass, field

import numpy as np

from fastcnn import _validate

MOST_UNNAMED = 10_000  # largest number of classes without names; larger labels are taken for an error


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Images with labels, the names of the classes, and a text that says where they come from.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W)
        Grey levels or colours, from 0 to 255.
    labels : ndarray of int64, shape (N,)
        The class of each image, from 0.
    source : str
        Description of the data for printing, such as "MNIST from /data/mnist".
    classes : tuple of str
        Names of the classes, by label; by default "0", "1" and so on up to the highest label.
    files : tuple of str
        File names of the images, if they come from files.

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong dtype or shape, there is not one label for each image, or a label has no class.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import ArrayDataset
    >>> data = ArrayDataset(np.zeros((5, 1, 28, 28), np.uint8), np.arange(5), "five empty pictures")
    >>> len(data), data.classes, data.limit(2, np.random.default_rng(0)).source
    (5, ('0', '1', '2', '3', '4'), 'five empty pictures, 2 of 5 images')
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    source: str
    classes: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self):
        _validate.uint8_images(self.images)
        if not isinstance(self.labels, np.ndarray) or self.labels.dtype != np.int64:
            what = getattr(self.labels, "dtype", type(self.labels).__name__)
            raise TypeError(f"`labels` must be a numpy array of int64, not {what}.")
        if self.labels.shape != (len(self.images),):
            raise ValueError(
                f"`labels` has shape {self.labels.shape} but must have {(len(self.images),)}, one for each of `images`."
            )
        if not isinstance(self.classes, tuple) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"`classes` must be a tuple of names, not {self.classes!r:.60}.")
        if self.files and len(self.files) != len(self.images):
            raise ValueError(f"`files` has {len(self.files)} names but there are {len(self.images)} images.")
        low, high = int(self.labels.min()), int(self.labels.max())
        if not self.classes and high < MOST_UNNAMED:
            object.__setattr__(self, "classes", tuple(map(str, range(high + 1))))  # the dataclass is frozen
        if low < 0 or high >= len(self.classes):
            raise ValueError(
                f"`labels` holds {low if low < 0 else high}, but its values must be from 0 to "
                f"{(len(self.classes) or MOST_UNNAMED) - 1}."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of each image."""
        return self.images.shape[1:]

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        """Return an image and its label."""
        return self.images[i], int(self.labels[i])

    def take(self, which: np.ndarray, source: str | None = None) -> "ArrayDataset":
        """Return the images with these indices, as copies; ``source`` describes them, by default like the data set."""
        files = tuple(self.files[i] for i in which) if self.files else ()
        return ArrayDataset(self.images[which], self.labels[which], source or self.source, self.classes, files)

    def limit(self, n: int, rng: np.random.Generator) -> "ArrayDataset":
        """Return ``n`` images drawn at random, in their original order, or the data set itself if it has no more.

        Each class keeps about its share of the images, and at least one image if ``n`` allows it.

        Parameters
        ----------
        n : int
            Number of images, at least 1.
        rng : numpy.random.Generator
            Source of randomness. From the same state, a smaller ``n`` draws a subset of what a larger ``n`` draws.

        Returns
        -------
        ArrayDataset
        """
        which = drawn(self.labels, n, rng)
        return self if which is None else self.take(which, f"{self.source}, {n} of {len(self)} images")


def drawn(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return the indices of the images that `ArrayDataset.limit` keeps, or None if it keeps all."""
    _validate.generator("rng", rng)
    if _validate.count("n", n, least=1) >= len(labels):
        return None
    shuffled = rng.permutation(len(labels))
    labels = labels[shuffled]
    by_class, counts = np.argsort(labels, kind="stable"), np.bincount(labels)
    place = np.empty(len(labels))  # position of each image within its class, from 0 to 1; the smallest are kept
    place[by_class] = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    place[by_class[np.cumsum(counts)[counts > 0] - counts[counts > 0]]] = 0  # the first of each class comes first
    return np.sort(shuffled[np.argsort(place, kind="stable")[:n]])
