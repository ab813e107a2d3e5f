"""The settings of a training run: one table for the command line, the TOML file and what a run writes down."""

import math
import re
import shlex
import tomllib
from argparse import SUPPRESS, BooleanOptionalAction
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastcnn
from fastcnn import backends, data, models
from fastcnn._convolution import WAYS
from fastcnn._text import unicode_text
from fastcnn.commands.arguments import Parser, Table, choice, flag, from_text, number, table, text_value, texts, whole
from fastcnn.commands.errors import UsageError
from fastcnn.commands.parts import AUGMENTS, OPTIMIZERS, SCHEDULES

_RATES = ", ".join(f"{name} {lr:g}" for name, (_, lr, _) in OPTIMIZERS.items())


# What fits few images and many, and is 128 and 5 from 10,240 on. Of 240 pictures, 24 a class, batches of 16 and 30
# epochs make of CIFAR-10 44 % right by VGG-7 and 29 % by LeNet-5 (19 % with batches of 128 and 5 epochs), of MNIST 90 %
# by LeNet-5 (56 %). Batches of 8, or 60 epochs, gain 1 % at most. Of 1000, batches of 64 and 20 epochs make 38 % of
# CIFAR-10 right by LeNet-5, 128 and 5 epochs 30 %. (Test images; means of two seeds by VGG-7, of three by LeNet-5.)
SMALLEST, LARGEST, BATCHES = 8, 128, 10  # images in a batch, batches in an epoch
FEWEST, MOST, STEPS = 5, 30, 400  # epochs, batches in all


@dataclass(frozen=True)
class Setting:
    """One of them. ``--its-name`` is its option; None is a default that depends on others, or nothing."""

    default: object
    check: Callable
    metavar: str | None
    help: str


SETTINGS = {
    "model": Setting("lenet5", choice(*models.NAMES), None, f"one of {', '.join(models.NAMES)}"),
    "model_options": Setting({}, table, None, "of the model, see `fastcnn summary --help`: pooling=avg"),
    "weights": Setting(None, text_value, "RUN", "start from the best weights of this run, or a checkpoint's, with its "
                       "model and size of images; what has another shape, as the head for other classes, is new"),
    "freeze": Setting([], texts, "NAME", "what does not learn: names of layers or parameters, as 0 or 0.weight, or "
                      "patterns of them, as '[0-3]'; or body, which is all but the head"),
    "data": Setting("mnist", text_value, "DATA", f"{', '.join(data.names())}, an .npz file, or a folder of pictures: a "
                    "subfolder for each class; or train beside val (or valid, validation), test or both, with these in "
                    "each"),
    "data_root": Setting(None, text_value, "DIR", "where the named data set lies (default: FASTCNN_DATA, else cached)"),
    "limit": Setting(None, whole(1), "N", "train on N images only, drawn at random, of each class its share"),
    "validation": Setting(0.0, number(0, 0.9), "PART", "of the training images, held out to choose the best epoch; "
                          "0 lets the test images choose, which flatters the result a little"),
    "image_size": Setting(None, whole(1), "N", "height and width for the network: smaller images are padded, larger "
                          "ones shrunk (default: the data's, but LeNet-5's 32 if they are smaller)"),
    "channels": Setting(None, choice(1, 3), None, "1 grey, 3 colour: for a folder of pictures (default: by the files)"),
    "lazy": Setting(None, flag, None, "decode a folder's training pictures when they are needed, each epoch "
                    "again, and learn the same: for more than fits into memory (default: if they fill half of it)"),
    "augment": Setting({}, table, None, f"vary the training images: {', '.join(AUGMENTS)}; shift=3 rotation "
                       "scale=[0.8,1.2]"),
    "batch_size": Setting(None, whole(1), "N", f"images in a batch (default: {SMALLEST} to {LARGEST}, by how many "
                          f"there are, so that an epoch has {BATCHES} batches or more)"),
    "epochs": Setting(None, whole(1), "N", f"passes over the training images (default: {FEWEST} to {MOST}, so that "
                      f"there are {STEPS} batches or more in all)"),
    "optimizer": Setting("adam", choice(*OPTIMIZERS), None, f"one of {', '.join(OPTIMIZERS)}"),
    "lr": Setting(None, number(0), "RATE", f"learning rate, the highest of the schedule (default: {_RATES})"),
    "optimizer_options": Setting({}, table, None, "of fastcnn.optim's class: momentum=0.9 nesterov weight_decay=5e-4"),
    "schedule": Setting("one-cycle", choice(*SCHEDULES), None, f"one of {', '.join(SCHEDULES)}"),
    "schedule_options": Setting({}, table, None, "of fastcnn.optim's class: step_size=10 gamma=0.5"),
    "label_smoothing": Setting(0.0, number(0, 1), "PART", "of the likelihood, shared out among all classes"),
    "clip_norm": Setting(None, number(0), "NORM", "make gradients smaller whose norm is larger"),
    "ema": Setting(None, number(0, 1), "DECAY", "evaluate and keep averages of the weights, such as 0.999"),
    "early_stopping": Setting(None, whole(1), "EPOCHS", "stop after so many epochs without improvement"),
    "monitor": Setting("validation_accuracy", choice("validation_accuracy", "validation_loss", "train_accuracy",
                       "train_loss"), None, "what makes an epoch the best; without --validation, the test images are "
                       "the validation"),
    "seed": Setting(0, whole(0), "N", "of weights, order, augmentation and what is drawn from the data"),
    "backend": Setting(None, choice(*backends.names()), None, "naive, numpy or numba (default: FASTCNN_BACKEND, else "
                       "numba)"),
    "convolution": Setting(None, choice(*WAYS), None, "of the numba backend: auto, which may be Winograd's, or direct "
                           "(default: FASTCNN_CONVOLUTION, else auto)"),
    "threads": Setting(None, whole(1), "N", "default: one for each processor that this process may use"),
    "checkpoint_every": Setting(60.0, number(0), "SECONDS", "between checkpoints, besides one after each epoch"),
}  # fmt: skip

