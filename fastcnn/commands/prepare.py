"""Make the data, the preprocessing and the model of a run from its settings."""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastcnn import _memory, data, models, nn
from fastcnn.commands.errors import CommandError, UsageError, usage
from fastcnn.data import ArrayDataset, DataError, DataLoader, DownloadError, ImageFolder, Preprocessing
from fastcnn.data.folders import parts_of
from fastcnn.data.image_folder import all_bad_named, find_parts
from fastcnn.data.transforms import level_counts, moments

DIGITS = ("mnist", "digits")  # data sets of digits that are centred as by `digit_image`
LEAST_SIZE = {"lenet5": 32, "lenet5_classic": 32}  # smaller images are padded, as in LeCun's paper

AT_ONCE = 256  # images in a batch when the data are read through

# argument of `fastcnn.data.load` -> option of the command
OPTIONS = {"`name`": "--data", "`root`": "--data-root", "`size`": "--image-size"}
OPTION = re.compile("|".join(OPTIONS))

# option of the commands -> option of all models
SIZES = {"image_size": "image_size", "channels": "in_channels", "classes": "num_classes"}

Images = ArrayDataset | ImageFolder  # in memory, or decoded when needed


class Parts(NamedTuple):
    """The images of a run: for training, for validation after each epoch, and for the test at the end.

    Validation and test images are the same if no validation images are held out.
    """

    train: Images
    validation: Images
    test: Images


class Streams(NamedTuple):
    """Independent random generators, one for each purpose in a run."""

    model: np.random.Generator
    loader: np.random.Generator
    split: np.random.Generator
    validation: np.random.Generator
    limit: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> "Streams":
        """Make the generators of a run."""
        return cls(*np.random.default_rng(seed).spawn(5))


def is_folder(name: str) -> bool:
    """Whether the name of a data set is that of a folder of pictures."""
    return name not in data.names() and Path(name).is_dir()


def lacks_test(name: str) -> bool:
    """Whether a data set is a folder of pictures with validation images but no test images."""
    parts = parts_of(Path(name)) if is_folder(name) else None
    return parts is not None and parts.test is None


def load(name: str, root=None, size=None, channels=None, rng=None) -> dict[str, Images]:
    """Load the parts "train", "test" and, if a folder has it, "validation"; see `fastcnn.data.load`.

    Pictures of a folder are not read yet. `size`, `channels` and `rng` are used for folders of pictures only.
    """
    with said_of_options():
        if not is_folder(name):
            try:
                return dict(zip(("train", "test"), data.load(name, root), strict=True))
            except DownloadError as error:
                builtin = "or train on the built-in digits: --data digits."
                raise OSError(f"{str(error).removesuffix('.')}, {builtin}") from error
        if root is not None:
            data.load(name, root)  # raises the error that `root` is only for named data sets
        found = find_parts(name, size, channels=channels, rng=rng)
        with _all_bad_named(name, found.values()):
            expected = found["train"].image_shape[1:]
        return {part: folder.alike(expected) for part, folder in found.items()}


