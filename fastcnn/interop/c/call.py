"""Calls of C functions, of which the function predict() of a net consists."""

from typing import NamedTuple

import numpy as np

from fastcnn._geometry import Windows
from fastcnn.interop.c.steps import Array


class Call(NamedTuple):
    """A call of a C function: ``function(inputs, output, constants, arguments)``.

    Attributes
    ----------
    name : str
        Name of the layer.
    title : str
        What is computed, for a comment.
    function : str
        Its name in float32.c or int8.c.
    x : tuple of Array
    y : Array
    constants : dict of str to ndarray
        Arrays to be written into the file.
    arguments : tuple of str
        The other arguments, in C.
    in_place : bool
        Whether the output may be written over an input.
    """

    name: str
    title: str
    function: str
    x: tuple[Array, ...]
    y: Array
    constants: dict[str, np.ndarray]
    arguments: tuple[str, ...]
    in_place: bool = False


def windows(w: Windows) -> str:
    """Return a `struct windows` in C."""
    fields = {
        "height": w.H, "width": w.W, "rows": w.OH, "columns": w.OW, "kernel_height": w.KH, "kernel_width": w.KW,
        "stride_y": w.SH, "stride_x": w.SW, "dilation_y": w.DH, "dilation_x": w.DW, "top": w.top, "left": w.left,
    }  # fmt: skip
    parts = [f".{name} = {value}" for name, value in fields.items()]
    return f"(struct windows){{\n        {', '.join(parts[:6])},\n        {', '.join(parts[6:])}}}"


def number(value: float) -> str:
    """Return the shortest decimal that C reads as this float32."""
    return f"{np.float32(value)!s}f"
