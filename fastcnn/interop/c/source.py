"""The text of a C file: its opening comment, functions, constants, and predict()."""

import re
from collections.abc import Container, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

import fastcnn
from fastcnn.interop.c.call import Call, number
from fastcnn.interop.c.memory import plan
from fastcnn.interop.c.steps import Array

_FUNCTION = re.compile(r"/\*(?:(?!\*/).)*\*/\nstatic \w+ (\w+)\(.*?\n}\n", re.DOTALL)
_STRUCT = re.compile(r"/\*(?:(?!\*/).)*\*/\nstruct (\w+) {.*?\n};\n", re.DOTALL)
_USE = re.compile(r"\w+(?=\()|(?<=struct )\w+")  # of a function, or of a structure
_PER_LINE = 12
_HEAD = """\
#include <math.h>
#include <stdint.h>
{check}
/* AVR microcontrollers copy constants to RAM unless their type has the qualifier of GNU C for flash memory. */
#ifndef __AVR__
#define FLASH
#elif defined __FLASH
#define FLASH __flash
#else
#error "AVR needs -std=gnu99 for constants in flash memory."
#endif
"""
_CHECK = """
#include <limits.h>
#if INT_MAX < 2147483647
#error "This program needs an int of 32 bits, because it has an array of {length} elements."
#endif
"""
_CHECK_FLASH = """
#ifdef __AVR__
#error "AVR's pointers to flash memory reach 64 KB, but this program has {flash} bytes of constants."
#endif
"""
_AVR_FLASH = 63 * 1024  # of 64 KB; interrupt vectors come first


class Sizes(NamedTuple):
    """The memory that a C program needs, in bytes.

    Attributes
    ----------
    flash : int
        Of its constants: weights, biases and the like. The machine code comes on top.
    ram : int
        Of its static array for activations. The input, the output and the stack come on top. On AVR, so do up to 24
        bytes for each convolution and pooling, as its compiler keeps the numbers that describe their windows in RAM.
    """

    flash: int
    ram: int


class Types(NamedTuple):
    """The C types of a program: of the input, and of the activations in memory."""

    image: str
    memory: str


def source(
    calls: Sequence[Call],
    library: str,
    types: Types,
    image: Array,
    output: tuple[str, Array],
    metadata: Mapping[str, str],
) -> tuple[str, Sizes]:
    """Return the text of a program that makes these calls, and its sizes.

    Parameters
    ----------
    calls : sequence of Call
    library : str
        The C file, beside this one, that has the functions.
    types : Types
    image : Array
        The input.
    output : (str, Array)
        The name of the output parameter, and the output.
    metadata : mapping of str to str
        Entries for the opening comment.
    """
    name, y = output
    homes, last, size = plan(calls, y)

    def place(array: Array) -> str:
        if array.number not in homes:
            return "image"
        home = homes[array.number]
        if home is last:
            return name
        return f"memory + {home.place}" if home.place else "memory"

    signature = f"void predict(const {types.image} *image, float *{name})"
    constants: dict[str, str] = {}  # definitions by name
    known: dict[tuple, str] = {}  # names by content, so that a layer that is called twice has one definition
    body, flash = [], 0
    for call in calls:
        names = []
        for key, array in call.constants.items():
            content = key, array.dtype, array.shape, array.tobytes()
            if content not in known:
                known[content] = name_in_c = _unused(f"{key}_{call.name}", constants)
                constants[name_in_c] = _constant(name_in_c, array)
                flash += array.nbytes
            names.append(known[content])
        arguments = *map(place, call.x), place(call.y), *names, *call.arguments
        title = _comment(" ".join(call.title.split()))  # no line break could join the signs that end a comment
        body.append(f"    /* {title} */\n    {call.function}({', '.join(arguments)});\n")
    longest = max(image.size, y.size, size, *(array.size for call in calls for array in call.constants.values()))
    sizes = Sizes(flash, size * {"float": 4, "uint8_t": 1}[types.memory])
    checks = _CHECK.format(length=longest) if longest > 2**15 - 1 else ""
    checks += _CHECK_FLASH.format(flash=sizes.flash) if sizes.flash > _AVR_FLASH else ""
    parts = [
        _opening(signature, sizes, image.shape, name, y.shape, metadata),
        _HEAD.format(check=checks),
        f"{signature};\n",
        *([f"static {types.memory} memory[{size}]; /* the activations */\n"] if size else []),
        *_functions(library, {call.function for call in calls}),
        *constants.values(),
        f"{signature}\n{{\n{''.join(body)}}}\n",
    ]
    return "\n".join(parts), sizes


def _opening(signature: str, sizes: Sizes, image: tuple, name: str, output: tuple, metadata: Mapping[str, str]) -> str:
    """Return the opening comment."""
    lines = [
        f"A neural network in C99, written by fastcnn {fastcnn.__version__}.",
        "",
        signature,
        "",
        f"image: {' x '.join(map(str, image))}, in the order of a C array",
        f"{name}: {' x '.join(map(str, output))}; must not overlap the image",
        f"flash: {sizes.flash} bytes of constants",
        f"RAM: {sizes.ram} bytes of static memory, so only one thread at a time may call predict()",
        *(f"{key}: {value}" for key, value in metadata.items()),
    ]
    return "/* " + "\n   ".join(_comment("\n".join(lines)).splitlines()).replace("   \n", "\n") + " */\n"


def _comment(text: str) -> str:
    """Return text without the signs that begin and end comments."""
    return text.replace("*/", "* /").replace("/*", "/ *")


def _functions(library: str, needed: set[str]) -> list[str]:
    """Return the definitions of functions, and of what these use themselves, in the order of the files."""
    text = "\n".join(resources.files(__package__).joinpath(file).read_text("utf-8") for file in ("both.c", library))
    blocks = {match[1]: match[0] for pattern in (_STRUCT, _FUNCTION) for match in pattern.finditer(text)}
    while more := {use for name in needed for use in _USE.findall(blocks[name]) if use in blocks} - needed:
        needed = needed | more
    return [block for name, block in blocks.items() if name in needed]


def _unused(name: str, used: Container[str]) -> str:
    """Return a name in C for a dotted name, other than the used ones."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII).rstrip("_")
    while name in used:
        name += "_"
    return name


def _constant(name: str, array: np.ndarray) -> str:
    """Return the definition of an array."""
    flat = array.ravel()
    kind, write = ("float", number) if array.dtype == np.float32 else (f"{array.dtype}_t", str)
    lines = (
        ", ".join(map(write, flat[start : start + _PER_LINE].tolist())) for start in range(0, flat.size, _PER_LINE)
    )
    shape = " * ".join(map(str, array.shape))
    return f"static const FLASH {kind} {name}[{shape}] = {{\n    " + ",\n    ".join(lines) + "};\n"
