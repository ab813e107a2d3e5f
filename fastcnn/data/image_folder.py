"""Folders of pictures with one subfolder for each class."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastcnn import _validate
from fastcnn._text import in_full

from .array_dataset import ArrayDataset, drawn
from .errors import DataError
from .folders import parts_of, pictures_by_class, pictures_of_parts
from .pictures import _channels, _pair, _read, fault_of, has_colour

BAD = 5  # bad files that an error names


class ImageFolder:
    """Pictures in a folder with one subfolder for each class, decoded when they are accessed.

    With a `DataLoader` it handles data sets that are larger than the memory; ``num_workers`` threads decode pictures in
    parallel. `image_folder` reads all pictures into memory instead.

    Parameters
    ----------
    root : str or path-like
        The folder. The classes are its subfolders, sorted by name; their pictures are sorted too. See `image_folder`.
    transform : callable, optional
        Applied to each picture, a uint8 array (C, H, W), before it is returned; for example a `Preprocessing`. For
        random changes use the ``augment`` of a `DataLoader`.
    size : int or (int, int), optional
        Height and width to which each picture is resized; see `read_image`. By default each keeps its own size.
    channels : 1 or 3, optional
        Grey, or red, green, blue. By default 1 if no file can hold colour, otherwise 3.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes, by label.
    class_to_idx : dict of str to int
        Labels, by class name.
    samples : list of (str, int)
        Path and label of each picture.
    labels : ndarray of int64, shape (N,)
        The label of each picture.
    source : str
        Description of the data for printing.
    files : tuple of str
        File names of the pictures, relative to the folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DataError
        If there are no subfolders, or one has no pictures or has a folder in it. From ``folder[i]``, and from a
        `DataLoader` at the batch with this picture, if a file is not a picture or is damaged; the message names it. A
        ValueError.
    ImportError
        If Pillow is not installed.
    TypeError, ValueError
        If another argument is invalid.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn import data
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for kind, level in (("night", 0), ("day", 255)):
    ...         pathlib.Path(root, kind).mkdir()
    ...         for i in range(5):
    ...             _ = pathlib.Path(root, kind, f"{i}.pgm").write_bytes(b"P5 3 2 255 " + bytes([level] * 6))
    ...     pictures = data.ImageFolder(root, data.Preprocessing(size=4, mean=[0.5], std=[0.5]))
    ...     [(x, labels), *others] = data.DataLoader(pictures, batch_size=6, num_workers=2)
    >>> pictures.class_to_idx, len(pictures)
    ({'day': 0, 'night': 1}, 10)
    >>> x.shape, x.dtype, labels
    ((6, 1, 4, 4), dtype('float32'), array([0, 0, 0, 0, 0, 1]))
    """

    def __init__(self, root, transform: Callable | None = None, *, size=None, channels: int | None = None):
        if transform is not None and not callable(transform):
            raise TypeError(f"`transform` must be callable, transform(image), not {transform!r:.60}.")
        root = existing(root)
        self._set(root, pictures_by_class(root), _pair(size), _channels(channels), str(root), transform)

    @classmethod
    def of(cls, root: Path, files: dict[str, list[Path]], size, channels: int | None, source: str) -> "ImageFolder":
        """Build it from some of the files below a folder, by class."""
        folder = cls.__new__(cls)
        folder._set(root, files, size, channels, source, None)
        return folder

    def _set(self, root: Path, files: dict[str, list[Path]], size, channels: int | None, source: str, transform):
        self.root, self.size, self.source, self.transform = root, size, source, transform
        self.expected: tuple[int, ...] | None = None  # height and width that all pictures must have
        self.classes = tuple(files)
        self.class_to_idx = {name: label for label, name in enumerate(files)}
        self.samples = [(str(path), label) for label, paths in enumerate(files.values()) for path in paths]
        self.labels = np.array([label for _, label in self.samples], np.int64)
        self.channels = channels or channels_of(path for paths in files.values() for path in paths)

    @property
    def files(self) -> tuple[str, ...]:
        """See the class."""
        paths = [Path(path) for path, _ in self.samples]
        return tuple(
            (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix() for path in paths
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        """Return a picture, transformed, and its label."""
        path, label = self.samples[i]
        image = _read(Path(path), self.size, self.channels)
        if self.expected and image.shape[1:] != self.expected:
            found = "x".join(map(str, image.shape[1:]))
            raise DataError(
                f"{path} has {found} pixels (height x width) but the pictures before it have "
                f"{'x'.join(map(str, self.expected))}; pass `size` to resize all of them."
            )
        return image if self.transform is None else self.transform(image), label

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self):,} pictures, {len(self.classes)} classes)"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of the first picture."""
        return self[0][0].shape

    def alike(self, size: tuple[int, ...] | None = None) -> "ImageFolder":
        """Return the same pictures, which must all have this height and width, by default that of the first one."""
        folder = self.take(np.arange(len(self)))
        folder.expected = size or folder.image_shape[1:]
        return folder

    def load(self) -> ArrayDataset:
        """Read all pictures into memory; all must have the same size.

        Returns
        -------
        ArrayDataset
            With the `source`, the `classes` and the `files` of the folder.

        Raises
        ------
        ValueError
            If there is a `transform`, which would not be applied.
        DataError
            See the class; also if pictures differ in size.
        """
        if self.transform is not None:
            raise ValueError("`transform` must be None for `load`, which returns the pictures unchanged.")
        folder = self if self.expected else self.alike()
        images = [folder[i][0] for i in range(len(self))]
        return ArrayDataset(np.stack(images), self.labels, self.source, self.classes, self.files)

    def take(self, which: np.ndarray, source: str | None = None) -> "ImageFolder":
        """Return the pictures with these indices; ``source`` describes them, by default like the folder."""
        part = ImageFolder.__new__(ImageFolder)
        vars(part).update(vars(self))
        part.samples, part.labels = [self.samples[i] for i in which], self.labels[which]
        part.source = source or self.source
        return part

    def transformed(self, transform: Callable) -> "ImageFolder":
        """Return the same pictures with this transform."""
        folder = self.take(np.arange(len(self)))
        folder.transform = transform
        return folder

    def limit(self, n: int, rng: np.random.Generator) -> "ImageFolder":
        """Return ``n`` pictures drawn at random; see `ArrayDataset.limit`."""
        which = drawn(self.labels, n, rng)
        return self if which is None else self.take(which, f"{self.source}, {n} of {len(self)} images")


