"""``fastcnn evaluate``: how good a trained network is."""

import glob
from pathlib import Path

from fastcnn import _strict_json, data, plotting, training
from fastcnn.commands import held_out, prepare
from fastcnn.commands.arguments import Parser, from_text, path, text_value, whole
from fastcnn.commands.classes import with_classes
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import CommandError, remark
from fastcnn.commands.pictures import SUFFIXES, labelled_files
from fastcnn.commands.records import check_figure, write_figure
from fastcnn.commands.settings import absolute, in_use
from fastcnn.data import DataError, ImageFolder
from fastcnn.data.folders import parts_of, subfolders
from fastcnn.data.image_folder import find_parts

EXAMPLES = """\
  fastcnn evaluate runs/lenet5-mnist                        the weights of the best epoch, on the run's test images
  fastcnn evaluate runs/lenet5-mnist --confusion confusion.png
  fastcnn evaluate runs/lenet5-mnist --data digits --json
  fastcnn evaluate runs/vgg7-pictures --data new/pictures   all of them; of the run's own folder, those it held out
  fastcnn evaluate runs/vgg7-pictures --data 'new/*/*.jpg'  pictures whose folder says the class, new/cat/1.jpg
  fastcnn evaluate runs/lenet5-mnist/checkpoint-00000938.safetensors
"""
LIMIT = "take N of them only, drawn at random by the run's seed, of each class its share"


def parser() -> Parser:
    """Describe the options."""
    parser = Parser("fastcnn evaluate", "Show test images to a trained network; print how good it is.", EXAMPLES)
    add = parser.add_argument
    add("run", type=path, metavar="RUN", help="a folder of fastcnn train, or a checkpoint")
    what = "whose test images to take (default: the run's own); or pictures, folders or patterns of them, if not of a "
    what += "folder of classes: the class of each is the name of a folder that it is in"
    add("--data", type=from_text(text_value), nargs="+", metavar="DATA", help=what)
    add("--data-root", type=from_text(text_value), metavar="DIR", help="where the named data set lies")
    add("--limit", type=from_text(whole(1)), metavar="N", help=LIMIT)
    add("--top", type=from_text(whole(1)), metavar="K", help="say how often the class is among the best K, too")
    add("--confusion", type=path, metavar="FILE", help="draw the confusion matrix; the name's end says the format")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args) -> int:
    """Evaluate."""
    if args.confusion:
        check_figure("--confusion", args.confusion)
    classifier = Classifier(args.run)
    test = _test_images(classifier, args.data or [], args.data_root)
    if args.limit:
        test = test.limit(args.limit, prepare.Streams.of(classifier.settings["seed"]).limit)
    remark(f"Data: {test.source}; {len(test):,} test images.")
    with in_use(classifier.settings):
        result = training.evaluate(classifier.model, classifier.preprocess(test.images), test.labels)
    if args.confusion:
        write_figure(plotting.plot_confusion(result.confusion, classifier.classes), args.confusion)
        remark(f"Written: {args.confusion}")
    if args.json:
        print(_strict_json.dumps(_record(result, classifier.classes, args.top)))
        return 0
    print(result.table(classifier.classes))
    if args.top:
        print(f"top-{args.top}: {result.top_k(args.top):.2%}")
    return 0


def _test_images(classifier: Classifier, names: list[str], root: str | None):
    """Test images that fit the model."""
    settings, (C, H, W) = classifier.settings, classifier.image_shape
    if len(names) > 1 or any(map(_is_pictures, names)):
        pictures = labelled_files(map(Path, names), classifier.classes)
        images = ImageFolder.of(Path(), pictures, (H, W), C, ", ".join(names)).load()
        return with_classes(images, classifier.classes)
    if names:
        name = absolute({"data": names[0]})["data"]
    else:
        name, root = settings["data"], root or settings["data_root"]
    if not names and name not in data.names() and not Path(name).exists():
        raise CommandError(f"{name}, which the run was trained on, is not there any more; --data says where it is.")
    if not prepare.is_folder(name):
        with prepare.said_of_options():
            _, test = data.load(name, root)
    elif parts_of(Path(name)):
        found = find_parts(name, (H, W), channels=C)
        test = (found.get("test") or found["validation"]).load()
    else:
        test = held_out.test_pictures(Path(name), classifier.held_out, name == settings["data"], (H, W), C)
    if test.images.shape[1] != C:
        raise DataError(f"{test.source}: the images have {test.images.shape[1]} channels but the model takes {C}.")
    return with_classes(test, classifier.classes, numbered=not prepare.is_folder(name) and name.endswith(".npz"))


def _is_pictures(name: str) -> bool:
    """Whether that is no data set, but a pattern, a picture, or a folder with pictures and no classes."""
    path = Path(name)
    if path.is_dir():
        return name not in data.names() and not subfolders(path)
    return path.suffix.lower() in SUFFIXES or (not path.exists() and glob.has_magic(name))


def _record(result: training.Evaluation, classes, top: int | None) -> dict:
    """All of it, for JSON."""
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
