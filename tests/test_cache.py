"""The folder of compiled kernels may be new, stale, broken or read-only: results are the same, with a message."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastcnn

RELU = "import numpy as np; from fastcnn import functional as F; print(F.relu(np.array([-1.0, 2.0]), backend='numba'))"
COMPILING = "fastcnn: compiling kernels for this processor"


def run(code: str, folder: Path, package: Path | None = None) -> str:
    """Run code in a fresh process, which must succeed; return its stderr."""
    path = package or Path(fastcnn.__file__).parents[1]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(path), "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=path, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "[0. 2.]\n", done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A folder with the kernels for `RELU`."""
    folder = tmp_path_factory.mktemp("cache")
    run(RELU, folder)
    return folder


@pytest.fixture
def folder(filled, tmp_path) -> Path:
    """A copy of the folder."""
    return shutil.copytree(filled, tmp_path / "cache")


def test_compiling_is_announced_once_and_loading_is_not(tmp_path):
    said = run(RELU, tmp_path)
    assert said.count(COMPILING) == 1
    assert f"kept in {tmp_path}" in said
    assert run(RELU, tmp_path) == ""


def test_what_was_compiled_is_summed_up_at_exit_unless_it_was_before(tmp_path):
    first, last = run(RELU, tmp_path / "a").splitlines()
    assert first.startswith(f"{COMPILING}, about half a second each; kept in ")
    assert re.fullmatch(r"fastcnn: compiled [1-9]\d* kernels? in \d+\.\d s\.", last)
    code = f"from fastcnn.training.compiling import Compiling; compiling = Compiling(); {RELU}; compiling.say()"
    assert [line.split()[1] for line in run(code, tmp_path / "b").splitlines()] == ["compiling", "compiled"]


@pytest.mark.parametrize(("command", "lines"), [("info", 1), ("warmup", 0)])
def test_commands_sum_up_what_they_compiled(command, lines, tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(fastcnn.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "fastcnn", command, *(["--model", "mlp"] if command == "warmup" else [])],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert done.stderr.count(COMPILING) == 1
    assert len(re.findall(r"fastcnn: compiled \d+ kernels? in [\d.]+ s\.\n", done.stderr)) == lines  # warmup: stdout
    assert "were compiled in" in done.stdout or lines


def test_nothing_is_compiled_at_import(tmp_path):
    assert run("import fastcnn.backends.numba_direct; print('[0. 2.]')", tmp_path) == ""
    assert not list(tmp_path.rglob("*.nb*"))


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("harm", ["empty", "truncated", "rubbish"])
def test_broken_files_are_replaced(kind, harm, folder):
    files = list(folder.rglob(f"*.{kind}"))
    assert files
    for file in files:
        content = file.read_bytes()
        harmed = {"empty": b"", "truncated": content[: len(content) // 2], "rubbish": b"rubbish" * 100}
        file.write_bytes(harmed[harm])
    said = run(RELU, folder)
    assert said.count("RuntimeWarning: fastcnn: compiled kernels in ") == 1, said
    assert "cannot be read and are compiled again" in said
    assert str(folder) in said
    assert run(RELU, folder) == ""


def test_a_folder_that_cannot_be_used_any_more(folder):
    (subfolder,) = folder.iterdir()
    code = f"import fastcnn.backends.numba_direct, shutil; shutil.rmtree({str(subfolder)!r}); "
    said = run(f"{code}open({str(subfolder)!r}, 'w').close(); {RELU}", folder)
    assert said.count(f"RuntimeWarning: fastcnn: compiled kernels cannot be kept in {subfolder}") == 1, said


def test_no_folder_at_all(tmp_path):
    no_folder = "import numba.core.caching; numba.core.caching.CacheImpl._locator_classes = []; "
    said = run(no_folder + RELU, tmp_path)
    assert said.count("RuntimeWarning: fastcnn: compiled kernels cannot be kept") == 1, said
    assert "set the environment variable NUMBA_CACHE_DIR" in said
    assert said.count(COMPILING) == 1


def test_a_folder_below_a_file_is_passed_over(tmp_path):
    (tmp_path / "file").touch()
    assert "Error" not in run(RELU, tmp_path / "file" / "folder")


def test_kernels_are_compiled_again_when_what_they_call_has_changed(tmp_path):
    package, folder = tmp_path / "package", tmp_path / "cache"
    sources = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastcnn.__file__).parent, package / "fastcnn", ignore=sources)
    assert COMPILING in run(RELU, folder, package)
    for file, compiled_again in (("pooling", False), ("simd/tile", True)):
        with open(package / "fastcnn" / "backends" / "numba_direct" / f"{file}.py", "a") as source:
            source.write("# changed\n")
        assert (COMPILING in run(RELU, folder, package)) == compiled_again, file


def test_code_that_is_not_what_the_index_says_is_compiled_again(folder, tmp_path):
    """This happens if two processes compile a kernel for two dtypes at once, because both number their file 1."""
    other = tmp_path / "other"
    run(RELU.replace("2.0]", "2.0], np.float32"), other)
    code = [file for file in folder.rglob("*.nbc") if "relu" in file.name]
    assert code
    for file in code:
        shutil.copy(other / file.relative_to(folder), file)
    assert COMPILING in run(RELU, folder)
    assert run(RELU, folder) == ""
