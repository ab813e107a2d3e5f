"""Compile the C files of `fastcnn.interop.to_c` and run them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler named cc")


class Toolchain(NamedTuple):
    """A compiler, with options, and the command that its programs are given to."""

    compiler: tuple[str, ...]
    run: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """Whether this machine has its programs."""
        return all(shutil.which(command[0]) for command in self if command)


CC = Toolchain(("cc",))
OTHERS = {
    "clang": Toolchain(("clang",)),
    "32-bit ARM": Toolchain(("arm-linux-gnueabihf-gcc", "-static"), ("qemu-arm",)),
}

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror", "-pedantic")
CHECKED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FAST = ("-O2",)

MAIN = """
#include <stdint.h>
#include <stdio.h>
void predict(const {image} *, float *);
static {image} image[{images}];
static float output[{outputs}];
int main(void)
{{
    while (fread(image, sizeof image, 1, stdin) == 1) {{
        predict(image, output);
        fwrite(output, sizeof output, 1, stdout);
    }}
}}
"""

SIZES = """
#include <stdio.h>
#include "{path}"
int main(void) {{ printf("%zu %zu", {constants}, {memory}); }}
"""


def outputs(path: Path, images: np.ndarray, shape: tuple[int, ...], options=CHECKED, toolchain=CC) -> np.ndarray:
    """Compile a program and run it on each image; return the outputs, each of this shape, as a batch."""
    kind = {"uint8": "uint8_t", "float32": "float"}[images.dtype.name]
    main, program = path.with_name("main.c"), path.with_name("program")
    main.write_text(MAIN.format(image=kind, images=images[0].size, outputs=np.prod(shape, dtype=int)))
    run(*toolchain.compiler, *STRICT, *options, path, main, "-o", program, "-lm")
    found = run(*toolchain.run, program, given=np.ascontiguousarray(images).tobytes())
    return np.frombuffer(found, np.float32).reshape(len(images), *shape)


def sizes(path: Path) -> tuple[int, int]:
    """Return what the compiler says of the bytes of a program's constants, and of its static memory."""
    text = path.read_text()
    names = re.findall(r"static const FLASH \w+ (\w+)\[", text)
    memory = "sizeof memory" if re.search(r"^static \w+ memory\[", text, re.MULTILINE) else "(size_t)0"
    main, program = path.with_name("sizes.c"), path.with_name("sizes")
    constants = " + ".join(["(size_t)0", *(f"sizeof {name}" for name in names)])
    main.write_text(SIZES.format(path=path, constants=constants, memory=memory))
    run(*CC.compiler, "-std=c99", main, "-o", program, "-lm")
    flash, ram = map(int, run(program).split())
    return flash, ram


def run(*command, given: bytes = b"") -> bytes:
    """Run a command with this on stdin; return what it writes to stdout."""
    done = subprocess.run([str(part) for part in command], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
