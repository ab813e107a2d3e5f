"""One's own pictures: a folder with a subfolder for each class."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fastcnn import _validate

from .dataset import Dataset
from .errors import DataError
from .pictures import _channels, _pair, _read, has_colour

# What systems leave in folders, in lower case; all else that they leave has a dot in front: .DS_Store, ._1.jpg.
LEFT_BY_SYSTEMS = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",  # Windows
    "icon\r", "__macosx",  # macOS
    "@eadir", "#recycle",  # Synology's disk stations
    "lost+found",  # Linux
}  # fmt: skip


def image_folder(
    root, size=None, *, channels: int | None = None, test_fraction: float = 0.2, rng=None
) -> tuple[Dataset, Dataset]:
    """Pictures from a folder with one subfolder for each class, whose name is the class's.

    A ``root`` with the subfolders ``train`` and ``test`` holds the classes in each of these. Otherwise a part of each
    class's pictures, drawn at random, becomes test data. Classes are sorted by name, pictures too, by code points, as
    on all systems. All that lies in a class's folder must be a picture, and files that lie beside those folders are not
    looked at. Hidden files and folders and those that systems leave are ignored.

    Parameters
    ----------
    root : str or path-like
        The folder.
    size : int or (int, int)
        Height and width, to which all are resized, see `read_image`. Without it, all must have the same already.
    channels : 1 or 3
        Grey, or red, green, blue. Without it, 1 if no file can hold colour, otherwise 3.
    test_fraction : float
        Which part of each class is held out where there is no ``test`` folder: between 0 and 1, and at least one
        picture.
    rng : numpy.random.Generator
        What draws them; needed where there is no ``test`` folder. A new generator of the same seed holds out the same.

    Returns
    -------
    train, test : Dataset
        Images of uint8, shape (N, C, H, W), and labels of int64; `files` are named relative to ``root``.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    DataError
        There are no subfolders, one of them is empty, holds something else than pictures or one that is damaged, or
        pictures differ in size; the sentence names the file. A ValueError.
    ImportError
        Pillow is not installed.
    TypeError, ValueError
        Another argument is wrong, or ``rng`` is missing.

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
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"`root` is {root}, but there is no such folder.")
    size, channels = _pair(size), _channels(channels)
    test_source = str(root)
    if has_parts(root):
        train, test = pictures_by_class(root / "train"), pictures_by_class(root / "test")
        if list(train) != list(test):
            differ = ", ".join(sorted(set(train) ^ set(test)))
            raise DataError(f"{root}: train and test must have the same classes, but only one has {differ}.")
    else:
        files = pictures_by_class(root)
        train, test = _split(root, files, test_fraction, rng)
        held_out, all_of_them = (sum(map(len, part.values())) for part in (test, files))
        test_source += f", {held_out:,} held-out pictures of {all_of_them:,}"
    if channels is None:
        paths = (path for part in (train, test) for paths in part.values() for path in paths)
        channels = 3 if any(map(has_colour, paths)) else 1
    training = _dataset(root, train, size, None, channels, str(root))
    return training, _dataset(root, test, size, training.images.shape[2:], channels, test_source)


def has_parts(root: Path) -> bool:
    """Whether a folder has the subfolders ``train`` and ``test``, so that nothing is held out from it."""
    return (root / "train").is_dir() and (root / "test").is_dir()


def pictures_by_class(folder: Path) -> dict[str, list[Path]]:
    """Class -> its files, both sorted."""
    classes = [path for path in _listed(folder) if path.is_dir()]
    if not classes:
        raise DataError(f"{folder} has no subfolders; there must be one for each class, with its pictures.")
    files = {path.name: _listed(path) for path in classes}
    for path in classes:
        if not files[path.name]:
            raise DataError(f"{path} is empty; there must be pictures of the class in it.")
        if folders := [file for file in files[path.name] if file.is_dir()]:
            raise DataError(f"{folders[0]} is a folder, but {path} must hold the pictures of the class themselves.")
    return files


def read_pictures(root: Path, names: Iterable[str], size: tuple[int, int], channels: int, source: str) -> Dataset:
    """Those pictures below ``root`` that are named as `Dataset.files` names them; see `image_folder`."""
    files: dict[str, list[Path]] = {}
    for name in sorted(names, key=lambda name: name.split("/")):
        files.setdefault(name.split("/")[0], []).append(root / name)
    return _dataset(root, files, size, None, channels, source)


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder but was not left there by a system, by name; paths themselves sort otherwise on Windows."""
    found = (path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in LEFT_BY_SYSTEMS)
    return sorted(found, key=lambda path: path.name)


def _split(root: Path, files: dict[str, list[Path]], test_fraction: float, rng) -> tuple[dict, dict]:
    """Training and test files of each class."""
    test_fraction = _validate.number("test_fraction", test_fraction, 0, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"`rng` is {rng!r:.60} but {root} has no subfolders train and test, and to hold out test images needs a "
            "numpy.random.Generator, such as numpy.random.default_rng(0)."
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


def _dataset(root: Path, files: dict[str, list[Path]], size, expected, channels: int, source: str) -> Dataset:
    """Read them all; what has another size than is ``expected``, or than the first, is an error."""
    images, labels = [], []
    for label, paths in enumerate(files.values()):
        for path in paths:
            image = _read(path, size, channels)
            found, expected = image.shape[1:], expected or image.shape[1:]
            if found != expected:
                raise DataError(
                    f"{path} has {found[0]}x{found[1]} pixels (height x width) but those before it have "
                    f"{expected[0]}x{expected[1]}; give `size`, to which all are resized."
                )
            images.append(image)
            labels.append(label)
    names = tuple(path.relative_to(root).as_posix() for paths in files.values() for path in paths)
    return Dataset(np.stack(images), np.array(labels), source, tuple(files), names)
