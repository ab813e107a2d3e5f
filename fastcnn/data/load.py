"""Loading data by name or path, as on a command line."""

from pathlib import Path

from fastcnn._names import choices_for
from fastcnn._text import in_full

from .array_dataset import ArrayDataset
from .cifar import cifar10
from .digits import digits
from .image_folder import image_folder
from .mnist import fashion_mnist, kmnist, mnist
from .npz import npz

BY_NAME = {"mnist": mnist, "fashion-mnist": fashion_mnist, "kmnist": kmnist, "cifar10": cifar10}


def names() -> tuple[str, ...]:
    """Names of the data sets that `load` knows.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> from fastcnn import data
    >>> data.names()
    ('mnist', 'fashion-mnist', 'kmnist', 'cifar10', 'digits')
    """
    return (*BY_NAME, "digits")


def load(name, root=None, **options) -> tuple[ArrayDataset, ArrayDataset]:
    """Load training and test data by the name of a data set or from a path.

    Parameters
    ----------
    name : str or path-like
        One of `names`, an ``.npz`` archive (see `npz`) or a folder of pictures (see `image_folder`). A name takes
        precedence over a folder of the same name; write ``./mnist`` for the folder.
    root : str or path-like
        The folder of a data set that would otherwise be downloaded; see `mnist`.
    **options
        Those of `image_folder`, for a folder of pictures: ``size``, ``channels``, ``test_fraction`` and ``rng``. A
        folder without subfolders ``train`` and ``test`` needs ``rng``, which chooses the test pictures. The named data
        sets and an ``.npz`` archive take no options.

    Returns
    -------
    train, test : ArrayDataset

    Raises
    ------
    ValueError
        If there is nothing of that name, or if ``root`` or an option does not apply to it.
    FileNotFoundError
        If it is a path that does not exist.
    FileNotFoundError, DownloadError, DataError, ImportError, TypeError
        See the functions named above.

    Examples
    --------
    >>> from fastcnn import data
    >>> train, test = data.load("digits")
    >>> len(train), len(test)
    (60000, 10000)

    A folder ``pictures`` with one subfolder for each class:

    >>> import numpy as np
    >>> train, test = data.load("pictures", size=32, rng=np.random.default_rng(0))  # doctest: +SKIP

    A name that does not exist:

    >>> data.load("imagenet")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: `name` is 'imagenet', but there is no folder or .npz archive imagenet..., and the data sets are mnist, \
fashion-mnist, kmnist, cifar10, digits.
    """
    path = Path(name).expanduser()
    is_folder = str(name) not in names() and path.is_dir()
    if options and not is_folder:
        raise ValueError(f"`{next(iter(options))}` applies only to a folder of images, which {name} is not.")
    if root is not None and str(name) not in BY_NAME:
        raise ValueError(f"`root` is {root} but applies only to {', '.join(BY_NAME)}, not to {name}.")
    if str(name) in BY_NAME:
        return BY_NAME[str(name)](root)
    if str(name) == "digits":
        return digits()
    if is_folder:
        return image_folder(path, **options)
    if path.exists() and path.suffix == ".npz":
        return npz(path)
    if path.exists():
        raise ValueError(f"`name` is {str(name)!r}, a file, but must be a folder of images or an .npz archive.")
    if len(path.parts) > 1 or path.suffix == ".npz":
        raise FileNotFoundError(f"There is no folder of images and no .npz archive {in_full(path)}.")
    raise ValueError(
        f"`name` is {str(name)!r}, but there is no folder or .npz archive {in_full(path)}, and the data sets are "
        f"{choices_for(name, names())}."
    )
