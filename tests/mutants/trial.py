"""Run tests on changed copies of a tree.

A process that has imported what tests import, but not fastcnn, forks a process for each run. So a run takes little more
time than its tests.
"""

import compileall
import importlib
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NamedTuple

import numba
import pytest
from numba.core.caching import UserProvidedCacheLocator

PRELOADED = ("numba.core.caching", "numba.extending", "hypothesis.extra.numpy", "matplotlib.pyplot", "PIL.Image")
MEMORY, FILE_SIZE = 8 << 30, 1 << 30  # bytes; a fault may ask for any amount
BACKENDS = {"numpy_im2col": "numpy", "numba_direct": "numba"}


class Outcome(NamedTuple):
    """How a run ended.

    Attributes
    ----------
    how : str
        "passed", "failed", "hangs" or "crashed", with the exit code of pytest.
    test : str
        The test that ran last; empty if none ran.
    seconds : float
    output : str
        The end of what pytest printed.
    """

    how: str
    test: str
    seconds: float
    output: str

    @property
    def passed(self) -> bool:
        return self.how == "passed"


class Tree:
    """A copy of a tree whose files can be changed for one run.

    Parameters
    ----------
    root, work : Path
        The tree, and a folder for the copy, the compiled kernels and what tests write.
    """

    def __init__(self, root: Path, work: Path):
        self.path, self.work, self.warm = work / "tree", work, work / "warm"
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(root, self.path, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__"))
        # checked by their content, as a fault may have the time and the size of the source
        compileall.compile_dir(self.path / "fastcnn", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        for folder in (self.warm, work / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        sys.path.insert(0, str(self.path))
        os.environ.update(
            PYTHONPATH=str(self.path), NUMBA_CACHE_DIR=str(work / "numba"), HOME=str(work / "home"), MPLBACKEND="agg",
            PYTHONDONTWRITEBYTECODE="1",
        )  # fmt: skip
        sys.dont_write_bytecode = True
        for name in PRELOADED:
            importlib.import_module(name)
        numba.njit(lambda: 0)()  # starts the compiler

    def copy(self, work: Path) -> "Tree":
        """Make another copy of the tree, with the same compiled kernels: Numba names their folder after the tree's."""
        other = Tree(self.path, work)
        if (kernels := self.warm / _kernels(self.path)).exists():
            own = other.warm / _kernels(other.path)
            shutil.rmtree(own, ignore_errors=True)
            shutil.copytree(kernels, own, copy_function=os.link)
        return other

    def run(self, arguments: list[str], seconds: float, changed: dict[str, str] | None = None) -> Outcome:
        """Run pytest until a test fails, with the files ``changed`` (paths in ``fastcnn/`` and their new contents).

        It hangs if it computes for more than ``seconds``, or if five times as many pass.
        """
        before, only = {}, None
        for name, content in (changed or {}).items():
            path = self.path / "fastcnn" / name
            before[path] = path.read_bytes()
            path.write_text(content, encoding="utf-8")
            only = BACKENDS.get(Path(name).parts[1]) if name.startswith("backends/") else None
        # Hard links: kernels that a fault changes replace files and leave those of `warm` as they are.
        kernels = self.work / "numba"
        shutil.rmtree(kernels, ignore_errors=True)
        shutil.copytree(self.warm, kernels, copy_function=os.link)
        start = time.perf_counter()
        try:
            how, test, output = self._fork(arguments, seconds, only)
        finally:
            for path, content in before.items():
                path.write_bytes(content)
            if not changed:  # keep what was compiled
                shutil.rmtree(self.warm)
                kernels.rename(self.warm)
        return Outcome(how, test, time.perf_counter() - start, output)

    def _fork(self, arguments: list[str], seconds: float, only: str | None) -> tuple[str, str, str]:
        said, last = self.work / "said", self.work / "last"
        last.write_text("")
        child = os.fork()
        if child == 0:
            self._in_child(arguments, seconds, only, said, last)
        end = time.monotonic() + 5 * seconds
        try:
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # also what the tests have started
        code = os.waitstatus_to_exitcode((ended if ended[0] else os.waitpid(child, 0))[1])
        shutil.rmtree(self.work / "tmp", ignore_errors=True)
        ways = {0: "passed", 1: "failed", -signal.SIGXCPU: "hangs", -signal.SIGKILL: "hangs"}
        return ways.get(code, f"crashed ({code})"), last.read_text(), said.read_text(errors="replace")[-3000:]

    def _in_child(self, arguments: list[str], seconds: float, only: str | None, said: Path, last: Path) -> None:
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
            limits = {resource.RLIMIT_CPU: int(seconds) + 1, resource.RLIMIT_DATA: MEMORY,
                      resource.RLIMIT_FSIZE: FILE_SIZE, resource.RLIMIT_CORE: 0}  # fmt: skip
            for limit, most in limits.items():
                resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
            output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
                os.dup2(descriptor, stream)
            os.chdir(self.path)
            for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
                del sys.modules[name]  # those of this program, which are not the copy's
            options = ["-q", "-x", "-n0", "-p", "no:cacheprovider", f"--basetemp={self.work / 'tmp'}",
                       "-Wignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip
            code = pytest.main([*options, *arguments], plugins=[_Watcher(last, only)])
            sys.stdout.flush()
            os._exit(code)
        finally:
            os._exit(99)


def _kernels(tree: Path) -> str:
    """The name of the folder in which Numba keeps a tree's kernels."""
    return UserProvidedCacheLocator.get_suitable_cache_subpath(
        str(tree / "fastcnn/backends/numba_direct/runtime/cache.py")
    )


class _Watcher:
    """Notes which test runs, and leaves out tests of another backend than ``only``."""

    def __init__(self, last: Path, only: str | None):
        self.last, self.only = last, only

    def pytest_collection_modifyitems(self, items):
        if self.only:
            items[:] = [item for item in items if self._may_notice(item)] or items

    def _may_notice(self, item) -> bool:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        return all(given.get(name) in (None, self.only) for name in ("backend", "fast_backend"))

    def pytest_runtest_logstart(self, nodeid):
        self.last.write_text(nodeid)
