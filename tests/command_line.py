"""Call the command line in this process or in another one, and write data for it."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastcnn
from fastcnn.__main__ import main
from fastcnn.data import digits

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SMALL = ("--model", "conv8", "--backend", "numpy", "--batch-size", "50")


def call(capsys, *argv) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, stdout and stderr."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in argv])
    except SystemExit as exit:
        code = exit.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def start(*argv, **environment) -> subprocess.Popen:
    """Start a command in another process."""
    path = os.pathsep.join(filter(None, (str(Path(fastcnn.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    command = [sys.executable, "-u", "-m", "fastcnn", *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(*argv, **environment) -> tuple[int, str, str]:
    """Run a command in another process; return exit code, stdout and stderr."""
    process = start(*argv, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def write_mnist(folder: Path, n_train: int, n_test: int) -> Path:
    """Write built-in digits as MNIST's four files."""
    train, test = digits(n_train, n_test)
    arrays = (train.images[:, 0], train.labels, test.images[:, 0], test.labels)
    for name, array in zip(FILES, arrays, strict=True):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))
    return folder
