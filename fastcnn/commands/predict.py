"""``fastcnn predict``: what is in a picture."""

import argparse

import numpy as np

from fastcnn import _strict_json
from fastcnn.commands.arguments import Parser, from_text, path, whole
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import UsageError
from fastcnn.data.pictures import pillow

EXAMPLES = """\
  fastcnn predict runs/lenet5-mnist seven.png
  fastcnn predict runs/lenet5-mnist photos/*.jpg --json
  fastcnn predict runs/vgg7-pictures cat.jpg --top 1

For a network that was trained on MNIST or the embedded digits a picture shows one digit, dark on light or light on
dark, drawn or photographed: it is cut out, scaled and centred as MNIST's are. --digit and --no-digit decide otherwise.
"""


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn predict", "Print the classes that a trained network sees in pictures.", EXAMPLES)
    add = parser.add_argument
    add("run", type=path, metavar="RUN", help="a folder of fastcnn train, or a checkpoint")
    add("images", type=path, nargs="+", metavar="IMAGE", help="a picture file")
    add("--top", type=from_text(whole(1)), metavar="K", help="classes to print of each (default: 3; of JSON, all)")
    add("--digit", action=argparse.BooleanOptionalAction, help="cut out a digit (default: if trained on such)")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args) -> int:
    """Predict."""
    pillow()  # which cannot be done without is said at once
    classifier = Classifier(args.run)
    if args.digit and classifier.image_shape != (1, 28, 28):
        C, H, W = classifier.image_shape
        raise UsageError(f"--digit makes grey images of 28x28, but {args.run} was trained on {C}x{H}x{W}.")
    images = np.stack([classifier.read(path, args.digit) for path in args.images])
    probabilities = classifier.probabilities(images)
    top = args.top or (len(classifier.classes) if args.json else 3)
    found = [
        {
            "image": str(path),
            "classes": [
                {"class": classifier.classes[k], "probability": float(row[k])}
                for k in np.argsort(-row, kind="stable")[:top]
            ],
        }
        for path, row in zip(args.images, probabilities, strict=True)
    ]
    print(_strict_json.dumps(found) if args.json else _table(found))
    return 0


def _table(found: list[dict]) -> str:
    """A line for each class, with the picture's name before its first."""
    rows = [("image", "class", "probability")]
    for picture in found:
        for i, item in enumerate(picture["classes"]):
            rows.append(("" if i else picture["image"], item["class"], f"{item['probability']:.2%}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows)
