"""``fastcnn evaluate``: evaluate a trained network on test images."""

import glob
from collections.abc import Sequence
from pathlib import Path

from fastcnn import _strict_json, data, plotting, training
from fastcnn.commands import held_out, prepare
from fastcnn.commands.arguments import Parser, from_text, path, text_value, whole
from fastcnn.commands.classes import with_classes
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import CommandError, remark
from fastcnn.commands.pictures import labelled_files
from fastcnn.commands.records import check_figure, write_figure
from fastcnn.commands.settings import absolute, in_use
from fastcnn.data import DataError, ImageFolder
from fastcnn.data.folders import is_picture, parts_of, subfolders
from fastcnn.data.image_folder import find_parts

EXAMPLES = """\
  fastcnn evaluate runs/lenet5-mnist                        the best epoch's weights on the run's test images
  fastcnn evaluate runs/lenet5-mnist --confusion confusion.png
  fastcnn evaluate runs/lenet5-mnist --data digits --json
  fastcnn evaluate runs/vgg7-pictures --data new/pictures   all pictures (of the run's own folder: the held-out ones)
  fastcnn evaluate runs/vgg7-pictures --data 'new/*/*.jpg'  the folder of each picture is its class: new/cat/1.jpg
  fastcnn evaluate runs/lenet5-mnist/checkpoint-00000938.safetensors
"""
LIMIT = "evaluate on only N of the images, drawn at random with the run's seed and in the proportions of the classes"


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn evaluate", "Evaluate a trained network on test images.", EXAMPLES)
    add = parser.add_argument
    add("run", type=path, metavar="RUN", help="a folder of fastcnn train, or a checkpoint")
    what = "the data set whose test images are used (default: the run's own); or pictures, folders of pictures or "
    what += "patterns: then the name of the folder that a picture is in is its class"
    add("--data", type=from_text(text_value), nargs="+", metavar="DATA", help=what)
    add("--data-root", type=from_text(text_value), metavar="DIR", help="the folder that holds the named data set")
    add("--limit", type=from_text(whole(1)), metavar="N", help=LIMIT)
    add("--top", type=from_text(whole(1)), metavar="K", help="also print the top-K accuracy")
    add("--confusion", type=path, metavar="FILE", help="plot the confusion matrix; the file's suffix sets the format")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args) -> int:
    """Evaluate the network and print the result."""
    classifier = Classifier(args.run)
    if args.confusion:
        check_figure("--confusion", args.confusion)
    test, role = images_of(classifier, args.data or [], args.data_root)
    if args.limit:
        test = test.limit(args.limit, prepare.Streams.of(classifier.settings["seed"]).limit)
    remark(f"Data: {test.source}; {len(test):,} {role} images.")
    with in_use(classifier.settings):
        result = training.evaluate(classifier.model, classifier.preprocess(test.images), test.labels)
    if args.confusion:
        write_figure(plotting.plot_confusion(result.confusion, classifier.classes), args.confusion)
        remark(f"Wrote {args.confusion}.")
    if args.json:
        print(_strict_json.dumps(_record(result, classifier.classes, args.top)))
        return 0
    print(result.table(classifier.classes))
    if args.top:
        print(f"top-{args.top}: {result.top_k(args.top):.2%}")
    return 0


def images_of(
    classifier: Classifier, names: Sequence[str] = (), root: str | None = None
) -> tuple[data.ArrayDataset, str]:
    """Load the test images, with the classes and channels of the model; return them and what they are called.

    Where a folder has validation images but no test images, these are returned.
    """
    role, settings, (C, H, W) = "test", classifier.settings, classifier.image_shape
    if len(names) > 1 or any(map(_is_pictures, names)):
        pictures = labelled_files(map(Path, names), classifier.classes)
        images = ImageFolder.of(Path(), pictures, (H, W), C, ", ".join(names)).load()
        return with_classes(images, classifier.classes), role
    if names:
        name = absolute({"data": names[0]})["data"]
    else:
        name, root = settings["data"], root or settings["data_root"]
    if not names and name not in data.names() and not Path(name).exists():
        raise CommandError(f"{name}, which the run was trained on, no longer exists; name its new place with --data.")
    if not prepare.is_folder(name):
        with prepare.said_of_options():
            _, test = data.load(name, root)
    elif parts_of(Path(name)):
        found = find_parts(name, (H, W), channels=C)
        role = "test" if "test" in found else "validation"
        test = found[role].load()
    else:
        test = held_out.test_pictures(Path(name), classifier.held_out, name == settings["data"], (H, W), C)
    if test.images.shape[1] != C:
        raise DataError(f"{test.source}: the images have {test.images.shape[1]} channels but the model takes {C}.")
    numbered = not prepare.is_folder(name) and name.endswith(".npz")
    return with_classes(test, classifier.classes, numbered=numbered), role


def _is_pictures(name: str) -> bool:
    """Whether a name is a picture, a pattern, or a folder without subfolders for classes, and not a data set."""
    path = Path(name)
    if path.is_dir():
        return name not in data.names() and not subfolders(path)
    return is_picture(path) or (not path.exists() and glob.has_magic(name))


def _record(result: training.Evaluation, classes, top: int | None) -> dict:
    """Return the whole result as a dictionary for JSON."""
    columns = {"precision": result.precision, "recall": result.recall, "f1": result.f1}
    return {
        "images": len(result.labels),
        "loss": result.loss,
        "accuracy": result.accuracy,
        **({f"top_{top}": result.top_k(top)} if top else {}),
        "classes": [
            {"class": name, **{key: column[k] for key, column in columns.items()}} for k, name in enumerate(classes)
        ],
        "confusion": result.confusion.tolist(),
    }
