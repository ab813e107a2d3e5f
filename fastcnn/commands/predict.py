"""``fastcnn predict``: predict the classes of pictures."""

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fastcnn import _strict_json
from fastcnn.commands.arguments import Parser, from_text, path, whole
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import UsageError, remark, sentence
from fastcnn.commands.pictures import picture_files
from fastcnn.data import DataError
from fastcnn.data.folders import is_picture
from fastcnn.data.pictures import pillow

AT_ONCE = 256  # pictures in memory at a time

EXAMPLES = """\
  fastcnn predict runs/lenet5-mnist seven.png
  fastcnn predict runs/lenet5-mnist photos/*.jpg --json
  fastcnn predict runs/vgg7-pictures cat.jpg --top 1
  fastcnn predict runs/vgg7-pictures photos --csv           all pictures in a folder and its subfolders

A picture that cannot be read is reported and left out; the exit code is then 1.

If the network was trained on MNIST or the built-in digits, each picture must show one digit, drawn or photographed,
dark on light or light on dark. It is cut out, scaled and centred like MNIST's. --digit and --no-digit override this.
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn predict", "Predict the classes of pictures with a trained network.", EXAMPLES)
    add = parser.add_argument
    add("run", type=path, metavar="RUN", help="a folder of fastcnn train, or a checkpoint")
    what = "a picture file, a folder (all pictures in it and its subfolders), or a pattern such as 'photos/*.jpg'"
    images = add("images", type=path, nargs="+", metavar="IMAGE", help=what)
    images.required = False  # `run` words the error: if only one path is given, RUN may be the one that is missing
    shown = "number of classes to print for each picture (default: 3; with --json all, with --csv 1)"
    add("--top", type=from_text(whole(1)), metavar="K", help=shown)
    add("--digit", action=argparse.BooleanOptionalAction, help="cut out a digit (default: if trained on digits)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table: one list for all pictures")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table: image, class, probability")
    return parser


def run(args) -> int:
    """Predict the classes and print them."""
    if is_picture(args.run) and not args.run.is_dir():
        raise UsageError(f"{args.run} is a picture, but the run comes first: fastcnn predict RUN IMAGE.")
    if not args.images:
        raise UsageError(f"A run and a picture are needed, fastcnn predict RUN IMAGE, but only {args.run} was given.")
    pillow()  # fail at once if Pillow is missing
    classifier = Classifier(args.run)
    if args.digit and classifier.image_shape != (1, 28, 28):
        C, H, W = classifier.image_shape
        raise UsageError(f"--digit makes grey images of 28x28, but {args.run} was trained on {C}x{H}x{W}.")
    files = picture_files(args.images)
    top = args.top or (len(classifier.classes) if args.json else 1 if args.csv else 3)
    found = []
    with tqdm(total=len(files), desc="pictures", leave=False, disable=not _has_terminal()) as bar:
        for first in range(0, len(files), AT_ONCE):
            read, images = [], []
            for path in files[first : first + AT_ONCE]:
                try:
                    images.append(classifier.read(path, args.digit))
                    read.append(path)
                except (DataError, OSError) as error:
                    with bar.external_write_mode(sys.stderr):
                        remark(f"fastcnn predict: error: {sentence(error)}")
                bar.update()
            if images:
                found += _found(classifier, read, np.stack(images), top)
    if found:
        print(_strict_json.dumps(found) if args.json else _csv(found) if args.csv else _table(found))
    return 0 if len(found) == len(files) else 1


def _has_terminal() -> bool:
    return bool(sys.stderr and sys.stderr.isatty())


def _found(classifier: Classifier, files: list[Path], images: np.ndarray, top: int) -> list[dict]:
    """Predict the classes of pictures; return the records for JSON."""
    return [
        {
            "image": str(path),
            "classes": [
                {"class": classifier.classes[k], "probability": float(row[k])}
                for k in np.argsort(-row, kind="stable")[:top]
            ],
        }
        for path, row in zip(files, classifier.probabilities(images), strict=True)
    ]


def _csv(found: list[dict]) -> str:
    """Format the predictions as CSV, one row for each class of each picture."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image", "class", "probability"))
    for picture in found:
        rows.writerows((picture["image"], item["class"], item["probability"]) for item in picture["classes"])
    return text.getvalue().rstrip("\n")


def _table(found: list[dict]) -> str:
    """Format the predictions as a table, one line for each class; a picture's name is on its first line only."""
    rows = [("image", "class", "probability")]
    for picture in found:
        for i, item in enumerate(picture["classes"]):
            rows.append(("" if i else picture["image"], item["class"], f"{item['probability']:.2%}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows)