def image_folder(
    root, size=None, *, channels: int | None = None, test_fraction: float = 0.2, rng=None
) -> tuple[ArrayDataset, ArrayDataset]:
    """Read pictures from a folder with one subfolder for each class, named after the class.

    If ``root`` has the subfolders ``train`` and ``test``, in any case, each of these holds the classes. If ``test`` is
    missing, ``val``, ``valid`` or ``validation`` takes its place. (If there are both, read ``root/val`` with
    `ImageFolder`.) Without such subfolders, a random part of each class's pictures becomes test data. Classes and
    pictures are sorted by name, by code points on every system. Files in a class's folder without the suffix of a
    picture, such as ``notes.txt``, are left out, with a warning that counts them; a picture that cannot be read is an
    error. Files beside these folders are ignored, as are hidden files and folders and those of the operating system.

    Parameters
    ----------
    root : str or path-like
        The folder.
    size : int or (int, int)
        Height and width to which all pictures are resized; see `read_image`. By default all must have the same size.
    channels : 1 or 3
        Grey, or red, green, blue. By default 1 if no file can hold colour, otherwise 3.
    test_fraction : float, default 0.2
        Fraction of each class, between 0 and 1, that is held out if there is no ``test`` folder; at least one picture.
    rng : numpy.random.Generator
        Draws the held-out pictures; required if there is no ``test`` folder. The same seed holds out the same pictures.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, C, H, W), and labels of int64; `files` are named relative to ``root``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DataError
        If there are no subfolders; if one has no pictures, or one that is damaged or no picture; if pictures
        differ in size; if the parts have different classes; or if there are two folders for one part, or none for
        training. The message names the file. A ValueError.
    ImportError
        If Pillow is not installed.
    TypeError, ValueError
        If another argument is invalid, or ``rng`` is missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from fastcnn.data import image_folder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for kind, level in (("night", 0), ("day", 255)):
    ...         pathlib.Path(root, kind).mkdir()
    ...         for i in range(5):
    ...             _ = pathlib.Path(root, kind, f"{i}.pgm").write_bytes(b"P5 3 2 255 " + bytes([level] * 6))
    ...     train, test = image_folder(root, rng=np.random.default_rng(0))
    >>> train.images.shape, train.classes, test.labels
    ((8, 1, 2, 3), ('day', 'night'), array([0, 1]))
    """
    parts = find_parts(root, size, channels=channels, test_fraction=test_fraction, rng=rng)
    test = parts.get("test") or parts["validation"]
    paths = (Path(path) for part in (parts["train"], test) for path, _ in part.samples)
    with all_bad_named(test.root, paths):
        train = parts["train"].load()
        return train, test.alike(train.images.shape[2:]).load()


