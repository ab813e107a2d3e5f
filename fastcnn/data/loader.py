"""Batches."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastcnn import _validate

Batch = tuple[np.ndarray, np.ndarray]


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
        Where randomness comes from: one permutation an epoch for ``shuffle``, then one number for ``augment``. Give the
        loader a generator of its own, which nothing else draws from, if its state is to be saved.
    drop_last : bool
        Leave out the last batch if it is not full.
    augment : callable
        ``augment(images, rng)`` gives the images of a batch another form, see `fastcnn.data.augment`. What it draws
        depends on the epoch and on the batch's place in it (see `parts`, too), and on nothing else.

    Raises
    ------
    TypeError, ValueError
        ``images`` or ``labels`` is not an array, they differ in length, ``batch_size`` is not a whole number of at
        least 1, ``augment`` is not callable, or ``rng`` is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import DataLoader
    >>> loader = DataLoader(np.zeros((5, 1, 28, 28), np.float32), np.arange(5), batch_size=2)
    >>> len(loader), [(x.shape[0], labels.tolist()) for x, labels in loader]
    (3, [(2, [0, 1]), (2, [2, 3]), (1, [4])])
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool = False,
        rng: np.random.Generator | None = None,
        drop_last: bool = False,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    ):
        for name, array in (("images", images), ("labels", labels)):
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise TypeError(f"`{name}` must be a numpy array of at least 1 dimension, not {array!r:.60}.")
        if len(images) != len(labels):
            raise ValueError(
                f"`images` has length {len(images)} (shape {images.shape}) but `labels` has {len(labels)} "
                f"(shape {labels.shape}); there must be one label for each image."
            )
        if augment is not None and not callable(augment):
            raise TypeError(f"`augment` must be callable, augment(images, rng), not {augment!r:.60}.")
        shuffle, drop_last = _validate.flag("shuffle", shuffle), _validate.flag("drop_last", drop_last)
        if (shuffle or augment) and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"`rng` is {rng!r:.60} but `{'shuffle=True' if shuffle else 'augment'}` needs a "
                "numpy.random.Generator, such as numpy.random.default_rng(0)."
            )
        self.images = images
        self.labels = labels
        self.batch_size = _validate.count("batch_size", batch_size, least=1)
        self.shuffle = shuffle
        self.rng: Any = rng  # not None wherever it draws, as checked above; and so is `augment`, where it is called
        self.drop_last = drop_last
        self.augment: Any = augment
        self._epoch: dict[str, Any] | None = None  # the epoch that is going on: as `state_dict` has it
        self._skip = 0  # batches that the next iteration leaves out, as they were handed out before

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.images), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[Batch]:
        return self.parts(0, 1)

    def parts(self, part: int, parts: int) -> Iterator[Batch]:
        """One epoch, but of each batch one of several parts only, as even as can be.

        The order of the images is that of whole batches, and so is `state_dict`. Augmentation draws for each part by
        itself.

        Parameters
        ----------
        part : int
            From 0.
        parts : int
            Where a batch has fewer images, some parts have none.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn.data import DataLoader
        >>> loader = DataLoader(np.zeros(8), np.arange(8), batch_size=5)
        >>> [labels.tolist() for _, labels in loader.parts(0, 2)], [labels.tolist() for _, labels in loader.parts(1, 2)]
        ([[0, 1], [5]], [[2, 3, 4], [6, 7]])
        """
        epoch: dict[str, Any] = {"rng": self._rng_state(), "batches": self._skip}
        self._epoch, self._skip = epoch, 0
        order = self.rng.permutation(len(self.images)) if self.shuffle else None
        seed = int(self.rng.integers(2**63)) if self.augment else None

        def batch(i: int) -> Batch:
            which = self._places(i, part, parts)
            if order is not None:
                which = order[which]
            images, labels = np.ascontiguousarray(self.images[which]), np.ascontiguousarray(self.labels[which])
            if seed is not None and len(images):
                images = self._augmented(images, (seed, i, part))  # a 0 at the end is no other seed than without it
            return images, labels

        for i in range(epoch["batches"], len(self)):
            made = batch(i)
            epoch["batches"] += 1
            yield made
        if self._epoch is epoch:  # and not one that another iteration has begun since
            self._epoch = None

    def smallest(self, part: int = 0, parts: int = 1) -> int:
        """Images in the smallest batch of an epoch, or in the smallest such part of a batch; 0 where all are empty."""
        ends = {0, len(self) - 1} if len(self) else set()  # all but the last batch have as many
        places = [self._places(i, part, parts) for i in ends]
        return min((place.stop - place.start for place in places if place.stop > place.start), default=0)

    def sample(self, count: int) -> np.ndarray:
        """The first images in the form in which batches have them; nothing is drawn from the loader's generator."""
        images = np.ascontiguousarray(self.images[:count])
        return self._augmented(images, (0, 0, 0)) if self.augment else images

    def _places(self, i: int, part: int, parts: int) -> slice:
        """Where a batch's images, or a part of them, stand in the order of the epoch."""
        first = i * self.batch_size
        size = min(self.batch_size, len(self.images) - first)
        return slice(first + size * part // parts, first + size * (part + 1) // parts)

    def state_dict(self) -> dict:
        """Where the loader is: what `load_state_dict` needs to go on from here, fit for JSON.

        Within an epoch that is the generator's state at its start and how many of its batches have been handed out, the
        one in use included; after it, nothing but the generator's state.

        Returns
        -------
        dict
            ``"rng"``, the state of the generator or None without one; ``"batches"``; and, to be checked, ``"images"``
            and ``"batch_size"``.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn.data import DataLoader
        >>> def loader():
        ...     rng = np.random.default_rng(0)
        ...     return DataLoader(np.zeros(6), np.arange(6), 2, shuffle=True, rng=rng)
        >>> one, other = loader(), loader()
        >>> batches = iter(one)
        >>> _ = next(batches)
        >>> other.load_state_dict(one.state_dict())
        >>> [labels.tolist() for _, labels in batches] == [labels.tolist() for _, labels in other]
        True
        """
        epoch = self._epoch or {"rng": self._rng_state(), "batches": self._skip}
        return {**epoch, "images": len(self.images), "batch_size": self.batch_size}

    def load_state_dict(self, state: dict) -> None:
        """Go on from where another loader of the same images and settings was.

        The next iteration hands out what was left of its epoch, which may be nothing, and computes no batch before
        that; those that follow are its next epochs.

        Parameters
        ----------
        state : dict
            From `state_dict`.

        Raises
        ------
        TypeError, ValueError
            It is not of such a loader. Nothing has changed.
        """
        own = self.state_dict()
        if not isinstance(state, dict) or state.keys() != own.keys():
            raise ValueError(f"`state` must be a dictionary with {', '.join(own)}, not {state!r:.60}.")
        for name in ("images", "batch_size"):
            if state[name] != own[name]:
                raise ValueError(f"`state` has {name} {state[name]} but this loader has {own[name]}.")
        batches = _validate.count("state['batches']", state["batches"], least=0)
        if batches > len(self):
            raise ValueError(f"`state` has handed out {batches} batches but an epoch has {len(self)}.")
        if state["rng"] is None and self.rng is not None:
            raise ValueError("`state` is of a loader without a generator, but this one has one.")
        if state["rng"] is not None and self.rng is None:
            raise ValueError("`state` is of a loader with a generator, but this one has none.")
        if self.rng is not None:
            bits = self.rng.bit_generator
            try:
                type(bits)().state = state["rng"]  # a bad state stops here
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                kind = type(bits).__name__
                raise ValueError(f"`state['rng']` is not the state of a {kind}, this loader's generator.") from error
            bits.state = state["rng"]
        self._epoch, self._skip = None, batches

    def _rng_state(self) -> dict | None:
        return None if self.rng is None else _plain(self.rng.bit_generator.state)

    def _augmented(self, images: np.ndarray, seed: tuple[int, int, int]) -> np.ndarray:
        """The images of one batch, which the augmentation may write to if they are no view of all images."""
        if np.may_share_memory(images, self.images):
            images = images.copy()
        result = self.augment(images, np.random.default_rng(seed))
        if not isinstance(result, np.ndarray) or len(result) != len(images):
            what = getattr(result, "shape", type(result).__name__)
            raise ValueError(f"`augment` must return an array of {len(images)} images, as it was given, not {what}.")
        return result


def _plain(state):
    """A generator's state as JSON takes it: some hold arrays."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
