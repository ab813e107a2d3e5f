"""From settings to the data and the model of a run."""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastcnn import data, models, nn
from fastcnn.commands.errors import CommandError, UsageError, usage
from fastcnn.data import ArrayDataset, DataError, Preprocessing
from fastcnn.data.image_folder import find_parts

DIGITS = ("mnist", "digits")  # data whose pictures are centred as `digit_image` does
LEAST_SIZE = {"lenet5": 32, "lenet5_classic": 32}  # images that are smaller are padded, as in LeCun's paper

OPTIONS = {"`name`": "--data", "`root`": "--data-root", "`size`": "--image-size"}  # arguments of `fastcnn.data.load`
OPTION = re.compile("|".join(OPTIONS))


class Parts(NamedTuple):
    """The images of a run: trained on, looked at after each epoch, and looked at in the end.

    The second and the third are the same where nothing is held out.
    """

    train: ArrayDataset
    validation: ArrayDataset
    test: ArrayDataset


class Streams(NamedTuple):
    """Independent random generators for all that is drawn in a run."""

    model: np.random.Generator
    loader: np.random.Generator
    split: np.random.Generator
    validation: np.random.Generator
    limit: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> "Streams":
        """Those of a run."""
        return cls(*np.random.default_rng(seed).spawn(5))


def is_folder(name: str) -> bool:
    """Whether data of this name is a folder of pictures."""
    return name not in data.names() and Path(name).is_dir()


def load(name: str, root=None, size=None, channels=None, rng=None) -> dict[str, ArrayDataset]:
    """The parts "train", "test" and, of a folder that has it, "validation"; see `fastcnn.data.load`.

    What is only for folders of pictures goes to these only.
    """
    with said_of_options():
        if not is_folder(name):
            return dict(zip(("train", "test"), data.load(name, root), strict=True))
        if root is not None:
            data.load(name, root)  # which says that it is for named data only
        found = find_parts(name, size, channels=channels, rng=rng)
        train = found["train"].load()
        others = {part: folder.load(train.images.shape[2:]) for part, folder in found.items() if part != "train"}
        return {"train": train, **others}


@contextmanager
def said_of_options() -> Iterator[None]:
    """Let errors of `fastcnn.data` name options, not arguments."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's words name no argument
            raise
        kind = CommandError if isinstance(error, DataError | OSError) else UsageError
        raise kind(OPTION.sub(lambda found: OPTIONS[found[0]], str(error))) from error


def parts(settings: Mapping, streams: Streams) -> Parts:
    """The data of a run."""
    if settings["channels"] is not None and not is_folder(settings["data"]):
        raise UsageError(f"--channels is for a folder of pictures, which {settings['data']} is not.")
    found = load(settings["data"], settings["data_root"], settings["image_size"], settings["channels"], streams.split)
    train, validation = found["train"], found.get("validation")
    test = found.get("test") or found["validation"]
    if validation is not None and "test" in found and settings["validation"]:
        raise UsageError(f"--validation holds out a part of the training images, but {validation.source} is there.")
    if settings["limit"] is not None:
        train = train.limit(settings["limit"], streams.limit)
    held_out = round(settings["validation"] * len(train))
    if settings["validation"] and not 0 < held_out < len(train):
        raise DataError(f"{train.source}: of {len(train)} images, {held_out} would be held out for validation.")
    if held_out:
        order = streams.validation.permutation(len(train))
        train, validation = train.take(np.sort(order[held_out:])), train.take(np.sort(order[:held_out]))
    if len(np.unique(train.labels)) < 2:
        only = train.classes[train.labels[0]]
        raise DataError(f"{train.source}: all training images are of the class {only}, but two classes are needed.")
    return Parts(train, validation or test, test)


def preprocessing(settings: Mapping, train: ArrayDataset) -> Preprocessing:
    """What is done to the images before the network sees them."""
    size = settings["image_size"]
    if size is None:
        size = max(*train.images.shape[2:], LEAST_SIZE.get(settings["model"], 1))
    prepare = Preprocessing.of(train.images, size)
    if not all(prepare.std):
        raise DataError(f"{train.source}: all pixels of a channel have the same level, from which nothing is learned.")
    return prepare


def architecture(settings: Mapping, train: ArrayDataset, prepare: Preprocessing) -> dict:
    """The model, as `build` takes it."""
    shape = {"num_classes": len(train.classes), "in_channels": train.images.shape[1], "image_size": prepare.size}
    with usage():
        for name in shape.keys() & settings["model_options"].keys():
            raise ValueError(f"--model-options {name}: that is as the data are" + " or --image-size" * ("size" in name))
    return {"name": settings["model"], "options": shape | settings["model_options"]}


def build(architecture: Mapping, rng=None) -> nn.Sequential:
    """The model of an architecture."""
    with usage():
        return models.build(architecture["name"], rng=rng, **architecture["options"])


def fingerprint(dataset: ArrayDataset) -> int:
    """A sum that other images or labels hardly have."""
    return zlib.crc32(np.ascontiguousarray(dataset.labels).data, zlib.crc32(np.ascontiguousarray(dataset.images).data))
