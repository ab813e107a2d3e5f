"""The settings of a training run: one table for the command line, the TOML file and the checkpoints of a run."""

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
from fastcnn._names import choices_for
from fastcnn._text import unicode_text
from fastcnn.commands.arguments import Parser, Table, choice, flag, from_text, number, table, text_value, texts, whole
from fastcnn.commands.errors import UsageError
from fastcnn.commands.parts import AUGMENTS, OPTIMIZERS, SCHEDULES

_RATES = ", ".join(f"{name} {lr:g}" for name, (_, lr, _) in OPTIMIZERS.items())


# The default batch size and epochs depend on the number of training images; from 10,240 images on they are 128 and 5.
# With 240 pictures, 24 per class, batches of 16 and 30 epochs reach 44 % on CIFAR-10 with VGG-7 and 29 % with LeNet-5
# (19 % with batches of 128 and 5 epochs), and 90 % on MNIST with LeNet-5 (56 %). Batches of 8, or 60 epochs, gain at
# most 1 %. With 1000 pictures, batches of 64 and 20 epochs reach 38 % on CIFAR-10 with LeNet-5, 128 and 5 epochs 30 %.
# (Accuracy on test images; means of two seeds with VGG-7, of three with LeNet-5.)
SMALLEST, LARGEST, BATCHES = 8, 128, 10  # least and most images in a batch; at least so many batches in an epoch
FEWEST, MOST, STEPS = 5, 30, 400  # least and most epochs; at least so many batches in all


@dataclass(frozen=True)
class Setting:
    """A setting. Its option is ``--its-name``. A default of None means unset, or a default that depends on others."""

    default: object
    check: Callable
    metavar: str | None
    help: str


