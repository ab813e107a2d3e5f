"""Data: IDX files, MNIST, the embedded digits, and what turns them into batches."""

from .dataset import Dataset
from .digits import digits
from .errors import DataError, DownloadError
from .idx import read_idx
from .loader import DataLoader
from .mnist import mnist, mnist_or_digits
from .transforms import mean_and_std, pad_images, standardize

__all__ = [
    "DataError",
    "DataLoader",
    "Dataset",
    "DownloadError",
    "digits",
    "mean_and_std",
    "mnist",
    "mnist_or_digits",
    "pad_images",
    "read_idx",
    "standardize",
]