def find_parts(
    root, size=None, *, channels: int | None = None, test_fraction: float = 0.2, rng=None
) -> dict[str, ImageFolder]:
    """Return the parts of a folder: "train", and "validation" or "test" or both; no picture is read.

    If the folder has no parts, the held-out pictures are "test". See `image_folder`.
    """
    root = existing(root)
    size, channels = _pair(size), _channels(channels)
    sources = {"train": str(root)}
    if parts := parts_of(root):
        found = pictures_of_parts(parts)
        sources |= {part: str(path) for part, path in parts._asdict().items() if part != "train"}
    else:
        files = pictures_by_class(root)
        train, test = _split(root, files, test_fraction, rng)
        found = {"train": train, "test": test}
        held_out, all_of_them = (sum(map(len, part.values())) for part in (test, files))
        sources["test"] = f"{root}, {held_out:,} held-out pictures of {all_of_them:,}"
    if channels is None:
        paths = [path for part in found.values() for paths in part.values() for path in paths]
        with all_bad_named(root, paths):
            channels = channels_of(paths)
    return {part: ImageFolder.of(root, files, size, channels, sources[part]) for part, files in found.items()}


def read_pictures(root: Path, names: Iterable[str], size: tuple[int, int], channels: int, source: str) -> ArrayDataset:
    """Read the pictures below ``root`` with names as in `ArrayDataset.files`; see `image_folder`."""
    files: dict[str, list[Path]] = {}
    for name in sorted(names, key=lambda name: name.split("/")):
        files.setdefault(name.split("/")[0], []).append(root / name)
    return ImageFolder.of(root, files, size, channels, source).load()


@contextmanager
def all_bad_named(root: Path, paths: Iterable[Path]) -> Iterator[None]:
    """If a picture cannot be read, read all of them, so that the error names all bad files and says what to do."""
    try:
        yield
    except DataError as error:
        faults = {path.relative_to(root).as_posix(): fault for path in paths if (fault := fault_of(path))}
        if not faults:  # the error is another one, such as a picture of another size
            raise
        if len(faults) == 1:
            raise DataError(f"{next(iter(faults.values()))} Move it out of the folder.") from error
        names = f"{', '.join(sorted(faults)[:BAD])}{', ...' * (len(faults) > BAD)}"
        raise DataError(
            f"{root} holds {len(faults):,} files that cannot be read as pictures: {names}; move them out of the folder."
        ) from error


def existing(root) -> Path:
    """Return the folder, which must exist."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"`root` is {in_full(root)}, but there is no such folder.")
    return root


def channels_of(paths: Iterable[Path]) -> int:
    """Number of channels that the pictures need."""
    return 3 if any(map(has_colour, paths)) else 1


def _split(root: Path, files: dict[str, list[Path]], test_fraction: float, rng) -> tuple[dict, dict]:
    """Split the files of each class into training and test files."""
    test_fraction = _validate.number("test_fraction", test_fraction, 0, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"`rng` is {rng!r:.60} but {root} has no subfolders train and test; pass rng=np.random.default_rng(0), "
            "which chooses the test pictures."
        )
    train, test = {}, {}
    for name, paths in files.items():
        if len(paths) < 2:
            raise DataError(f"{root / name} has only one picture, but one for training and one for testing are needed.")
        n = min(max(round(test_fraction * len(paths)), 1), len(paths) - 1)
        held_out = set(rng.permutation(len(paths))[:n].tolist())
        train[name] = [path for i, path in enumerate(paths) if i not in held_out]
        test[name] = [path for i, path in enumerate(paths) if i in held_out]
    return train, test
