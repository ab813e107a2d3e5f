"""Strings for outputs that accept only valid Unicode."""


def unicode_text(text: str) -> str:
    r"""Replace lone surrogates, which Python uses for bytes in file names that are not UTF-8, with U+FFFD.

    Examples
    --------
    >>> from fastcnn._text import unicode_text
    >>> unicode_text("caf\udce9")
    'caf\ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
