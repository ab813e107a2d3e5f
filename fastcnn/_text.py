"""Texts for where only Unicode goes."""


def unicode_text(text: str) -> str:
    r"""The text with U+FFFD for lone surrogates, with which Python stands in for bytes of names that are not UTF-8.

    Examples
    --------
    >>> from fastcnn._text import unicode_text
    >>> unicode_text("caf\udce9")
    'caf\ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