SETTINGS = {
    "model": Setting("lenet5", choice(*models.NAMES), None, f"one of {', '.join(models.NAMES)}"),
    "model_options": Setting({}, table, None, "options of the model, such as pooling=avg"),
    "weights": Setting(None, text_value, "RUN", "start from the best weights of this run, or from the weights of a "
                       "checkpoint; model and image size are the run's, and arrays whose shapes differ, such as a head "
                       "for other classes, are newly initialized"),
    "freeze": Setting([], texts, "NAME", "do not train these layers or parameters: names such as 0 or 0.weight, "
                      "patterns such as '[0-3]', or body for all but the head"),
    "data": Setting("mnist", text_value, "DATA", f"{', '.join(data.names())}, an .npz file, or a folder of pictures; "
                    "the folder has a subfolder for each class, or it has train beside val (or valid, validation), "
                    "test or both, each with a subfolder for each class"),
    "data_root": Setting(None, text_value, "DIR", "the folder that holds the named data set (default: FASTCNN_DATA, "
                         "else the cache)"),
    "limit": Setting(None, whole(1), "N", "train on only N images, drawn at random in the proportions of the classes"),
    "validation": Setting(0.0, number(0, 0.9), "FRACTION", "fraction of the training images to hold out for choosing "
                          "the best epoch; with 0 the test images choose it, which makes the result slightly "
                          "optimistic"),
    "image_size": Setting(None, whole(1), "N", "height and width of the network's input: pictures of a folder are "
                          "stretched or shrunk to this square; images of other data sets keep their proportions, "
                          "smaller ones are padded, larger ones shrunk (default: the size of the images, for LeNet-5 "
                          "at least 32)"),
    "channels": Setting(None, choice(1, 3), None, "channels of a folder's pictures: 1 (grey) or 3 (colour) (default: "
                        "as in the files)"),
    "lazy": Setting(None, flag, None, "decode the pictures of a folder when they are needed, anew in each epoch, "
                    "instead of keeping them in memory; the result is the same (default: if they would fill half of "
                    "the memory)"),
    "augment": Setting({}, table, None, f"vary the training images at random: {', '.join(AUGMENTS)}; for example "
                       "shift=3 rotation scale=[0.8,1.2]"),
    "batch_size": Setting(None, whole(1), "N", f"images in a batch (default: {SMALLEST} to {LARGEST}, so that an epoch "
                          f"has {BATCHES} batches or more)"),
    "epochs": Setting(None, whole(1), "N", f"passes over the training images (default: {FEWEST} to {MOST}, so that "
                      f"there are {STEPS} batches or more in all)"),
    "optimizer": Setting("adam", choice(*OPTIMIZERS), None, f"one of {', '.join(OPTIMIZERS)}"),
    "lr": Setting(None, number(0), "RATE", f"learning rate, the maximum of the schedule (default: {_RATES})"),
    "optimizer_options": Setting({}, table, None, "options of the optimizer's class in fastcnn.optim, such as "
                                 "momentum=0.9 nesterov weight_decay=5e-4"),
    "schedule": Setting("one-cycle", choice(*SCHEDULES), None, f"one of {', '.join(SCHEDULES)}"),
    "schedule_options": Setting({}, table, None, "options of the schedule's class in fastcnn.optim, such as "
                                "step_size=10 gamma=0.5"),
    "label_smoothing": Setting(0.0, number(0, 1), "FRACTION", "fraction of the target probability that is spread over "
                               "all classes"),
    "clip_norm": Setting(None, number(0), "NORM", "scale the gradients down to this total norm if theirs is larger"),
    "ema": Setting(None, number(0, 1), "DECAY", "evaluate and save exponential moving averages of the weights with "
                   "this decay, such as 0.999"),
    "early_stopping": Setting(None, whole(1), "EPOCHS", "stop after this many epochs without improvement"),
    "monitor": Setting("validation_accuracy", choice("validation_accuracy", "validation_loss", "train_accuracy",
                       "train_loss"), None, "the metric that chooses the best epoch: validation_accuracy, "
                       "validation_loss, train_accuracy or train_loss; without --validation, the test images are the "
                       "validation images"),
    "seed": Setting(0, whole(0), "N", "seed of the initial weights, the order of the images, the augmentation and the "
                    "draws from the data"),
    "backend": Setting(None, choice(*backends.names()), None, "naive, numpy or numba (default: FASTCNN_BACKEND, else "
                       "numba)"),
    "convolution": Setting(None, choice(*WAYS), None, "algorithm of the numba backend: auto, which may use Winograd's, "
                           "or direct (default: FASTCNN_CONVOLUTION, else auto)"),
    "threads": Setting(None, whole(1), "N", "number of threads (default: one for each processor that this process may "
                       "use)"),
    "checkpoint_every": Setting(60.0, number(0), "SECONDS", "seconds between checkpoints; one is also written after "
                                "each epoch"),
}  # fmt: skip

_NO_TEXT = re.compile(r'["\\\x00-\x1f\x7f]')  # escaped in a string, https://toml.io/en/v1.0.0#string

FREE = ("threads", "data_root", "checkpoint_every", "lazy")  # may change on resuming: they do not change the result


