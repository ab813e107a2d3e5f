"""Strings for outputs: the full paths of missing files, and valid Unicode."""

import os
from pathlib import Path


def in_full(path: str | os.PathLike) -> str:
    """Return a path for the error that it does not exist; after a relative path, the absolute one is in parentheses.

    Examples
    --------
    >>> from fastcnn._text import in_full
    >>> in_full("/pictures/cat")
    '/pictures/cat'
    >>> in_full("cat")  # doctest: +SKIP
    'cat (in full: /pictures/cat)'
    """
    try:
        return str(path) if Path(path).is_absolute() else f"{path} (in full: {Path(path).absolute()})"
    except OSError:  # the current folder has been removed
        return str(path)


def unicode_text(text: str) -> str:
    r"""Replace lone surrogates, which Python uses for bytes in file names that are not UTF-8, with U+FFFD.

    Examples
    --------
    >>> from fastcnn._text import unicode_text
    >>> unicode_text("caf\udce9")
    'caf\ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
