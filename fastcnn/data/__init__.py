"""Data: known data sets, folders of pictures, and loaders that make batches of them."""

from typing import TYPE_CHECKING

from fastcnn import _absent

from . import augment
from .array_dataset import ArrayDataset
from .cifar import cifar10
from .dataset import Dataset
from .digit_pictures import digit_image
from .digits import digits
from .errors import DataError, DownloadError
from .idx import read_idx
from .image_folder import ImageFolder, image_folder
from .load import load, names
from .loader import DataLoader
from .mnist import fashion_mnist, kmnist, mnist, mnist_or_digits
from .npz import npz
from .pictures import read_image
from .preprocessing import Preprocessing
from .shapes import shapes
from .signals import WAVEFORMS, waveforms
from .transforms import mean_and_std, pad_images, standardize

__all__ = [
    "WAVEFORMS",
    "ArrayDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "DownloadError",
    "ImageFolder",
    "Preprocessing",
    "augment",
    "cifar10",
    "digit_image",
    "digits",
    "fashion_mnist",
    "image_folder",
    "kmnist",
    "load",
    "mean_and_std",
    "mnist",
    "mnist_or_digits",
    "names",
    "npz",
    "pad_images",
    "read_idx",
    "read_image",
    "shapes",
    "standardize",
    "waveforms",
]


if not TYPE_CHECKING:  # otherwise type checkers would accept every name
    __getattr__ = _absent.say(__name__)
