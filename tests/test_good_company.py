"""fastcnn works in pools of processes, without a home folder, a terminal or UTF-8, and installed from its wheel.

See also test_processes.py (two Python threads, forks), test_num_threads.py and test_processors.py (environment
variables, control groups), test_cache.py (a kernel cache that is broken, read-only or shared).
"""

import multiprocessing
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fastcnn
from fastcnn import training
from tests.command_line import SMALL
from tests.test_loses_nothing import with_mounts
from tests.test_processes import STEP

ROOT = Path(fastcnn.__file__).parents[1]
DIGEST = STEP + "import hashlib; digest = hashlib.sha256(train(0)).hexdigest()\n"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}

MEASURED = {"COVERAGE_PROCESS_CONFIG": os.environ.get("COVERAGE_PROCESS_CONFIG")}
NO_COVERAGE = {"COVERAGE_PROCESS_CONFIG": None}  # it cannot write everywhere


def run(*command, **options) -> str:
    """Run a command and return its output; see `execute`."""
    return execute(*command, **options).stdout.strip()


def execute(*command, cwd=None, path=ROOT, **environment) -> subprocess.CompletedProcess:
    """Run a command, which must succeed; environment variables that are None are removed."""
    alone = {"PYTHONPATH": str(path), **NO_COVERAGE}
    environment = {**os.environ, **alone, **environment}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [str(argument) for argument in command]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def digest() -> str:
    """Hash of the weights of a small net after some steps on the numba backend."""
    return run(sys.executable, "-c", DIGEST + "print(digest)")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}, id="one thread for Numba and BLAS"),
        pytest.param({**ASCII, "TERM": "dumb", "HOME": "/nonexistent"}, id="ASCII, a dumb terminal and no home"),
    ],
)
def test_it_computes_the_same_in_any_environment_and_folder(environment, digest, tmp_path):
    assert run(sys.executable, "-c", DIGEST + "print(digest)", cwd=tmp_path, **environment) == digest


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_of_processes(method, digest, tmp_path):
    """Windows and macOS spawn them; Linux uses a fork server by default from Python 3.14 on."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("Windows has no fork server")
    program = tmp_path / "program.py"
    main = f"""
def work(seed):
    return hashlib.sha256(train(seed)).hexdigest()

if __name__ == "__main__":
    train(0)
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        print(*pool.map(work, [0, 0], chunksize=1))
"""
    program.write_text(f"import hashlib, multiprocessing\n{STEP}\n{main}", encoding="utf-8")
    assert run(sys.executable, program).split() == [digest] * 2


ELSEWHERE = """
import os, signal, sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="fastcnn")  # UTF-8 is not everybody's default
for name in "fcntl", "grp", "pwd", "resource", "termios":
    sys.modules[name] = None  # so that importing it fails
for name in (
    "chown", "fork", "forkpty", "getuid", "geteuid", "killpg", "mkfifo", "register_at_fork", "sched_getaffinity",
    "sched_setaffinity", "setsid", "statvfs", "sysconf", "wait4",
):
    delattr(os, name)
for name in "SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1":
    delattr(signal, name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="removes what only POSIX systems have; Linux has all of it")
def test_a_system_without_posix(digest, mnist_folder, tmp_path):
    """Training, checkpoints and commands need nothing that Windows does not have."""
    python = sys.executable, "-X", "warn_default_encoding", "-c"
    assert run(*python, ELSEWHERE + DIGEST + "print(digest)") == digest
    command = "import sys; from fastcnn.__main__ import main; sys.exit(main(sys.argv[1:]))"
    out = tmp_path / "run"
    train = ["train", *SMALL, "--limit", "100", "--epochs", "1", "--data-root", mnist_folder, "--out", out]
    for arguments in train, ["evaluate", out, "--data-root", mnist_folder], ["info"]:
        run(*python, ELSEWHERE + command, *arguments)


def test_a_python_without_its_lock_is_refused():
    """The free-threaded build has this function, too; with PYTHON_GIL=1 it returns True."""
    code = """
import sys
sys._is_gil_enabled = lambda: {}
try:
    import fastcnn
    print(fastcnn.__version__)
except ImportError as error:
    print(error)
"""
    assert run(sys.executable, "-c", code.format(True)) == fastcnn.__version__
    said = run(sys.executable, "-c", code.format(False), **MEASURED)
    assert said.startswith("fastcnn needs Python's global interpreter lock")
    assert "PYTHON_GIL=1" in said


def test_numba_without_its_compiler_is_refused():
    code = """
import numpy as np
from fastcnn import functional
try:
    functional.relu(np.ones((1, 1)), backend="numba")
except ImportError as error:
    print(error)
"""
    said = run(sys.executable, "-c", code, NUMBA_DISABLE_JIT="1", **MEASURED)
    assert "NUMBA_DISABLE_JIT is set" in said
    assert run(sys.executable, "-c", code.replace("numba", "naive"), NUMBA_DISABLE_JIT="1") == ""


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell, which can close streams")
def test_no_streams_at_all(mnist_folder, tmp_path):
    """Like a daemon, without stdin, stdout and stderr; no file may get their descriptors."""
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable]
    out = tmp_path / "run"
    train = ["train", *SMALL, "--limit", "100", "--epochs", "1", "--data-root", mnist_folder, "--out", out]
    run(*closed, "-m", "fastcnn", *train)
    assert len(training.History.from_json(out / "history.json").epochs) == 1
    code = "import sys; from tests.runs import make_run; trainer, *data = make_run(); "
    code += "trainer.fit(*data, 2).to_json(sys.argv[1])"
    run(*closed, "-c", code, tmp_path / "history.json", FASTCNN_BACKEND="numpy")
    assert len(training.History.from_json(tmp_path / "history.json").epochs) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have their own encoding of file names")