_NO_TEXT = re.compile(r'["\\\x00-\x1f\x7f]')  # what must be escaped in a text, https://toml.io/en/v1.0.0#string

FREE = ("threads", "data_root", "checkpoint_every", "lazy")  # a run goes on alike with others


def add_to(parser: Parser) -> None:
    """Add an option for each setting; what is not given is not in the result."""
    for name, setting in SETTINGS.items():
        how: dict[str, Any] = {"dest": name, "default": SUPPRESS, "help": setting.help.replace("%", "%%")}
        if setting.check is table:
            how |= {"action": Table, "nargs": "*", "metavar": "NAME=VALUE"}
        elif setting.check is texts:
            how |= {"type": from_text(text_value), "nargs": "+", "metavar": setting.metavar}
        elif setting.check is flag:
            how |= {"action": BooleanOptionalAction}
        else:
            how |= {"type": from_text(setting.check), "metavar": setting.metavar or "NAME"}
            if setting.default not in (None, 0.0, []):
                how["help"] += f" (default: {setting.default})"
        parser.add_argument(f"--{name.replace('_', '-')}", **how)


def read_file(path: Path) -> dict:
    """Settings from a TOML file, checked.

    Raises
    ------
    UsageError
        If it is not TOML, or has a key that is no setting or a value that is none.
    OSError
        If it cannot be read.
    """
    try:
        found = _as_now(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:  # of the syntax, of UTF-8, of a number too long; too deep a nesting
        raise UsageError(f"{path} is not TOML: {error}") from error
    for name, value in found.items():
        if name not in SETTINGS:
            raise UsageError(f"{path}: there is no setting {name!r}; the settings are {', '.join(SETTINGS)}.")
        try:
            found[name] = SETTINGS[name].check(value)
        except ValueError as error:
            raise UsageError(f"{path}: {name}: {error}.") from None
    return found


def _as_now(settings: Mapping) -> dict:
    """The settings, with the names that the validation's numbers had before."""
    once = {"test_accuracy": "validation_accuracy", "test_loss": "validation_loss"}
    return {
        name: once.get(value, value) if name == "monitor" and isinstance(value, str) else value
        for name, value in settings.items()
    }


def absolute(given: Mapping) -> dict:
    """The settings with paths that mean the same from any folder."""
    paths = {name for name in ("weights", "data", "data_root") if given.get(name) is not None}
    if given.get("data") in data.names() or not _exists(given.get("data")):  # what is not there is said as it was given
        paths.discard("data")
    return {name: str(Path(value).expanduser().resolve()) if name in paths else value for name, value in given.items()}


def _exists(path) -> bool:
    return path is not None and Path(path).expanduser().exists()


def complete(given: Mapping) -> dict:
    """All settings, with the defaults for what was not given."""
    settings = {name: given.get(name, setting.default) for name, setting in SETTINGS.items()}
    if settings["lr"] is None:
        settings["lr"] = OPTIMIZERS[settings["optimizer"]][1]
    if settings["backend"] is None:
        settings["backend"] = fastcnn.get_backend()
    if settings["convolution"] is None:
        settings["convolution"] = fastcnn.get_convolution()
    return settings


def for_images(settings: Mapping, images: int) -> dict:
    """The settings, with the batch size and the epochs that suit so many training images where none were given."""
    batch_size = settings["batch_size"]
    if batch_size is None:
        batch_size = LARGEST
        while batch_size > SMALLEST and images < batch_size * BATCHES:
            batch_size //= 2
    epochs = settings["epochs"]
    if epochs is None:
        batches = math.ceil(images / batch_size)
        epochs = min(max(math.ceil(STEPS / batches), FEWEST), MOST)
    return {**settings, "batch_size": batch_size, "epochs": epochs}


@contextmanager
def in_use(settings: Mapping) -> Iterator[None]:
    """Within this, the backend of some settings computes, as they say."""
    with fastcnn.use_backend(settings["backend"]), fastcnn.use_convolution(settings["convolution"]):
        yield


def resumed(saved: Mapping, given: Mapping, folder: Path, done: int) -> dict:
    """The settings of a run that goes on after so many epochs; what is given must be what it has.

    But that its data may have moved, and that there may be more epochs: if the schedule is made for the number that
    there were, once these are over.

    Raises
    ------
    UsageError
        If the run cannot go on so.
    """
    saved = _as_now(saved)
    if unknown := saved.keys() - SETTINGS.keys():
        names = ", ".join(sorted(unknown))
        raise UsageError(f"The run in {folder} has settings that this version does not know: {names}.")
    settings = complete({"convolution": "direct"} | saved)  # as all runs were that do not say it
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        moved = name == "data" and not {value, settings[name]} & {*data.names()}
        if value == settings[name] or name in FREE or moved:
            settings[name] = value
        elif name == "epochs":
            _check_epochs(value, settings, folder, done)
            settings[name] = value
        else:
            raise UsageError(
                f"{option} is {value!r}, but the run in {folder} has {settings[name]!r}: it goes on as it began. "
                f"A new run may start from what it has learned, with --weights {shlex.quote(str(folder))}."
            )
    return settings


def _check_epochs(epochs: int, settings: Mapping, folder: Path, done: int) -> None:
    """Refuse fewer epochs than there were, and to change a schedule that is made for their number before its end."""
    if epochs < done:
        raise UsageError(f"--epochs is {epochs}, but the run in {folder} has trained {done} epochs already.")
    if SCHEDULES[settings["schedule"]].needs_epochs and done < settings["epochs"]:
        raise UsageError(
            f"--epochs is {epochs}, but the schedule {settings['schedule']!r} of the run in {folder} is made for "
            f"{settings['epochs']} epochs, of which it has trained {done}. Let it end first, with fastcnn train "
            f"--resume {shlex.quote(str(folder))}; then --epochs {max(epochs, settings['epochs'] + 1)} goes on with a "
            f"new {settings['schedule']}."
        )


def toml(settings: Mapping) -> str:
    """The settings for a file that `read_file` reads.

    TOML is Unicode: of a name that is not UTF-8 it has U+FFFD for each wrong byte, and a comment that says so.
    """
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
    not_utf8 = "  # a name here is not UTF-8, which TOML cannot hold"
    return "".join(f"{known}{not_utf8 * (known != line)}\n" for line in lines for known in [unicode_text(line)])


def _toml(value) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(name)} = {_toml(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = _NO_TEXT.sub(lambda found: rf"\u{ord(found[0]):04x}", value)
        return f'"{escaped}"'
    return repr(value)  # of a number, "inf" and "nan" too
