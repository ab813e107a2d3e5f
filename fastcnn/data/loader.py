"""Loading data in batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, overload

import numpy as np

from fastcnn import _validate
from fastcnn._inputs import each, joined, listed

from .array_dataset import ArrayDataset
from .dataset import Dataset, stacked
from .prefetch import in_order

Batch = tuple[Any, np.ndarray]  # images (a tuple of arrays for several inputs) and labels
Augment = Callable[[Any, np.random.Generator], Any]


class DataLoader:
    """Iterate over images and labels in batches; each iteration is one epoch.

    ``DataLoader(images, labels, 32)`` takes them from two arrays, ``DataLoader(dataset, 32)`` from a `Dataset`: any
    object with a length and items that are pairs (image, label), such as an `ImageFolder`. For a model with several
    inputs, ``DataLoader((a, b), labels, 32)``, or items ``((a, b), label)``, give batches ``((a, b), labels)``.

    Parameters
    ----------
    dataset : Dataset, or ndarray of shape (N, ...), or tuple of such
        The data set; or, with `labels`, the images as an array of any dtype, or a tuple of arrays for several inputs.
    labels : ndarray, shape (N, ...), or sequence of int
        One label for each image. Omit it for a `Dataset`.
    batch_size : int, default 1
        Images in a batch, at least 1.
    shuffle : bool, default False
        Take the images in a new random order each epoch. Batches are then copies; without it, C-contiguous arrays give
        batches that are views.
    num_workers : int, default 0
        Threads that prepare batches ahead of the current one, at most two each. Their number does not change the
        batches. Threads help if items are slow and release the GIL, as decoding of pictures does.
    rng : numpy.random.Generator
        Source of randomness: one permutation per epoch for ``shuffle``, then one number for ``augment``. If its state
        is to be saved, give the loader its own generator, from which nothing else draws.
    drop_last : bool, default False
        Drop the last batch if it is not full.
    augment : callable
        ``augment(images, rng)`` returns the images of a batch with random changes; see `fastcnn.data.augment`. Its
        random numbers depend only on the epoch and the batch's position in it (and on the part, see `parts`). For
        several inputs it takes and returns the tuple: ``lambda inputs, rng: (shift(inputs[0], rng), inputs[1])``.

    Attributes
    ----------
    dataset : Dataset
        The data set that batches are taken from.
    labels : ndarray of shape (N, ...) or None
        Labels of all images if they are known without reading each item: the argument, or the dataset's `labels`.

    Raises
    ------
    TypeError, ValueError
        If ``dataset`` is neither a data set nor an array, ``labels`` is not an array or has another length,
        ``batch_size`` is not an integer of at least 1, ``num_workers`` is not an integer of at least 0, ``augment`` is
        not callable, or ``rng`` is missing. While iterating: if an item of the dataset is not a pair, or images differ
        in shape. An error that the dataset raises is raised in place of the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import DataLoader
    >>> loader = DataLoader(np.zeros((5, 1, 28, 28), np.float32), np.arange(5), batch_size=2)
    >>> len(loader), [(x.shape[0], labels.tolist()) for x, labels in loader]
    (3, [(2, [0, 1]), (2, [2, 3]), (1, [4])])
    """

    @overload
    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        num_workers: int = 0,
        rng: np.random.Generator | None = None,
        drop_last: bool = False,
        augment: Augment | None = None,
    ): ...

    @overload
    def __init__(
        self,
        dataset: np.ndarray | tuple[np.ndarray, ...],
        labels: np.ndarray | Sequence[int],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        num_workers: int = 0,
        rng: np.random.Generator | None = None,
        drop_last: bool = False,
        augment: Augment | None = None,
    ): ...

    def __init__(  # type: ignore[misc]  # the second argument is labels or batch_size, by its type
        self,
        dataset,
        labels=None,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        num_workers: int = 0,
        rng: np.random.Generator | None = None,
        drop_last: bool = False,
        augment: Augment | None = None,
    ):
        if _validate.is_whole(labels):  # DataLoader(dataset, 32, True): without labels, all arguments move forward
            third: Any = batch_size
            shuffle = third if isinstance(third, bool) or third != 1 else shuffle
            labels, batch_size = None, labels
        self.dataset = _dataset(dataset, labels)
        if augment is not None and not callable(augment):
            raise TypeError(f"`augment` must be callable, augment(images, rng), not {augment!r:.60}.")
        shuffle, drop_last = _validate.flag("shuffle", shuffle), _validate.flag("drop_last", drop_last)
        if (shuffle or augment) and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"`rng` is {rng!r:.60} but `{'shuffle=True' if shuffle else 'augment'}` needs a "
                "numpy.random.Generator, such as numpy.random.default_rng(0)."
            )
        labels = getattr(self.dataset, "labels", None)
        self.labels: np.ndarray | None = labels if isinstance(labels, np.ndarray) else None
        self.batch_size = _validate.count("batch_size", batch_size, least=1)
        self.shuffle = shuffle
        self.num_workers = _validate.count("num_workers", num_workers, least=0)
        self.rng: Any = rng  # checked above: neither `rng` nor `augment` is None where it is used
        self.drop_last = drop_last
        self.augment: Any = augment
        self._epoch: dict[str, Any] | None = None  # the current epoch, as in `state_dict`
        self._skip = 0  # batches that the next iteration skips, as they were already returned

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[Batch]:
        return self.parts(0, 1)

    def parts(self, part: int, parts: int) -> Iterator[Batch]:
        """Iterate over one epoch, but only over one part of each batch; the parts are as even as possible.

        The order of the images and `state_dict` are the same as for whole batches. Augmentation draws separately for
        each part.

        Parameters
        ----------
        part : int
            Index of the part, from 0.
        parts : int
            Number of parts. If a batch has fewer images, some parts are empty.

        Examples
        --------
        >>> import numpy as np
        >>> from fastcnn.data import DataLoader
        >>> loader = DataLoader(np.zeros(8), np.arange(8), batch_size=5)
        >>> [labels.tolist() for _, labels in loader.parts(0, 2)], [labels.tolist() for _, labels in loader.parts(1, 2)]
        ([[0, 1], [5]], [[2, 3, 4], [6, 7]])
        """
        epoch: dict[str, Any] = {"rng": self._rng_state(), "batches": self._skip}
        order = self.rng.permutation(len(self.dataset)) if self.shuffle else None
        self._epoch, self._skip = epoch, 0
        seed = int(self.rng.integers(2**63)) if self.augment else None

        def batch(i: int) -> Batch:
            places = self._places(i, part, parts)
            images, labels = self._batch(places if order is None else order[places])
            if seed is not None and len(labels):
                # part 0 is seeded like a whole batch, as NumPy ignores zeros at the end of a seed
                images = self._augmented(images, (seed, i, part))
            return images, labels

        with closing(in_order(batch, range(epoch["batches"], len(self)), self.num_workers)) as made:
            for images, labels in made:
                epoch["batches"] += 1
                yield images, labels
        if self._epoch is epoch:  # unless another iteration has begun since
            self._epoch = None

    def smallest(self, part: int = 0, parts: int = 1) -> int:
        """Size of the smallest nonempty batch, or of the smallest nonempty ``part`` of a batch; 0 if all are empty."""
        ends = {0, len(self) - 1} if len(self) else set()  # all batches but the last have the same size
        places = [self._places(i, part, parts) for i in ends]
        return min((place.stop - place.start for place in places if place.stop > place.start), default=0)

    def sample(self, count: int) -> Batch:
        """Return the first images as in a batch, and their labels, without drawing from `rng`."""
        images, labels = self._batch(slice(0, count))
        return self._augmented(images, (0, 0, 0)) if self.augment else images, labels

    def _places(self, i: int, part: int, parts: int) -> slice:
        """Positions of a batch's images, or of a part of them, in the order of the epoch."""
        first = i * self.batch_size
        size = min(self.batch_size, len(self.dataset) - first)
        return slice(first + size * part // parts, first + size * (part + 1) // parts)

    def state_dict(self) -> dict:
        """Return the loader's position, as JSON types, for `load_state_dict`.

        Within an epoch this is the generator's state at the start of the epoch and the number of batches returned so
        far, including the current one; after an epoch, only the generator's state. If a batch could not be made, the
        position is before it: after the error, ``loader.load_state_dict(loader.state_dict())`` continues with it.

        Returns
        -------
        dict
            ``"rng"``, the state of the generator or None without one; ``"batches"``; and, for checks, ``"images"`` and
            ``"batch_size"``.

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
        return {**epoch, "images": len(self.dataset), "batch_size": self.batch_size}

    def load_state_dict(self, state: dict) -> None:
        """Continue from the position of another loader with the same images and settings.

        The next iteration returns the remaining batches of that epoch, possibly none, and does not compute the skipped
        ones. Later iterations are the epochs after it.

        Parameters
        ----------
        state : dict
            From `state_dict`.

        Raises
        ------
        TypeError, ValueError
            If the state is not from such a loader. Nothing is changed then.
        """
        own = self.state_dict()
        if not isinstance(state, dict) or state.keys() != own.keys():
            raise ValueError(f"`state` must be a dictionary with {', '.join(own)}, not {state!r:.60}.")
        for name in ("images", "batch_size"):
            if state[name] != own[name]:
                raise ValueError(f"`state` has {name} {state[name]} but this loader has {own[name]}.")
        batches = _validate.count("state['batches']", state["batches"], least=0)
        if batches > len(self):
            raise ValueError(f"`state` has returned {batches} batches but an epoch has {len(self)}.")
        if state["rng"] is None and self.rng is not None:
            raise ValueError("`state` is from a loader without a generator, but this loader has one.")
        if state["rng"] is not None and self.rng is None:
            raise ValueError("`state` is from a loader with a generator, but this loader has none.")
        if self.rng is not None:
            bits = self.rng.bit_generator
            try:
                type(bits)().state = state["rng"]  # raises if the state is invalid
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                kind = type(bits).__name__
                raise ValueError(f"`state['rng']` is not the state of a {kind}, this loader's generator.") from error
            bits.state = state["rng"]
        self._epoch, self._skip = None, batches

    def _rng_state(self) -> dict | None:
        return None if self.rng is None else _plain(self.rng.bit_generator.state)

    def _batch(self, which: slice | np.ndarray) -> Batch:
        """Return the images with these indices, not augmented, and their labels."""
        if isinstance(self.dataset, _Arrays):
            return self.dataset.batch(which)
        numbers = np.arange(len(self.dataset))[which] if isinstance(which, slice) else which
        if len(numbers):
            return stacked(self.dataset, numbers)
        images, labels = stacked(self.dataset, np.array([0]))  # an empty part gets its shapes from the first item
        return each(lambda array: array[:0], images), labels[:0]

    def _augmented(self, images, seed: tuple[int, int, int]):
        """Augment the images of a batch; copy views of the data set first, as the augmentation may write to them."""
        if isinstance(self.dataset, _Arrays):
            pairs = zip(listed(images), listed(self.dataset.images), strict=True)
            images = joined(tuple(part.copy() if np.may_share_memory(part, all_) else part for part, all_ in pairs))
        result, wanted = self.augment(images, np.random.default_rng(seed)), each(len, images)
        if each(_length, result) != wanted:
            what = each(lambda array: getattr(array, "shape", type(array).__name__), result)
            arrays = f"a tuple of {len(wanted)} arrays" if isinstance(wanted, tuple) else "an array"
            raise ValueError(
                f"`augment` must return {arrays} of {listed(wanted)[0]} images, like its argument, not {what}."
            )
        return result


class _Arrays:
    """A data set of two arrays, images and labels; for several inputs, an array of images for each."""

    def __init__(self, images: Any, labels: np.ndarray):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, np.ndarray]:
        return each(lambda array: array[i], self.images), self.labels[i]

    def batch(self, which: slice | np.ndarray) -> Batch:
        """Return several items at a time; a slice gives views."""
        images = each(lambda array: np.ascontiguousarray(array[which]), self.images)
        return images, np.ascontiguousarray(self.labels[which])


def _dataset(dataset, labels) -> Dataset:
    """Return the arguments of a `DataLoader` as a data set."""
    if isinstance(dataset, ArrayDataset) and labels is None:
        dataset, labels = dataset.images, dataset.labels
    if labels is None and not isinstance(dataset, np.ndarray):
        if not isinstance(dataset, Dataset) or isinstance(dataset, dict | str | bytes):
            raise TypeError(
                "`dataset` must have a length and items (image, label), or be a numpy array of images together with "
                f"`labels`, not {type(dataset).__name__}."
            )
        return dataset
    labels = np.array(labels) if isinstance(labels, list | tuple) else labels
    inputs = listed(dataset)
    if not inputs:
        raise ValueError("`dataset` is an empty tuple but must hold an array of images for each input.")
    names = [f"dataset[{i}]" for i in range(len(inputs))] if isinstance(dataset, tuple) else ["dataset"]
    for name, array in zip((*names, "labels"), (*inputs, labels), strict=True):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            what = "labels, one for each image," if name == "labels" else "images to go with `labels`"
            more = ", or a tuple of such arrays, one for each input" if name == "dataset" else ""
            raise TypeError(
                f"`{name}` must be a numpy array of {what} of at least 1 dimension{more}, not {array!r:.60}."
            )
    for name, images in zip(names, inputs, strict=True):
        if len(images) != len(labels):
            raise ValueError(
                f"`{name}` has {len(images)} images (shape {images.shape}) but `labels` has length {len(labels)} "
                f"(shape {labels.shape}); there must be one label for each image."
            )
    return _Arrays(joined(inputs), labels)


def _length(array) -> int | None:
    """Number of images in an array, or None if it is something else."""
    return len(array) if isinstance(array, np.ndarray) and array.ndim else None


def _plain(state):
    """Convert a generator's state to JSON types, as some states hold arrays."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
