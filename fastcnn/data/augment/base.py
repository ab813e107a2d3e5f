"""Base class of augmentations, and their composition."""

from collections.abc import Callable

import numpy as np

from fastcnn import _validate


class Compose:
    """Apply several augmentations one after another.

    Parameters
    ----------
    *augments : callable
        Functions ``augment(images, rng)``. With ``lambda images, rng: standardize(images, mean, std)`` as the last one,
        a `DataLoader` can keep its images as uint8, which takes a quarter of the memory.

    Raises
    ------
    TypeError
        If one is not callable.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data.augment import Compose, HorizontalFlip, PadAndCrop
    >>> augment = Compose(PadAndCrop(4, 32), HorizontalFlip())
    >>> augment(np.zeros((8, 3, 32, 32), np.uint8), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *augments: Callable[[np.ndarray, np.random.Generator], np.ndarray]):
        for augment in augments:
            if not callable(augment):
                raise TypeError(f"`augments` must be callable, augment(images, rng), not {augment!r:.60}.")
        self.augments = augments

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augment a batch."""
        for augment in self.augments:
            images = augment(images, rng)
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.augments))})"


class Augment:
    """Base class: check a batch, then change it by `_apply`; the attributes are the settings shown by ``repr``."""

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augment a batch.

        Parameters
        ----------
        images : ndarray of float32, float64 or uint8, shape (N, C, H, W)
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of the same dtype, C-contiguous
            A new one.

        Raises
        ------
        TypeError, ValueError
            If ``images`` or ``rng`` is invalid.
        """
        if isinstance(images, np.ndarray) and images.dtype == np.uint8:
            _validate.uint8_images(images)
        else:
            _validate.floats("images", images, ndim=4)
        return self._apply(images, _validate.generator("rng", rng))

    def _apply(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define _apply(images, rng).")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def checked_fill(fill):
    """Return ``fill`` as a float, or as a tuple of floats, one for each channel."""
    values = np.asarray(fill)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"`fill` is {fill!r:.60} but must be a finite number, or one for each channel.")
    return tuple(values.tolist()) if values.ndim else float(values)


def fill_for(fill, images: np.ndarray) -> np.ndarray:
    """Return ``fill`` in the dtype of ``images``, of shape (1 or C, 1, 1)."""
    values = np.atleast_1d(np.asarray(fill))
    if len(values) not in (1, images.shape[1]):
        raise ValueError(f"`fill` has {len(values)} numbers but `images` have {images.shape[1]} channels.")
    if images.dtype == np.uint8 and not ((values >= 0) & (values <= 255) & (values == np.rint(values))).all():
        raise ValueError(f"`fill` is {fill} but must be integers from 0 to 255, as `images` are uint8.")
    return values.astype(images.dtype)[:, None, None]
