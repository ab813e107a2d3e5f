"""Strings for outputs that accept only valid Unicode, lists of names for error messages, and dotted names."""

from collections.abc import Iterable


def choices_for(name: object, known: Iterable[object]) -> str:
    """Join names for the error about an unknown name; a known one that resembles it is suggested.

    Examples
    --------
    >>> from fastcnn._text import choices_for
    >>> choices_for("tarin", ["train", "predict"])
    'train, predict (did you mean train?)'
    >>> choices_for("fly", ["train", "predict"])
    'train, predict'
    """
    import difflib  # only for an error: the start of a command is quick

    names = [str(one) for one in known]
    alike = difflib.get_close_matches(str(name).lower(), names, 1)
    return ", ".join(names) + "".join(f" (did you mean {one}?)" for one in alike)


def dotted(name: str, inside: object) -> str:
    """Join the names of a module and of something inside it; the outermost module has the name "".

    Examples
    --------
    >>> from fastcnn._text import dotted
    >>> dotted("body.conv1", "weight")
    'body.conv1.weight'
    >>> dotted("", "conv1")
    'conv1'
    """
    return f"{name}.{inside}" if name else str(inside)


def unicode_text(text: str) -> str:
    r"""Replace lone surrogates, which Python uses for bytes in file names that are not UTF-8, with U+FFFD.

    Examples
    --------
    >>> from fastcnn._text import unicode_text
    >>> unicode_text("caf\udce9")
    'caf\ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
