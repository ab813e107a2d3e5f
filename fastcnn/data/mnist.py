"""MNIST and data sets in its format: from a folder, the cache or the network."""

from pathlib import Path

import numpy as np

from .array_dataset import ArrayDataset
from .digits import digits
from .errors import DataError, DownloadError
from .idx import read_idx
from .sources import Source

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _sums(*sha256: str) -> dict[str, str]:
    """Return the SHA-256 sums of the four files, by file name."""
    return {f"{file}.gz": sum for file, sum in zip(TRAIN + TEST, sha256, strict=True)}


# TensorFlow Datasets (url_checksums) and torchvision for Ruby have the same checksums.
MNIST = Source(
    "MNIST",
    "mnist",
    _sums(
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
)
FASHION_MNIST = Source(
    "Fashion-MNIST",
    "fashion-mnist",
    _sums(
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)
KMNIST = Source(
    "KMNIST",
    "kmnist",
    _sums(
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
    (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/KMNIST/",
    ),
)

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def mnist(root=None, *, download: bool = True) -> tuple[ArrayDataset, ArrayDataset]:
    """Load the MNIST handwritten digits [1]_: 60,000 training and 10,000 test images of 28x28 grey levels.

    The four IDX files, plain or .gz, are read from the folder ``root``, by default from the folder that the environment
    variable FASTCNN_DATA names. Without both they are read from the user's cache folder, and downloaded to it first if
    necessary (11 MB, checked by SHA-256). The files may be in the folder itself or in its subfolder ``mnist``. A folder
    named by ``root`` or FASTCNN_DATA must hold the files: nothing is downloaded then.

    Parameters
    ----------
    root : str or path-like
        The folder.
    download : bool, default True
        Download the files if no folder is named and the cache does not have them.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9.

    Raises
    ------
    FileNotFoundError
        If the folder lacks files; the message names them.
    DownloadError
        If no folder is named and the download failed, or pooch is not installed. An OSError.
    DataError
        If a file is damaged or is not MNIST's: its format, shape, dtype, labels or number of labels is wrong. A
        ValueError.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proc. IEEE 86(11), 1998.

    Examples
    --------
    >>> from fastcnn.data import mnist
    >>> mnist("/no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is /no-such-folder, but there is no such folder.
    """
    return _load(MNIST, DIGITS, root, download)


def fashion_mnist(root=None, *, download: bool = True) -> tuple[ArrayDataset, ArrayDataset]:
    """Load Fashion-MNIST [1]_: 60,000 training and 10,000 test images of clothes, bags and shoes, 28x28 grey levels.

    The files have the same names as those of `mnist` and are looked for in the same places, in the subfolder
    ``fashion-mnist`` (31 MB). In FASTCNN_DATA, a folder for all data sets, they must be in that subfolder.

    Parameters
    ----------
    root : str or path-like
        The folder; see `mnist`.
    download : bool, default True
        See `mnist`.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9.

    Raises
    ------
    FileNotFoundError, DownloadError, DataError
        See `mnist`.

    References
    ----------
    .. [1] H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
       algorithms", 2017, https://arxiv.org/abs/1708.07747.

    Examples
    --------
    >>> from fastcnn.data import fashion_mnist
    >>> fashion_mnist("/no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is /no-such-folder, but there is no such folder.
    """
    return _load(FASHION_MNIST, FASHION, root, download)


def kmnist(root=None, *, download: bool = True) -> tuple[ArrayDataset, ArrayDataset]:
    """Load Kuzushiji-MNIST [1]_: 60,000 training and 10,000 test images of ten cursive hiragana, 28x28 grey levels.

    The files have the same names as those of `mnist` and are looked for in the same places, in the subfolder ``kmnist``
    (21 MB). In FASTCNN_DATA, a folder for all data sets, they must be in that subfolder.

    Parameters
    ----------
    root : str or path-like
        The folder; see `mnist`.
    download : bool, default True
        See `mnist`.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9.

    Raises
    ------
    FileNotFoundError, DownloadError, DataError
        See `mnist`.

    References
    ----------
    .. [1] T. Clanuwat et al., "Deep learning for classical Japanese literature", 2018,
       https://arxiv.org/abs/1812.01718.

    Examples
    --------
    >>> from fastcnn.data import kmnist
    >>> kmnist("/no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is /no-such-folder, but there is no such folder.
    """
    return _load(KMNIST, HIRAGANA, root, download)


def mnist_or_digits(root=None) -> tuple[ArrayDataset, ArrayDataset]:
    """Load MNIST if it is available, otherwise the built-in digits; the default data of the command line.

    The ``source`` of the returned data says which of them it is, and why. Only a failed download leads to the digits. A
    wrong folder (``root`` or FASTCNN_DATA) or a damaged file is an error, as in `mnist`.

    Parameters
    ----------
    root : str or path-like
        MNIST's folder; see `mnist`.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (N, 1, 28, 28), and labels of int64 from 0 to 9; 60,000 and 10,000 of them.

    Raises
    ------
    FileNotFoundError, DataError
        See `mnist`.

    Examples
    --------
    >>> from fastcnn.data import mnist_or_digits
    >>> mnist_or_digits("/no-such-folder")
    Traceback (most recent call last):
    FileNotFoundError: `root` is /no-such-folder, but there is no such folder.
    """
    try:
        return mnist(root)
    except DownloadError as error:
        why = f"built-in digits, because no MNIST folder was given and {error.reason}"
    train, test = (ArrayDataset(part.images, part.labels, why, part.classes) for part in digits())
    return train, test


def _load(source: Source, classes: tuple[str, ...], root, download: bool) -> tuple[ArrayDataset, ArrayDataset]:
    """Load training and test data from the four files."""
    files = source.find(root, download, lambda folder, name: _locate(source, folder, name))
    train, test = (_read_pair(source.title, classes, *(files[file] for file in pair)) for pair in (TRAIN, TEST))
    return train, test


def _locate(source: Source, folder: Path, name: str) -> dict[str, Path]:
    """Find the four files, all in ``folder`` or all in its subfolder."""
    places = [folder / source.folder, folder]
    if name == "FASTCNN_DATA" and source is not MNIST:
        places.pop()  # files with these names in the folder itself are MNIST's
    lacks = []
    for place in places:
        candidates = {file: (place / file, place / f"{file}.gz") for file in TRAIN + TEST}
        found = {file: path for file, paths in candidates.items() for path in reversed(paths) if path.is_file()}
        if len(found) == len(candidates):
            return found
        lacks.append((place, [file for file in candidates if file not in found]))
    place, missing = min(lacks, key=lambda lack: len(lack[1]))
    if len(places) > 1 and len(missing) == len(TRAIN + TEST):
        where = f"{folder} and its subfolder {source.folder} lack"
    else:
        where = f"{place} lacks"
    raise FileNotFoundError(f"{name} is {folder}, but {where} {', '.join(missing)} (plain or with .gz).")


def _read_pair(title: str, classes: tuple[str, ...], images_path: Path, labels_path: Path) -> ArrayDataset:
    images = read_idx(images_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise DataError(
            f"{images_path}: the shape is {images.shape} and the dtype {images.dtype} but must be (N, 28, 28), with "
            f"at least one image, and uint8 for {title}."
        )
    labels = read_idx(labels_path)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(
            f"{labels_path}: the shape is {labels.shape} and the dtype {labels.dtype} but must be (N,) and uint8 for "
            f"{title}."
        )
    if len(labels) != len(images):
        raise DataError(
            f"{labels_path} has {len(labels)} labels but {images_path} has {len(images)} images; there must be one "
            "label for each image."
        )
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(f"{labels_path}: label {at} is {labels[at]} but must be from 0 to 9.")
    return ArrayDataset(images[:, None], labels.astype(np.int64), f"{title} from {images_path.parent}", classes)
