"""Checkouts of fastcnn: the package of a revision, imported by processes of its own."""

import compileall
import importlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import _sides

ROOT = Path(__file__).resolve().parent.parent


class Checkout:
    """The package of a revision in a folder, with its own cache of kernels; a setup for `_measure.start`.

    Parameters
    ----------
    folder : Path
        An empty folder, in which the package will be.
    revision : str or Path
        A revision of this repository, or a folder that contains the package.
    threads : int
        Number of threads of its processes.

    Attributes
    ----------
    folder, cache : Path
        Where its processes import fastcnn from, and keep the compiled kernels.
    file : str
        The ``fastcnn.__file__`` of its processes.

    Raises
    ------
    ValueError
        If there is no such revision.
    """

    def __init__(self, folder: Path, revision: str | Path, threads: int):
        self.folder, self.cache, self._threads = folder.resolve(), folder.resolve() / "kernels", threads
        self.file = str(self.folder / "fastcnn" / "__init__.py")
        package = Path(revision, "fastcnn")
        if package.is_dir():
            shutil.copytree(package, self.folder / "fastcnn", ignore=shutil.ignore_patterns("__pycache__"))
        else:
            command = ["git", "-C", ROOT, "archive", "--format=tar", f"{revision}:fastcnn"]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                message = done.stderr.decode(errors="replace").strip()
                raise ValueError(f"{str(revision)!r} is neither a revision nor a folder with fastcnn in it. {message}")
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                archive.extractall(self.folder / "fastcnn", filter="data")
        compileall.compile_dir(self.folder, quiet=1)  # so that no start of a process includes it

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Within this block, new processes import this fastcnn and use its cache."""
        before = os.environ.get("NUMBA_CACHE_DIR")
        sys.path.insert(0, str(self.folder))  # `multiprocessing` passes the path to its processes
        os.environ["NUMBA_CACHE_DIR"] = str(self.cache)
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            del os.environ["NUMBA_CACHE_DIR"]
            if before is not None:
                os.environ["NUMBA_CACHE_DIR"] = before

    def __call__(self) -> dict:
        """Set up fastcnn in a process of this checkout."""
        fastcnn = importlib.import_module("fastcnn")
        if fastcnn.__file__ != self.file:
            raise RuntimeError(f"This process must import {self.file}, but imported {fastcnn.__file__}.")
        return _sides.fastcnn(self._threads)