@contextmanager
def said_of_options() -> Iterator[None]:
    """Reword errors of `fastcnn.data`: they name options of the command instead of arguments."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # an error of the system names no argument
            raise
        kind = CommandError if isinstance(error, DataError | OSError) else UsageError
        raise kind(OPTION.sub(lambda found: OPTIONS[found[0]], str(error))) from error


def parts(settings: Mapping, streams: Streams) -> Parts:
    """Load the data of a run and hold out the validation images."""
    if settings["channels"] is not None and not is_folder(settings["data"]):
        raise UsageError(f"--channels is for a folder of pictures, which {settings['data']} is not.")
    if settings["lazy"] and not is_folder(settings["data"]):
        raise UsageError(f"--lazy is for a folder of pictures, which {settings['data']} is not.")
    found = load(settings["data"], settings["data_root"], settings["image_size"], settings["channels"], streams.split)
    train, validation = found["train"], found.get("validation")
    test = found.get("test") or found["validation"]
    if validation is not None and "test" in found and settings["validation"]:
        raise UsageError(f"--validation holds out training images, but {validation.source} has validation images.")
    if settings["limit"] is not None:
        train = train.limit(settings["limit"], streams.limit)
    held_out = round(settings["validation"] * len(train))
    if settings["validation"] and not 0 < held_out < len(train):
        raise DataError(
            f"{train.source}: --validation {settings['validation']:g} would hold out {held_out} of {len(train)} images."
        )
    if held_out:
        order = streams.validation.permutation(len(train))
        train, validation = train.take(np.sort(order[held_out:])), train.take(np.sort(order[:held_out]))
    if len(np.unique(train.labels)) < 2:
        only = train.classes[train.labels[0]]
        raise DataError(f"{train.source}: all training images are of the class {only}, but two classes are needed.")
    all_of_them = Parts(train, validation or test, test)
    if isinstance(train, ImageFolder) and _is_lazy(settings, all_of_them):
        return all_of_them
    with said_of_options(), _all_bad_named(settings["data"], all_of_them):
        read = {id(part): part.load() if isinstance(part, ImageFolder) else part for part in all_of_them}
    return Parts(*(read[id(part)] for part in all_of_them))


def _all_bad_named(root: str, folders: Iterable[Images]) -> AbstractContextManager:
    """See `fastcnn.data.image_folder.all_bad_named`."""
    paths = {Path(path): None for folder in folders if isinstance(folder, ImageFolder) for path, _ in folder.samples}
    return all_bad_named(Path(root), paths)


def _is_lazy(settings: Mapping, parts: Parts) -> bool:
    """Whether pictures are decoded when needed: as the setting says, else if they would fill half of the memory."""
    if settings["lazy"] is not None:
        return settings["lazy"]
    C, H, W = parts.train.image_shape
    size = settings["image_size"] or max(H, W)
    each = C * (H * W + 4 * size * size)  # bytes of the uint8 image and of the network's float32 input
    return each * sum({id(part): len(part) for part in parts}.values()) > _memory.total() / 2


class Seen(NamedTuple):
    """A checksum and the statistics of the training images."""

    fingerprint: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def look_at(train: Images, workers: int) -> Seen:
    """Read the training images once: compute a checksum of images and labels, and the mean and std of each channel."""
    checksum, counts = 0, np.zeros((train.image_shape[0], 256), np.int64)
    with said_of_options():
        for images, _ in DataLoader(train, AT_ONCE, num_workers=workers):
            checksum = zlib.crc32(images.data, checksum)
            counts += level_counts(images)
    mean, std = moments(counts)
    if not all(std):
        raise DataError(f"{train.source}: all pixels of a channel have the same value, so there is nothing to learn.")
    checksum = zlib.crc32(np.ascontiguousarray(train.labels).data, checksum)
    return Seen(checksum, tuple(mean.tolist()), tuple(std.tolist()))


def read_through(images: Images, workers: int) -> None:
    """Decode all pictures of a folder once, so that a bad file is an error now and not after an epoch."""
    if isinstance(images, ImageFolder):
        with said_of_options():
            for _ in DataLoader(images, AT_ONCE, num_workers=workers):
                pass


def preprocessing(settings: Mapping, train: Images, seen: Seen) -> Preprocessing:
    """Make the preprocessing of the images for the network."""
    size = settings["image_size"]
    if size is None:
        size = max(*train.image_shape[1:], LEAST_SIZE.get(settings["model"], 1))
    return Preprocessing(size, seen.mean, seen.std)


def architecture(settings: Mapping, train: Images, prepare: Preprocessing) -> dict:
    """Describe the model by its name and options, as `build` takes it."""
    shape = {"num_classes": len(train.classes), "in_channels": train.image_shape[0], "image_size": prepare.size}
    with usage():
        for name in shape.keys() & settings["model_options"].keys():
            raise ValueError(f"--model-options {name}: it is set by the data" + " or --image-size" * ("size" in name))
    return {"name": settings["model"], "options": shape | settings["model_options"]}


def build(architecture: Mapping, rng=None) -> nn.Sequential:
    """Build the model that `architecture` describes."""
    name = architecture["name"]
    try:
        return models.build(name, rng=rng, **architecture["options"])
    except (TypeError, ValueError) as error:
        said = str(error)
        for option, argument in SIZES.items():
            if said.startswith(f"`{argument}`"):
                end = said.removeprefix(f"`{argument}`").removesuffix(".")
                said = f"--{option.replace('_', '-')}{end} for the model {name}."
        raise UsageError(said) from error
