"""MNIST: from a folder, from the cache, or from the network."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from .dataset import Dataset
from .digits import digits
from .errors import DataError, DownloadError
from .idx import read_idx

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The original files, as Yann LeCun and Corinna Cortes published them
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
TIMEOUT = 10  # seconds to wait for a mirror to connect, and for each further piece of a file


def mnist(root=None, *, download: bool = True) -> tuple[Dataset, Dataset]:
    """The MNIST handwritten digits [1]_: 60,000 training and 10,000 test images of 28x28 grey levels.

    The four IDX files, plain or .gz, come from the folder ``root``; without it, from the folder that the environment
    variable FASTCNN_DATA names; without that, from the user's cache folder, into which they are downloaded first if
    need be (11 MB, checked by MD5). They may lie in the folder itself or in its subfolder ``mnist``. A folder that was
    named must hold them: nothing is downloaded in its place.

    Parameters
    ----------
    root : str or path-like
        The folder.
    download : bool
        Download the files if no folder was named and the cache has none.

    Returns
    -------
    train, test : Dataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9.

    Raises
    ------
    FileNotFoundError
        The folder lacks files; the sentence names it and them.
    DownloadError
        No folder was named and the download failed, or pooch, which downloads, is not installed. An OSError.
    DataError
        A file is damaged or is not MNIST's: its format, shape, type, labels, or number of labels. A ValueError.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proc. IEEE 86(11), 1998.

    Examples
    --------
    >>> from fastcnn.data import mnist
    >>> mnist("no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is no-such-folder, but there is no such folder.
    """
    if root is not None:
        return _read(_locate(Path(root), "`root`"))
    if folder := os.environ.get("FASTCNN_DATA"):
        return _read(_locate(Path(folder), "FASTCNN_DATA"))
    cache = _cache()
    try:
        return _read(_locate(cache, "The cache folder"))
    except FileNotFoundError:
        if not download:
            raise
    _download(cache)
    return _read(_locate(cache, "The cache folder"))


def mnist_or_digits(root=None) -> tuple[Dataset, Dataset]:
    """What a run without options trains on: MNIST where it can be had, otherwise the embedded digits.

    The ``source`` of what is returned says which, and why. Only a failed download leads to the digits: a folder that
    was named (by ``root`` or FASTCNN_DATA) and is wrong, or a damaged file, is an error as in `mnist`.

    Parameters
    ----------
    root : str or path-like
        MNIST's folder, see `mnist`.

    Returns
    -------
    train, test : Dataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9; 60,000 and 10,000 of them.

    Raises
    ------
    FileNotFoundError, DataError
        See `mnist`.

    Examples
    --------
    >>> from fastcnn.data import mnist_or_digits
    >>> mnist_or_digits("no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is no-such-folder, but there is no such folder.
    """
    try:
        return mnist(root)
    except DownloadError as error:
        why = f"embedded digits (no MNIST folder given; {error.reason})"
    train, test = digits()
    return Dataset(train.images, train.labels, why), Dataset(test.images, test.labels, why)


def _locate(folder: Path, name: str) -> dict[str, Path]:
    """The paths of the four files, all in ``folder`` or all in its subfolder."""
    folder = folder.expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} is {folder}, but there is no such folder.")
    lacks = []
    for place in (folder, folder / "mnist"):
        candidates = {file: (place / file, place / f"{file}.gz") for file in TRAIN + TEST}
        found = {file: path for file, paths in candidates.items() for path in reversed(paths) if path.is_file()}
        if len(found) == len(candidates):
            return found
        lacks.append((place, [file for file in candidates if file not in found]))
    place, missing = min(lacks, key=lambda lack: len(lack[1]))
    where = f"{folder} and its subfolder mnist lack" if len(missing) == len(TRAIN + TEST) else f"{place} lacks"
    raise FileNotFoundError(f"{name} is {folder}, but {where} {', '.join(missing)} (plain or with .gz).")


def _read(files: dict[str, Path]) -> tuple[Dataset, Dataset]:
    """Training and test data from the four files."""
    return _read_pair(*(files[file] for file in TRAIN)), _read_pair(*(files[file] for file in TEST))


def _read_pair(images_path: Path, labels_path: Path) -> Dataset:
    images = read_idx(images_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise DataError(
            f"{images_path}: the shape is {images.shape} and the type {images.dtype} but MNIST's images are "
            "(N, 28, 28) and uint8, at least one."
        )
    labels = read_idx(labels_path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(
            f"{labels_path}: the shape is {labels.shape} and the type {labels.dtype} but MNIST's labels are (N,) and "
            "uint8."
        )
    if len(labels) != len(images):
        raise DataError(
            f"{labels_path} has {len(labels)} labels but {images_path} has {len(images)} images; there must be one "
            "label for each image."
        )
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(f"{labels_path}: label {at} is {labels[at]} but must be from 0 to 9.")
    return Dataset(images[:, None], labels.astype(np.int64), f"MNIST from {images_path.parent}")


def _cache() -> Path:
    """The user's cache folder for MNIST, whether or not it exists."""
    try:
        import pooch
    except ImportError as error:
        raise DownloadError(
            "pooch, which downloads MNIST, is not installed",
            'Install it with pip install "fastcnn[data]", or name a folder that holds MNIST by `root` or FASTCNN_DATA.',
        ) from error
    return Path(pooch.os_cache("fastcnn")) / "mnist"


def _download(folder: Path) -> None:
    """Put the four original files into ``folder``, from the first mirror that gives them all."""
    import pooch

    advice = f"Put {', '.join(MD5)} into {folder}, or into a folder that you name by `root` or FASTCNN_DATA."
    failures = []
    log = pooch.get_logger()
    level = log.level
    log.setLevel("ERROR")  # at INFO, it prints a paragraph a file
    try:
        for mirror in MIRRORS:
            try:
                for file, md5 in MD5.items():
                    _fetch(mirror + file, f"md5:{md5}", folder)
                return
            except (OSError, ValueError) as error:
                # pooch's one ValueError here is a wrong hash; what requests raises is an OSError
                what = f"the MD5 of {file} is wrong" if isinstance(error, ValueError) else type(error).__name__
                failures.append(f"{urlsplit(mirror).netloc}: {what}")
                if mirror == MIRRORS[-1]:
                    raise DownloadError(f"MNIST could not be downloaded ({'; '.join(failures)})", advice) from error
    finally:
        log.setLevel(level)


def _fetch(url: str, known_hash: str, folder: Path) -> None:
    import pooch

    file = url.rpartition("/")[2]
    long = file.startswith("train-images")  # 10 MB; the others are gone before a bar could be read
    downloader = pooch.HTTPDownloader(progressbar=long and sys.stderr.isatty(), timeout=TIMEOUT)
    pooch.retrieve(url, known_hash, fname=file, path=folder, downloader=downloader)