def test_commands_where_nothing_is_utf8(tmp_path):
    """Names of folders, classes and files are not ASCII, but the output is limited to ASCII."""
    image = pytest.importorskip("PIL.Image")
    for n in range(24):
        folder = tmp_path / "größe" / ("día", "тень")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image.new("L", (12, 12), 5 * n + 100 * (n % 2)).save(folder / f"{n}×.png")
    train = [*SMALL, "--image-size", "12", "--validation", "0.2", "--epochs", "1", "--data", "größe", "--out", "läuft"]
    for command in (
        ["train", *train], ["train", "--resume", "läuft"], ["evaluate", "läuft"], ["summary", "lenet5"],
        ["predict", "läuft", "größe/día/0×.png"], ["plot", "läuft", "--out", "läuft/kurve–.png"], ["train", "--help"],
    ):  # fmt: skip
        assert run(sys.executable, "-m", "fastcnn", *command, cwd=tmp_path, **ASCII).isascii()
    assert (tmp_path / "läuft" / "kurve–.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="control groups and private mounts exist on Linux only")
class TestMounts:
    def test_half_a_processor_is_one_thread(self):
        groups = """
from pathlib import Path
for line in Path("/proc/self/cgroup").read_text().splitlines():
    _, controllers, path = line.split(":", 2)
    folder = Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text("50000 100000")
import fastcnn
print(fastcnn.get_num_threads())
"""
        script = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
        command = [*with_mounts(), "sh", "-c", script, "sh", sys.executable, "-c", groups]
        assert run(*command, FASTCNN_NUM_THREADS=None) == "1"

    def test_a_system_that_is_read_only_and_a_home_that_is_not_there(self):
        """Nothing can be written: kernels are not cached, and there is no folder for temporary files."""
        code = (
            "import numpy; from fastcnn.functional import relu; print(relu(numpy.array([-1.0, 2.0]), backend='numba'))"
        )
        script = 'while read _ place _; do mount -o remount,bind,ro "$place"; done </proc/mounts 2>/dev/null; exec "$@"'
        command = [*with_mounts(), "sh", "-c", script, "sh", sys.executable, "-W", "default", "-c", code]
        done = execute(*command, NUMBA_CACHE_DIR=None, HOME="/nonexistent", XDG_CACHE_HOME=None)
        assert done.stdout == "[0. 2.]\n"
        assert done.stderr.count("fastcnn: compiled kernels cannot be kept") == 1, done.stderr


# installed packages

TRAIN = (
    DIGEST
    + """
from importlib.metadata import version
from pathlib import Path
assert Path(fastcnn.__file__).is_relative_to(sys.argv[1]), fastcnn.__file__
assert version("fastcnn") == fastcnn.__version__
print(digest, F.relu(np.array([-1.0, 2.0]), backend="numba"))
"""
)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The sdist, the wheel, and the wheel built from the sdist."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")

    def build(source: Path, kind: str, name: str) -> Path:
        run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder / name, cwd=source)
        (file,) = (folder / name).iterdir()
        return file

    sdist, wheel = build(ROOT, "sdist", "sdist"), build(ROOT, "wheel", "wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return {"sdist": sdist, "wheel": wheel, "sdist's wheel": build(folder / sdist.name[:-7], "wheel", "again")}


def test_a_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built["wheel"]) as wheel, zipfile.ZipFile(built["sdist's wheel"]) as again:
        names = wheel.namelist()
        contents, others = ({name: file.read(name) for name in file.namelist()} for file in (wheel, again))
    assert contents == others
    assert {name.split("/")[0] for name in names} == {"fastcnn", f"fastcnn-{fastcnn.__version__}.dist-info"}
    files = (path for kind in ("*.py", "*.c") for path in (ROOT / "fastcnn").rglob(kind))
    sources = {path.relative_to(ROOT).as_posix() for path in files}
    assert {name for name in names if name.startswith("fastcnn/")} == sources | {"fastcnn/py.typed"}


def test_an_sdist_holds_all_that_tests_need(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "fastcnn/py.typed", "tests/conftest.py"} <= names
    assert {name.split("/")[0] for name in names} >= {"tests", "bench", "examples"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc", ".pyc"))]


def test_an_installed_wheel_trains_in_an_empty_folder(built, tmp_path):
    """On the numpy backend, and only one kernel on numba, because the cache of the installed package is empty."""
    pytest.importorskip("pip")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", site]
    run(sys.executable, "-m", "pip", "install", "-q", *options, built["sdist's wheel"])
    digest = run(sys.executable, "-c", DIGEST + "print(digest)", FASTCNN_BACKEND="numpy")
    said = run(sys.executable, "-c", TRAIN, site, cwd=empty, path=site, FASTCNN_BACKEND="numpy")
    assert said == f"{digest} [0. 2.]"
    program = site / "bin" / "fastcnn"
    if os.name == "posix":
        assert run(program, "--version", cwd=empty, path=site) == fastcnn.__version__
    assert not list(empty.iterdir())
