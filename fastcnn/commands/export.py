"""``fastcnn export``: export a trained network for other programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastcnn import data, interop, models, nn, training
from fastcnn._names import choices_for
from fastcnn._text import in_full
from fastcnn.commands import prepare
from fastcnn.commands.arguments import Parser, Table, from_text, path, text_value
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import CommandError, UsageError, remark, usage
from fastcnn.data import ImageFolder
from fastcnn.data.preprocessing import fit_square
from fastcnn.interop.c import Sizes

FORMATS = ("onnx", "c", "safetensors")
PRECISIONS = ("float32", "int8")
CALIBRATION = 500  # training images; for LeNet-5 on MNIST, from 50 to 3000 of them give the same accuracy within 0.04 %

EXAMPLES = """\
  fastcnn export runs/lenet5-mnist --out lenet5.onnx                   with the weights of the best epoch
  fastcnn export runs/lenet5-mnist/checkpoint-00000938.safetensors --out lenet5.onnx
  fastcnn export runs/lenet5-mnist --out lenet5.c                      for a microcontroller
  fastcnn export runs/lenet5-mnist --out lenet5.c --precision int8     in a quarter of the memory
  fastcnn export runs/lenet5-mnist --out lenet5.safetensors            for load_state_dict, PyTorch's or fastcnn's
  fastcnn export resnet20 --options num_classes=100 --weights my.safetensors --out resnet20.onnx

The ONNX file of a run predicts as fastcnn predict does. Its "input" takes images like those of the training, uint8
(N, C, H, W), which it pads and standardizes; its "output" is a probability for each class. Images larger than the
network's input must be shrunk to that size first. The metadata hold the names of the classes under "classes", as JSON.
The ONNX file of a MODEL takes the model's own input, standardized float32, and returns the model's output. Both take
any number of images at once.

The C file is one C99 file without libraries and allocations. Its function predict() computes for one image what the
ONNX file computes. With --precision int8 it computes in 8-bit integers. Their ranges are found with 500 training images
of the run, which are loaded for this.
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn export", "Write a network for other programs: ONNX, C, or its weights alone.", EXAMPLES)
    add = parser.add_argument
    add(
        "source",
        type=from_text(text_value),
        metavar="RUN_OR_MODEL",
        help=f"a folder of fastcnn train, a checkpoint, or one of {', '.join(models.NAMES)}",
    )
    add("--out", type=path, required=True, metavar="FILE", help="the file to write; an existing one is replaced")
    add("--format", choices=FORMATS, help="the format of FILE (default: by its suffix)")
    add("--precision", choices=PRECISIONS, help="the numbers that a C file computes with (default: float32)")
    options = "options of a MODEL, such as num_classes=100"
    add("--options", action=Table, nargs="+", default={}, metavar="NAME=VALUE", help=options)
    add("--weights", type=path, metavar="FILE", help="a safetensors file for a MODEL (default: random weights)")
    return parser


def run(args) -> int:
    """Write the file."""
    kind = args.format or args.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"--out is {args.out}, which has no suffix .onnx, .c or .safetensors: add --format FORMAT.")
    if args.precision and kind != "c":
        raise UsageError(f"--precision is for C, but {args.out} is to be {kind}.")
    if Path(args.source).exists():
        _export_run(args, kind)
    elif args.source in models.NAMES:
        _export_model(args, kind)
    else:
        known = choices_for(args.source, models.NAMES)
        raise CommandError(
            f"There is no run, no checkpoint and no model {in_full(args.source)}; the models are {known}."
        )
    return 0


def _export_run(args, kind: str) -> None:
    """Export a trained network; ONNX and C files include the preprocessing and a softmax."""
    for option in ("options", "weights"):
        if getattr(args, option):
            raise UsageError(f"--{option} is for a model, one of {', '.join(models.NAMES)}; {args.source} is a run.")
    classifier = Classifier(args.source)
    if kind == "safetensors":
        return _write_weights(classifier.model, args.out)
    shape = image_shape(classifier)
    model = nn.Sequential(*classifier.model, nn.Softmax())
    metadata = {"classes": json.dumps(classifier.classes)}
    if kind == "c":
        sizes = _write_c(
            model,
            args.out,
            shape,
            preprocessing=classifier.preprocess,
            metadata=metadata,
            precision=args.precision or "float32",
            calibration=calibration(classifier) if args.precision == "int8" else None,
        )
        return remark(
            f"Wrote {args.out}: predict() takes a uint8 image {shape} and computes {len(classifier.classes)} "
            f"probabilities. {_said(sizes)}"
        )
    interop.to_onnx(model, args.out, shape, preprocessing=classifier.preprocess, metadata=metadata)
    remark(
        f'Wrote {args.out}: "input" takes uint8 images {_batch(*shape)}, "output" gives probabilities '
        f"{_batch(len(classifier.classes))}."
    )


def image_shape(classifier: Classifier) -> tuple[int, int, int]:
    """Return the shape of the images that an exported run takes."""
    (C, H, W), size = classifier.image_shape, classifier.preprocess.size
    return (C, H, W) if max(H, W) <= size else (C, size, size)


def fitted(images: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return images of the shape that an exported run takes; others are resized and padded."""
    return images if images.shape[1:] == image_shape(classifier) else fit_square(images, classifier.preprocess.size)


def calibration(classifier: Classifier) -> np.ndarray:
    """Return evenly spaced training images of the run, of the shape that its export takes."""
    name = classifier.settings["data"]
    if name not in data.names() and not Path(name).exists():
        raise CommandError(f"{name}, which the run was trained on, no longer exists; int8 needs its training images.")
    lazy = {"lazy": True} if prepare.is_folder(name) else {}  # decode these pictures alone
    train = prepare.parts(classifier.settings | lazy, prepare.Streams.of(classifier.settings["seed"])).train
    few = train.take(np.linspace(0, len(train) - 1, min(CALIBRATION, len(train))).astype(int))
    return fitted((few.load() if isinstance(few, ImageFolder) else few).images, classifier)


def _export_model(args, kind: str) -> None:
    """Export a model as it is, without preprocessing and softmax."""
    if args.precision == "int8":
        raise UsageError(f"--precision int8 needs the training images of a run, but {args.source} is a model.")
    with usage():
        model: Any = models.build(args.source, **args.options)
    if args.weights:
        training.load_weights(model, args.weights)
    else:
        remark(f"The model {args.source} has random weights; use --weights to load trained ones.")
    if kind == "safetensors":
        return _write_weights(model, args.out)
    if kind == "c":
        sizes = _write_c(model, args.out)
        return remark(f"Wrote {args.out}: predict() takes a float image {model.input_shape}. {_said(sizes)}")
    interop.to_onnx(model, args.out)
    remark(f'Wrote {args.out}: "input" takes float32 images {_batch(*model.input_shape)}.')


def _write_c(*arguments, **options) -> Sizes:
    """Write a model as C; if its numbers do not allow that, say so."""
    try:
        return interop.to_c(*arguments, **options)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _write_weights(model: nn.Module, out: Path) -> None:
    training.save_weights(model, out)
    arrays = model.state_dict().values()
    remark(f"Wrote {out}: {len(arrays)} arrays, {sum(array.size for array in arrays):,} numbers.")


def _said(sizes: Sizes) -> str:
    return f"It needs {sizes.flash:,} bytes of flash for constants and {sizes.ram:,} bytes of RAM."


def _batch(*shape: int) -> str:
    return f"({', '.join(map(str, ('N', *shape)))})"
