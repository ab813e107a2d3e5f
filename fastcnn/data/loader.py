"""Batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, overload

import numpy as np

from fastcnn import _validate
from fastcnn._inputs import each, joined, listed

from .array_dataset import ArrayDataset
from .dataset import Dataset, stacked
from .prefetch import in_order

Batch = tuple[Any, np.ndarray]  # images, a tuple of arrays where there are several inputs, and labels
Augment = Callable[[Any, np.random.Generator], Any]


class DataLoader:
    """Iterate over images and labels in batches; each iteration is one epoch.

    ``DataLoader(images, labels, 32)`` takes them from two arrays, ``DataLoader(dataset, 32)`` from a `Dataset`:
    anything with a length whose items are pairs (image, label), as `ImageFolder`. For a model with several inputs,
    ``DataLoader((a, b), labels, 32)``, or items ``((a, b), label)``, give batches ``((a, b), labels)``.

    Parameters
    ----------
    dataset : Dataset, or ndarray of shape (N, ...), or tuple of such
        What batches are made of; or images, of any dtype, where there are `labels`: in a tuple, those of each input.
    labels : ndarray, shape (N, ...), or sequence of int
        As many labels as there are images. With a `Dataset` there are none here.
    batch_size : int, default 1
        Images in a batch, at least 1.
    shuffle : bool, default False
        Take the images in a new random order each epoch. Batches are then copies; without it, C-contiguous arrays give
        batches that are views.
    num_workers : int, default 0
        Threads that make batches ahead of the one that is in use, two each at most. It does not matter for what is in
        them. They help where an item takes long, as a picture that is decoded, whose decoder lets others work.
    rng : numpy.random.Generator
        Where randomness comes from: one permutation an epoch for ``shuffle``, then one number for ``augment``. Give the
        loader a generator of its own, which nothing else draws from, if its state is to be saved.
    drop_last : bool, default False
        Leave out the last batch if it is not full.
    augment : callable
        ``augment(images, rng)`` gives the images of a batch another form, see `fastcnn.data.augment`. What it draws
        depends on the epoch and on the batch's place in it (see `parts`, too), and on nothing else. Of several inputs
        it takes and returns the tuple: ``lambda inputs, rng: (shift(inputs[0], rng), inputs[1])``.

    Attributes
    ----------
    dataset : Dataset
        What batches are made of.
    labels : ndarray of shape (N, ...) or None
        Of all images, where they are known without looking at each: those that were given, or the dataset's `labels`.

    Raises
    ------
    TypeError, ValueError
        ``dataset`` is none and no array, ``labels`` is not an array or one of another length, ``batch_size`` is not a
        whole number of at least 1, nor ``num_workers`` one of at least 0, ``augment`` is not callable, or ``rng`` is
        missing. When a batch is made: an item of the dataset is no pair, or images differ in shape. What a dataset
        raises itself is raised in the place of the batch.

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

    def __init__(  # type: ignore[misc]  # what stands second is told by what it is
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
        if _validate.is_whole(labels):  # DataLoader(dataset, 32, True): without labels all stands one place before
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
        self.rng: Any = rng  # not None wherever it draws, as checked above; and so is `augment`, where it is called
        self.drop_last = drop_last
        self.augment: Any = augment
        self._epoch: dict[str, Any] | None = None  # the epoch that is going on: as `state_dict` has it
        self._skip = 0  # batches that the next iteration leaves out, as they were handed out before

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
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
        order = self.rng.permutation(len(self.dataset)) if self.shuffle else None
        seed = int(self.rng.integers(2**63)) if self.augment else None

        def batch(i: int) -> Batch:
            places = self._places(i, part, parts)
            images, labels = self._batch(places if order is None else order[places])
            if seed is not None and len(labels):
                images = self._augmented(images, (seed, i, part))  # a 0 at the end is no other seed than without it
            return images, labels

        with closing(in_order(batch, range(epoch["batches"], len(self)), self.num_workers)) as made:
            for images, labels in made:
                epoch["batches"] += 1
                yield images, labels
        if self._epoch is epoch:  # and not one that another iteration has begun since
            self._epoch = None

    def smallest(self, part: int = 0, parts: int = 1) -> int:
        """Images in the smallest batch of an epoch, or in the smallest such part of a batch; 0 where all are empty."""
        ends = {0, len(self) - 1} if len(self) else set()  # all but the last batch have as many
        places = [self._places(i, part, parts) for i in ends]
        return min((place.stop - place.start for place in places if place.stop > place.start), default=0)

    def sample(self, count: int) -> Batch:
        """The first images in the form in which batches have them, and their labels; nothing is drawn for that."""
        images, labels = self._batch(slice(0, count))
        return self._augmented(images, (0, 0, 0)) if self.augment else images, labels

    def _places(self, i: int, part: int, parts: int) -> slice:
        """Where a batch's images, or a part of them, stand in the order of the epoch."""
        first = i * self.batch_size
        size = min(self.batch_size, len(self.dataset) - first)
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
        return {**epoch, "images": len(self.dataset), "batch_size": self.batch_size}

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

    def _batch(self, which: slice | np.ndarray) -> Batch:
        """The images of these numbers, as they are, with their labels."""
        if isinstance(self.dataset, _Arrays):
            return self.dataset.batch(which)
        numbers = np.arange(len(self.dataset))[which] if isinstance(which, slice) else which
        if len(numbers):
            return stacked(self.dataset, numbers)
        images, labels = stacked(self.dataset, np.array([0]))  # of a rank's part without images the first says what
        return each(lambda array: array[:0], images), labels[:0]

    def _augmented(self, images, seed: tuple[int, int, int]):
        """The images of one batch, which the augmentation may write to if they are no view of all images."""
        if isinstance(self.dataset, _Arrays):
            pairs = zip(listed(images), listed(self.dataset.images), strict=True)
            images = joined(tuple(part.copy() if np.may_share_memory(part, all_) else part for part, all_ in pairs))
        result, wanted = self.augment(images, np.random.default_rng(seed)), each(len, images)
        if each(_length, result) != wanted:
            what = each(lambda array: getattr(array, "shape", type(array).__name__), result)
            arrays = f"a tuple of {len(wanted)} arrays" if isinstance(wanted, tuple) else "an array"
            raise ValueError(
                f"`augment` must return {arrays} of {listed(wanted)[0]} images, as it was given, not {what}."
            )
        return result


class _Arrays:
    """Images and labels in two arrays; of several inputs, as many arrays of images."""

    def __init__(self, images: Any, labels: np.ndarray):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, np.ndarray]:
        return each(lambda array: array[i], self.images), self.labels[i]

    def batch(self, which: slice | np.ndarray) -> Batch:
        """Several at a time; of a slice, views."""
        images = each(lambda array: np.ascontiguousarray(array[which]), self.images)
        return images, np.ascontiguousarray(self.labels[which])


