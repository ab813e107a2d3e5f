"""CIFAR-10 in its binary version: from a folder, the cache or the network."""

import gzip
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np

from .array_dataset import ArrayDataset
from .errors import DataError
from .sources import Source

TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
ARCHIVE = "cifar-10-binary.tar.gz"
EXTRACTED = "cifar-10-batches-bin"  # the folder within the archive
RECORD = 1 + 3 * 32 * 32  # bytes: a label, then red, green and blue, 32 rows of 32 each
MOST = 10_000  # records in a file
CHUNK = 1 << 20  # bytes read at a time

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# TensorFlow Datasets (url_checksums) and torchvision for Ruby have the same checksum.
CIFAR10 = Source(
    "CIFAR-10",
    "cifar-10",
    {ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ("https://www.cs.toronto.edu/~kriz/", "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"),
)


def cifar10(root=None, *, download: bool = True) -> tuple[ArrayDataset, ArrayDataset]:
    """Load CIFAR-10 [1]_: 50,000 training and 10,000 test photographs of ten classes, 32x32 in colour.

    It reads the binary version: the archive ``cifar-10-binary.tar.gz`` (170 MB), or the six extracted ``.bin`` files.
    The Python version is not read, because it is pickled and a pickle can execute code. Files are looked for in the
    same places as those of `mnist`, in the subfolder ``cifar-10``, and ``.bin`` files also in ``cifar-10-batches-bin``.

    Parameters
    ----------
    root : str or path-like
        The folder; see `mnist`.
    download : bool, default True
        See `mnist`.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, 3, 32, 32), channels red, green, blue; labels of int64 from 0 to 9.

    Raises
    ------
    FileNotFoundError, DownloadError
        See `mnist`.
    DataError
        If a file is damaged or is not CIFAR-10's: its length, its labels or the archive is wrong. A ValueError.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
       https://www.cs.toronto.edu/~kriz/cifar.html.

    Examples
    --------
    >>> from fastcnn.data import cifar10
    >>> cifar10("/no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is /no-such-folder, but there is no such folder.
    """
    place = CIFAR10.find(root, download, _locate)
    batches = _from_archive(place) if place.name == ARCHIVE else _from_folder(place)
    train, test = (_dataset([batches[file] for file in files], place) for files in (TRAIN, TEST))
    return train, test


def _locate(folder: Path, name: str) -> Path:
    """Return the folder that holds the six files, or the path of the archive."""
    outer = (folder / CIFAR10.folder, folder)
    for place in (place for out in outer for place in (out / EXTRACTED, out)):
        if all((place / file).is_file() for file in TRAIN + TEST):
            return place
        if (place / ARCHIVE).is_file():
            return place / ARCHIVE
    raise FileNotFoundError(
        f"{name} is {folder}, but neither it nor its subfolders {CIFAR10.folder} and {EXTRACTED} hold {ARCHIVE} or "
        f"{', '.join(TRAIN + TEST)}."
    )


def _from_folder(folder: Path) -> dict[str, np.ndarray]:
    """Read the records of each file, by file name, from a folder."""
    batches = {}
    for name in TRAIN + TEST:
        with open(folder / name, "rb") as file:
            batches[name] = _records(file, os.fstat(file.fileno()).st_size, str(folder / name))
    return batches


def _from_archive(path: Path) -> dict[str, np.ndarray]:
    """Read the records of each file, by file name, from the archive, without extracting it to disk."""
    batches = {}
    with open(path, "rb") as file:
        try:
            with _InChunks(fileobj=file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if name in TRAIN + TEST and member.isfile() and name not in batches:
                        batches[name] = _records(archive.extractfile(member), member.size, f"{path}, {member.name}")
                while stream.read(CHUNK):  # gzip compares the checksum only at the very end
                    pass
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise DataError(f"{path}: the archive is damaged ({error}); get the file again.") from error
    if missing := [name for name in TRAIN + TEST if name not in batches]:
        raise DataError(f"{path} lacks {', '.join(missing)}; it must be CIFAR-10's binary version.")
    return batches


class _InChunks(gzip.GzipFile):
    """A gzip file that allocates memory only for what it has decompressed.

    `gzip.GzipFile` allocates the requested size first, and a damaged archive may request 2**40 bytes for a name.
    """

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]  # tarfile never passes None
        """Return the next ``size`` bytes, or fewer at the end."""
        content = bytearray()
        while piece := super().read(CHUNK if size < 0 else min(CHUNK, size - len(content))):
            content += piece
        return bytes(content)


def _records(file, size: int, name: str) -> np.ndarray:
    """Return the records of one file, (N, RECORD). ``size`` is checked before memory is allocated."""
    if size == 0 or size % RECORD or size > MOST * RECORD:
        raise DataError(
            f"{name} has {size} bytes but must have {RECORD} for each image, and from 1 to {MOST:,} images."
        )
    data = file.read(size)
    if len(data) != size:
        raise DataError(f"{name} ends after {len(data)} of {size} bytes.")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        at = int(np.argmax(records[:, 0] > 9))
        raise DataError(f"{name}: label {at} is {records[at, 0]} but must be from 0 to 9.")
    return records


def _dataset(batches: list[np.ndarray], place: Path) -> ArrayDataset:
    images = np.concatenate([batch[:, 1:] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch[:, 0] for batch in batches]).astype(np.int64)
    return ArrayDataset(images, labels, f"CIFAR-10 from {place}", CLASSES)
