"""Images with their labels."""

from dataclasses import dataclass, field

import numpy as np

from fastcnn import _validate


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, their labels, and a sentence that says where they come from.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, C, H, W)
        Grey levels or colours, from 0 to 255.
    labels : ndarray of int64, shape (N,)
        The class of each image, from 0.
    source : str
        What data this is, for people to read: "MNIST from /data/mnist".

    Raises
    ------
    TypeError, ValueError
        An array has another dtype or shape, or there are not as many labels as images.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import Dataset
    >>> data = Dataset(np.zeros((5, 1, 28, 28), np.uint8), np.arange(5), "five empty pictures")
    >>> len(data), data.limit(2)
    (5, Dataset(source='five empty pictures, the first 2 images'))
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    source: str

    def __post_init__(self):
        _validate.uint8_images(self.images)
        if not isinstance(self.labels, np.ndarray) or self.labels.dtype != np.int64:
            what = getattr(self.labels, "dtype", type(self.labels).__name__)
            raise TypeError(f"`labels` must be a numpy array of int64, not {what}.")
        if self.labels.shape != (len(self.images),):
            raise ValueError(
                f"`labels` has shape {self.labels.shape} but must have {(len(self.images),)}, one for each of `images`."
            )

    def __len__(self) -> int:
        return len(self.images)

    def limit(self, n: int) -> "Dataset":
        """The first ``n`` images, as views; the data set itself if it has no more than that."""
        if _validate.count("n", n, least=1) >= len(self):
            return self
        return Dataset(self.images[:n], self.labels[:n], f"{self.source}, the first {n} images")
