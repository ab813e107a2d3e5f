"""Several ranks train like one process; they are run by a real mpiexec on this machine."""

import contextlib
import copy
import importlib.util
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastcnn
from fastcnn import distributed, nn
from fastcnn.distributed import batch_norm, ending, last_words
from fastcnn.distributed.gradients import sum_gradients
from fastcnn.distributed.processors import threads as threads_of
from fastcnn.distributed.streams import jumped
from tests import command_line, ranks_program

ROOT = Path(__file__).parent.parent
BESIDE = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
SAME = (
    "uneven",
    "frozen",
    "weighted",
    "ignored",
    "batch_norm",
    "of_numbers",
    "of_pixels",
    "of_two_inputs",
    "by_loader",
    "by_loader_of_classes",
    "unmeasured",
)  # equal to a single process, up to rounding
OWN = ("augmented", "dropout", "batch_norm_apart")  # results depend on the number of ranks
MORE = (
    "by_strategy",
    "saved",
    "masks",
    "not_finite",
    "ignored_all",
    "interrupted",
    "batch_norm_too_few",
    "threads",
    "numbers_resumed",
)

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py and mpiexec"
)


def start(ranks: int, folder: Path, *scenarios: str, threads: str | None = "1") -> subprocess.Popen:
    """Start ranks that run some scenarios."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "tests.ranks_program", str(folder), *scenarios]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FASTCNN_NUM_THREADS": threads}
    environment = {name: value for name, value in environment.items() if value is not None}
    if threads is None:
        environment.pop("FASTCNN_NUM_THREADS", None)
        environment.pop("NUMBA_NUM_THREADS", None)
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait(process: subprocess.Popen) -> tuple[str, str]:
    """Wait until ranks end and return their output; terminate them if they hang."""
    try:
        return process.communicate(timeout=300)
    finally:
        process.terminate()  # mpiexec ends its ranks


def run(ranks: int, folder: Path, *scenarios: str, **options) -> dict[str, list]:
    """Run scenarios; return the results of each rank for each scenario."""
    process = start(ranks, folder, *scenarios, **options)
    _, err = wait(process)
    assert process.returncode == 0, err
    files = {scenario: [folder / f"{scenario}-{rank}.json" for rank in range(ranks)] for scenario in scenarios}
    return {scenario: [json.loads(path.read_text()) for path in paths] for scenario, paths in files.items()}


def fails(folder: Path, scenario: str) -> tuple[int, str]:
    """Run two ranks of which one fails; return exit code and output. A hang raises TimeoutExpired."""
    process = start(2, folder, scenario)
    out, err = wait(process)
    return process.returncode, out + err


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    return {ranks: tmp_path_factory.mktemp(f"ranks{ranks}") for ranks in (2, 4)}


@pytest.fixture(scope="module")
def results(folders) -> dict[int, dict[str, list]]:
    """Number of ranks -> results of all scenarios that succeed."""
    if MPIEXEC is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py and mpiexec")
    found, again = {2: run(2, folders[2], *SAME, *OWN, *MORE, threads=None)}, folders[2] / "again"
    for folder in (folders[4], again):
        shutil.copytree(folders[2] / "checkpoints", folder / "checkpoints")
    found[4] = run(4, folders[4], *SAME, *OWN, "resumed")
    found["again"] = run(2, again, *OWN, "uneven", "resumed", "whole")
    return found


def assert_near(one, other, **tolerance) -> None:
    """Check that two results are equal up to rounding."""
    np.testing.assert_allclose(one["losses"], other["losses"], **tolerance)
    if other["evaluation"]:
        np.testing.assert_allclose(one["evaluation"], other["evaluation"], **tolerance)
    for name, values in one["weights"].items():
        np.testing.assert_allclose(values, other["weights"][name], **tolerance, err_msg=name)
    for epoch, expected in zip(one["epochs"], other["epochs"], strict=True):
        assert epoch == pytest.approx(expected, rel=1e-4, abs=1e-4)


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scenario", SAME)
def test_n_ranks_learn_what_one_learns(results, tmp_path, ranks, scenario):
    with fastcnn.use_backend("numpy"):
        alone = json.loads(json.dumps(getattr(ranks_program, scenario)(tmp_path, None)))
    assert_near(results[ranks][scenario][0], alone, rtol=2e-4, atol=2e-6)


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("scenario", [*SAME, *OWN])
def test_all_ranks_end_with_the_same_numbers(results, ranks, scenario):
    first, *others = results[ranks][scenario]
    assert len(first["losses"]) >= 3
    assert all(other == first for other in others)


@needs_mpi
@pytest.mark.parametrize("scenario", ["uneven", "dropout", "augmented", "batch_norm_apart"])
def test_a_run_is_the_same_bit_for_bit_on_as_many_ranks(results, scenario):
    assert results["again"][scenario] == results[2][scenario]


@needs_mpi
def test_a_communicator_stands_for_a_strategy(results):
    assert results[2]["by_strategy"] == results[2]["uneven"]
    code = (
        "import sys\nfrom mpi4py import MPI\nfrom fastcnn import nn, optim, training\n"
        "model, loss = nn.Linear(2, 2), nn.CrossEntropyLoss()\n"
        "assert 'fastcnn.distributed' not in sys.modules\n"
        "trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), loss, distributed=MPI.COMM_WORLD)\n"
        "print(type(trainer._strategy).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "DataParallel\n"


@needs_mpi
@pytest.mark.parametrize("scenario", ["dropout", "augmented"])
def test_each_rank_draws_by_itself(results, scenario, tmp_path):
    with fastcnn.use_backend("numpy"):
        alone = getattr(ranks_program, scenario)(tmp_path, None)
    assert not np.allclose(results[2][scenario][0]["losses"], alone["losses"], rtol=1e-3)


@needs_mpi
def test_each_rank_has_a_stream_of_its_own(results):
    one, other = (found["mask"] for found in results[2]["masks"])
    assert np.shape(one) == np.shape(other)
    assert one != other


@needs_mpi
def test_a_stop_by_one_rank_stops_all_and_rank_0_alone_writes(results, folders):
    for found in results[2]["saved"]:
        assert (len(found["losses"]), found["stopped"]) == (4, "enough")
    assert [path.name for path in (folders[2] / "checkpoints").iterdir() if "00004" in path.name]
    assert [path.name for path in folders[2].glob("best-*")] == ["best-0.safetensors"]


@needs_mpi
def test_a_run_goes_on_bit_for_bit_on_as_many_ranks(results):
    assert results["again"]["resumed"] == results["again"]["whole"]


@needs_mpi
def test_a_regression_goes_on_bit_for_bit(results):
    assert results[2]["numbers_resumed"] == results[2]["of_numbers"]


@needs_mpi
def test_a_run_goes_on_with_another_number_of_ranks(results):
    first, *others = results[4]["resumed"]
    assert all(other == first for other in others)
    before = results[2]["saved"][0]["losses"]
    assert first["losses"][:4] == before
    assert len(first["losses"]) == 6
    assert [epoch["epoch"] for epoch in first["epochs"]] == [1, 2]


@needs_mpi
def test_ctrl_c_on_one_rank_is_raised_on_all_after_a_checkpoint(results, folders):
    for found in results[2]["interrupted"]:
        assert found["raised"]
        assert found["handler_is_back"]
        assert len(found["losses"]) == 2
    assert [path.name for path in (folders[2] / "interrupted").iterdir()] == ["checkpoint-00000002.safetensors"]


@needs_mpi
def test_a_loss_that_is_not_finite_is_explained_alike_on_all_ranks(results):
    errors = {found["error"] for found in results[2]["not_finite"]}
    assert len(errors) == 1
    assert "Rank 1: The images hold values that are not finite, first in image 0 of the batch." in errors.pop()


@needs_mpi
def test_a_batch_in_which_no_image_counts_is_refused_alike_on_all_ranks(results):
    for found in results[2]["ignored_all"]:
        assert found["error"].startswith("No image of batch 2 counts: ")


@needs_mpi
def test_batch_normalization_over_all_ranks_needs_an_image_on_each(results):
    for found in results[2]["batch_norm_too_few"]:
        assert "A batch of 1 is too small for 2 ranks" in found["error"]


@needs_mpi
def test_ranks_of_a_machine_share_its_processors(results):
    for found in results[2]["threads"]:
        assert found["threads"] == max(1, found["processors"] // 2)


@pytest.mark.parametrize(
    ("own", "of_all", "quota", "expected"),
    [
        pytest.param({0, 1, 2}, [{0, 1, 2}] * 2, 9, 1, id="an odd one is left"),
        pytest.param({0}, [{0}] * 3, 9, 1, id="more ranks than processors"),
        pytest.param({0, 1, 2, 3}, [{0, 1, 2, 3}], 1.5, 1, id="a quota"),
        pytest.param(set(range(6)), [set(range(6))] * 3, 9, 2, id="thirds that round"),
    ],
)
def test_share_of_the_processors(own, of_all, quota, expected):
    assert threads_of(own, of_all, quota) == expected


@needs_mpi
def test_an_exception_on_one_rank_ends_all_with_its_traceback(tmp_path):
    code, said = fails(tmp_path, "raises")
    assert code == 1
    assert "Rank 1 of 2 failed, which ends all ranks:" in said
    assert "RuntimeError: the disk is full of eels" in said


@needs_mpi
def test_a_part_of_one_image_for_batch_normalization_is_refused_before_the_first_batch(tmp_path):
    code, said = fails(tmp_path, "one_image")
    assert code == 1
    assert "ValueError: `train` cannot be trained on: a batch, or a rank's part of it, has one image. " in said
    assert "a batch\n" not in said


@needs_mpi
def test_an_exit_of_one_rank_ends_all(tmp_path):
    code, said = fails(tmp_path, "exits")
    assert code == 1
    assert "no data on this machine" in said


class Comm:
    """The second of two ranks, which records what is unread in a pipe when it aborts all ranks."""

    def __init__(self, reader: int):
        self.reader, self.ended = reader, []

    def Get_size(self):
        return 2

    def Get_rank(self):
        return 1

    def Abort(self, code):
        self.ended.append((code, select.select([self.reader], [], [], 0)[0]))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SystemExit(4), 4, ""),
        (SystemExit("no data"), 1, "no data\n"),
        (KeyboardInterrupt(), 130, "Rank 1 of 2 was interrupted.\n"),
        (ValueError("no"), 1, "Rank 1 of 2 failed, which ends all ranks:\nTraceback (most recent call last):\n"),
    ],
    ids=repr,
)
def test_an_error_of_a_rank_ends_all_ranks(error, code, said, capsys):
    comm = Comm(os.open(os.devnull, os.O_RDONLY))
    with distributed.abort_on_error(comm):
        raise error
    os.close(comm.reader)
    assert [ended for ended, _ in comm.ended] == [code]
    assert capsys.readouterr().err.startswith(said)


def test_an_error_of_the_only_rank_is_raised(monkeypatch):
    monkeypatch.setattr(Comm, "Get_size", lambda comm: 1)
    with pytest.raises(ValueError, match="no"), distributed.abort_on_error(Comm(0)):
        raise ValueError("no")


@pytest.mark.parametrize("code", [None, 0])
def test_an_exit_without_an_error_ends_one_rank(code):
    with pytest.raises(SystemExit), distributed.abort_on_error(Comm(0)):
        sys.exit(code)


def test_pipes_are_not_waited_for_where_they_say_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    monkeypatch.setattr(last_words.time, "sleep", None)
    reader, writer = os.pipe()
    os.write(writer, b"unread")
    last_words._wait_until_read(writer)
    os.close(reader)
    os.close(writer)


def test_a_generator_that_cannot_be_divided_is_refused():
    state = np.random.SFC64(0).state
    assert jumped({"rng": state}, 0) == {"rng": state}
    with pytest.raises(ValueError, match="generator `rng` is a SFC64, which cannot be divided among ranks"):
        jumped({"rng": state}, 1)


def test_frozen_parameters_need_no_sum():
    sum_gradients(None, [nn.Parameter(np.ones(3), requires_grad=False)])


class OneRank:
    """The only rank, in place of one that communicates."""

    def allgather_numbers(self, values) -> np.ndarray:
        return np.asarray(values, np.float64)[None]


def test_sums_over_one_rank_are_those_of_the_batch():
    layer = nn.BatchNorm1d(3, dtype=np.float64)
    plain, (x, dy) = copy.deepcopy(layer), np.random.default_rng(0).standard_normal((2, 6, 3))
    layer.count_with(batch_norm.Sums(OneRank()))
    with fastcnn.use_backend("numpy"):
        np.testing.assert_allclose(layer(x), plain(x), rtol=1e-12)
        np.testing.assert_allclose(layer.backward(dy), plain.backward(dy), rtol=1e-9, atol=1e-14)
        layer.zero_grad()
        assert layer.backward(dy, input_grad=False) is None
    for mine, other in zip(layer.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad, other.grad, rtol=1e-12)


def test_only_a_synchronized_layer_is_set_apart():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    model[0].count_with(batch_norm.Sums(OneRank()))
    recorded = [layer._version for layer in model]
    with batch_norm.apart(model):
        assert not batch_norm.is_synchronized(model)
    assert batch_norm.is_synchronized(model[0])
    assert not batch_norm.is_synchronized(model[1])
    assert model[0]._version > recorded[0]
    assert model[1]._version == recorded[1]  # its recordings still hold


def test_the_last_words_of_a_rank_are_read_before_all_end(monkeypatch):
    reader, writer = os.pipe()
    comm, heard = Comm(reader), []

    def listen():  # late, as on a busy machine
        time.sleep(0.2)
        heard.append(os.read(reader, 100))

    listener, pipe = threading.Thread(target=listen), open(writer, "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", pipe)
    listener.start()
    ending.abort(comm, SystemExit("no data on this machine"))
    listener.join()
    assert heard == [b"no data on this machine\n"]
    monkeypatch.setattr(last_words, "_PATIENCE", 0.05)
    ending.abort(comm, SystemExit("nobody listens"))
    os.read(reader, 100)
    os.close(reader)
    comm.reader = os.open(os.devnull, os.O_WRONLY)
    ending.abort(comm, SystemExit("nobody is there"))
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
    for nowhere in (None, pipe, io.StringIO()):  # no stream, a closed one, and one that is no file
        monkeypatch.setattr(sys, "stderr", nowhere)
        ending.abort(comm, SystemExit(3))
    os.close(comm.reader)
    assert [code for code, _ in comm.ended] == [1, 1, 1, 3, 3, 3]
    assert [bool(unread) for _, unread in comm.ended[:2]] == [False, True]


@needs_mpi
def test_the_death_of_one_rank_ends_all(tmp_path):
    code, _ = fails(tmp_path, "dies")
    assert code != 0


@needs_mpi
def test_ctrl_c_to_mpiexec_ends_all_after_a_checkpoint(tmp_path):
    process = start(2, tmp_path, "trains_until_interrupted")
    try:
        while process.poll() is None and not (tmp_path / "going").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    finally:
        out, err = wait(process)
    assert process.returncode != 0
    assert "Traceback" not in out + err
    assert list((tmp_path / "by_mpiexec").glob("checkpoint-*.safetensors"))


@needs_mpi
def test_fastcnn_train_does_it_too(mnist_folder, tmp_path):
    options = ["--limit", "400", "--data-root", str(mnist_folder), "--epochs", "1", "--threads", "1"]
    command = [sys.executable, "-m", "fastcnn", "train", *command_line.SMALL, *options, "--out"]
    done = subprocess.run(
        [MPIEXEC, "-n", "2", *command, str(tmp_path / "two"), "--distributed"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["epoch 1", "best epoch"]
    assert "1 thread on each of 2 ranks." in done.stderr
    assert command_line.main([*command[3:], str(tmp_path / "one")]) == 0
    two, one = (json.loads((tmp_path / n / "history.json").read_text())["step_losses"] for n in ("two", "one"))
    np.testing.assert_allclose(two, one, rtol=1e-4)


@needs_mpi
def test_the_example_does_it_too(mnist_folder, tmp_path):
    options = ["--backend", "numpy", "--data", str(mnist_folder), "--limit", "500", "--epochs", "1", "--threads", "1"]
    command = [sys.executable, str(ROOT / "examples" / "lenet5.py"), *options, "--distributed"]
    done = subprocess.run(
        [MPIEXEC, "-n", "2", *command, "--out", str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "Data", "Backend", "epoch 1", f"Written to {tmp_path / 'out'}"
    ]  # fmt: skip
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py here')")
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(
        "lenet5.py: Training on several ranks needs mpi4py and an MPI library: pip install mp"
    )
    assert done.stderr.count("\n") == 1


def test_without_mpi4py_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match="needs mpi4py and an MPI library: pip install mpi4py, and pip install mpich"):
        distributed.world()


@needs_mpi
def test_what_is_no_communicator_is_refused():
    code = "from fastcnn.distributed import Ranks\ntry:\n    Ranks(4)\nexcept TypeError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "`distributed` must be a communicator of mpi4py, such as MPI.COMM_WORLD, not int.\n"


def test_one_value_on_all_ranks_has_no_variance():
    one = SimpleNamespace(allgather_numbers=lambda numbers: np.array([numbers]))
    with pytest.raises(ValueError, match="at least 2 values per channel on all ranks together, not 1"):
        batch_norm.Sums(one).moments(np.zeros(3), np.zeros(3), 1)


@needs_mpi
def test_what_ranks_cannot_share_is_refused():
    """One rank raises the error; of several, each prints it, and all end."""
    code = """
import numpy as np
from fastcnn import data, distributed, nn, optim, training
from fastcnn.distributed.batches import Batches
comm = distributed.world()
print(distributed.Ranks(comm))
model = nn.Linear(2, 2)
trainer = training.Trainer(model, optim.SGD(model.parameters()), nn.CrossEntropyLoss(), distributed=comm)
try:
    trainer.fit([(np.zeros((3, 2), np.float32), np.zeros(3, int))], epochs=1)
except TypeError as error:
    print(error)
images, labels = np.zeros((6, 2), np.float32), np.zeros(6, int)
distributed.convert_sync_batch_norm(model, comm)
trainer.fit(data.DataLoader(images, labels, 4, drop_last=True), epochs=1)
short = data.DataLoader(images[:2], labels[:2], 4, drop_last=True)
print(list(Batches(short, model, distributed.Ranks(comm))))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ranks, refused, *_, none = done.stdout.splitlines()
    assert (ranks, none) == ("Ranks(rank=0, size=1)", "[]")
    assert refused == "`train` must be a DataLoader for several ranks to share, not list."