def _dataset(dataset, labels) -> Dataset:
    """What was given, as a dataset."""
    if isinstance(dataset, ArrayDataset) and labels is None:
        dataset, labels = dataset.images, dataset.labels
    if labels is None and not isinstance(dataset, np.ndarray):
        if not isinstance(dataset, Dataset) or isinstance(dataset, dict | str | bytes):
            raise TypeError(
                "`dataset` must have a length and items (image, label), or be a numpy array of images with `labels` "
                f"beside it, not {type(dataset).__name__}."
            )
        return dataset
    labels = np.array(labels) if isinstance(labels, list | tuple) else labels
    inputs = listed(dataset)
    if not inputs:
        raise ValueError("`dataset` is an empty tuple but must hold an array of images for each input.")
    names = [f"dataset[{i}]" for i in range(len(inputs))] if isinstance(dataset, tuple) else ["dataset"]
    for name, array in zip((*names, "labels"), (*inputs, labels), strict=True):
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            what = "labels, one for each image," if name == "labels" else "images beside `labels`"
            more = ", or a tuple of such, one for each input" if name == "dataset" else ""
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
    """Of an array, how many images it has."""
    return len(array) if isinstance(array, np.ndarray) and array.ndim else None


def _plain(state):
    """A generator's state as JSON takes it: some hold arrays."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
