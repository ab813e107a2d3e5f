"""Dotted names, and unknown names in error messages: the known ones, and which of them was probably meant."""

from collections.abc import Callable, Iterable

CLOSE = 0.7  # similarity of names that suggest each other; at 0.66, "weight-decay" would suggest "weights"


def similar(name: object, known: Iterable[object]) -> list[str]:
    """Return the known name that is most similar to an unknown one, or two if they are equally similar.

    Upper and lower case, hyphens and underscores make no difference. A name is similar, too, if it begins with the
    unknown one.

    Examples
    --------
    >>> from fastcnn._names import similar
    >>> similar("LeNet6", ["lenet5", "lenet5_classic", "vgg7"])
    ['lenet5']
    >>> similar("batchsize", ["batch-size", "image-size"])
    ['batch-size']
    >>> similar("val", ["validation", "epochs"])
    ['validation']
    >>> similar("BatchNorm", ["BatchNorm1d", "BatchNorm2d", "GroupNorm"])
    ['BatchNorm1d', 'BatchNorm2d']
    >>> similar("fly", ["train", "predict"])
    []
    """
    from difflib import SequenceMatcher  # only for an error: the start of a command is quick

    key, close = _plain(name), {}
    for one in [] if str(name).startswith("_") else map(str, known):  # private names are no slips
        ratio = SequenceMatcher(None, _plain(one), key).ratio()
        if ratio >= CLOSE or (len(key) > 2 and _plain(one).startswith(key)):
            close[one] = ratio
    found = [one for one, ratio in close.items() if ratio == max(close.values())]
    return found if len(found) <= 2 else []  # more would be no help


def did_you_mean(name: object, known: Iterable[object], shown: Callable[[str], str] = str) -> str:
    """Return the suggestion of a known name for the end of an error message; an empty string if none is similar.

    Examples
    --------
    >>> from fastcnn._names import did_you_mean
    >>> did_you_mean("tarin", ["train", "predict"]), did_you_mean("fly", ["train", "predict"])
    (' (did you mean train?)', '')
    """
    meant = " or ".join(map(shown, similar(name, known)))
    return f" (did you mean {meant}?)" if meant else ""


def choices_for(name: object, known: Iterable[object], shown: Callable[[str], str] = str) -> str:
    """Join the known names for the error about an unknown one, and suggest a similar one.

    Examples
    --------
    >>> from fastcnn._names import choices_for
    >>> choices_for("tarin", ["train", "predict"])
    'train, predict (did you mean train?)'
    >>> choices_for("fly", ["train", "predict"], repr)
    "'train', 'predict'"
    """
    names = [str(one) for one in known]
    return ", ".join(map(shown, names)) + did_you_mean(name, names, shown)


def dotted(name: str, inside: object) -> str:
    """Join the names of a module and of something inside it; the outermost module has the name "".

    Examples
    --------
    >>> from fastcnn._names import dotted
    >>> dotted("body.conv1", "weight")
    'body.conv1.weight'
    >>> dotted("", "conv1")
    'conv1'
    """
    return f"{name}.{inside}" if name else str(inside)


def _plain(name: object) -> str:
    return str(name).lower().replace("-", "").replace("_", "")