def add_to(parser: Parser) -> None:
    """Add an option for each setting; options that are not given are absent from the result of parsing."""
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
    """Read and check settings from a TOML file.

    Raises
    ------
    UsageError
        If the file is not TOML, or has an unknown setting or a wrong value.
    OSError
        If the file cannot be read.
    """
    try:
        found = _as_now(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:  # bad syntax or UTF-8, too long a number; deep nesting
        raise UsageError(f"{path} is not TOML: {error}") from error
    for name, value in found.items():
        if name not in SETTINGS:
            raise UsageError(f"{path}: there is no setting {name!r}; the settings are {choices_for(name, SETTINGS)}.")
        try:
            found[name] = SETTINGS[name].check(value)
        except ValueError as error:
            raise UsageError(f"{path}: {name}: {error}.") from None
    return found


def _as_now(settings: Mapping) -> dict:
    """Translate the old names of validation metrics in the settings of earlier versions."""
    once = {"test_accuracy": "validation_accuracy", "test_loss": "validation_loss"}
    return {
        name: once.get(value, value) if name == "monitor" and isinstance(value, str) else value
        for name, value in settings.items()
    }


def absolute(given: Mapping) -> dict:
    """Make the paths in the settings absolute."""
    paths = {name for name in ("weights", "data", "data_root") if given.get(name) is not None}
    if given.get("data") in data.names() or not _exists(given.get("data")):  # errors show a missing path as given
        paths.discard("data")
    return {name: str(Path(value).expanduser().resolve()) if name in paths else value for name, value in given.items()}


def _exists(path) -> bool:
    return path is not None and Path(path).expanduser().exists()


def complete(given: Mapping) -> dict:
    """Complete the given settings with the defaults of the others."""
    settings = {name: given.get(name, setting.default) for name, setting in SETTINGS.items()}
    if settings["lr"] is None:
        settings["lr"] = OPTIMIZERS[settings["optimizer"]][1]
    if settings["backend"] is None:
        settings["backend"] = fastcnn.get_backend()
    if settings["convolution"] is None:
        settings["convolution"] = fastcnn.get_convolution()
    return settings


def for_images(settings: Mapping, images: int) -> dict:
    """Fill in the batch size and the epochs, where they are not given, to suit the number of training images."""
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
    """Use the backend and the convolution algorithm of the settings inside a ``with`` block."""
    with fastcnn.use_backend(settings["backend"]), fastcnn.use_convolution(settings["convolution"]):
        yield


def resumed(saved: Mapping, given: Mapping, folder: Path, done: int) -> dict:
    """Return the settings of a run that is resumed after ``done`` epochs; given settings must equal the saved ones.

    There are exceptions: the settings in `FREE` may change, the path of the data may change, and there may be more
    epochs. If the schedule depends on the number of epochs, these must be over before more are added.

    Raises
    ------
    UsageError
        If the run cannot be resumed with the given settings.
    """
    saved = _as_now(saved)
    if unknown := saved.keys() - SETTINGS.keys():
        names = ", ".join(sorted(unknown))
        raise UsageError(f"The run in {folder} has settings that this version does not know: {names}.")
    settings = complete({"convolution": "direct"} | saved)  # the only way when "convolution" was no setting
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
                f"{option} is {value!r}, but the run in {folder} has {settings[name]!r}, and a resumed run keeps its "
                f"settings. To start a new run from its weights, use --weights {shlex.quote(str(folder))}."
            )
    return settings


def _check_epochs(epochs: int, settings: Mapping, folder: Path, done: int) -> None:
    """Refuse fewer epochs than are done, and other epochs before the end of a schedule that depends on their number."""
    if epochs < done:
        raise UsageError(f"--epochs is {epochs}, but the run in {folder} has already trained {done} epochs.")
    if SCHEDULES[settings["schedule"]].needs_epochs and done < settings["epochs"]:
        raise UsageError(
            f"--epochs is {epochs}, but the schedule {settings['schedule']!r} of the run in {folder} is made for "
            f"{settings['epochs']} epochs, of which it has trained {done}. Finish it first, with fastcnn train "
            f"--resume {shlex.quote(str(folder))}; then --epochs {max(epochs, settings['epochs'] + 1)} continues it "
            f"with a new {settings['schedule']} schedule."
        )


def toml(settings: Mapping) -> str:
    """Format the settings as TOML that `read_file` reads.

    TOML is Unicode. In a file name that is not UTF-8, each wrong byte becomes U+FFFD, and a comment says so.
    """
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
    not_utf8 = "  # a name here is not UTF-8, which TOML cannot hold"
    return "".join(f"{known}{not_utf8 * (known != line)}\n" for line in lines for known in [unicode_text(line)])


def _toml(value) -> str:
    """Format a value as TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(name)} = {_toml(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = _NO_TEXT.sub(lambda found: rf"\u{ord(found[0]):04x}", value)
        return f'"{escaped}"'
    return repr(value)  # numbers, including inf and nan, are written as in Python
