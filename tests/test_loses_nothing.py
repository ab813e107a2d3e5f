"""No file with its final name is ever broken, and at most the progress since the last checkpoint is lost.

This holds for kills during a write, a full disk, a read-only folder, two writers, and a damaged file.
See also test_kill.py (kills at random times), test_checkpoint.py and test_resume.py.
"""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import fastcnn
from fastcnn import _files, nn, training
from tests.command_line import call
from tests.in_threads import in_threads
from tests.runs import make_run

ROOT = Path(fastcnn.__file__).parents[1]


def python(*arguments, wrapper=()) -> subprocess.CompletedProcess:
    """Run Python with one NumPy thread."""
    numpy = {"FASTCNN_BACKEND": "numpy", "FASTCNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **numpy, "PYTHONPATH": str(ROOT)}
    command = [*wrapper, sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL and fork, which only POSIX has")
def test_killed_before_each_line_and_within_the_bytes_of_a_write(tmp_path):
    done = python(ROOT / "tests" / "kills.py", tmp_path)
    assert done.returncode == 0, done.stderr
    lines, places = map(int, re.fullmatch(r"(\d+) lines, (\d+) bytes\n", done.stdout).groups())
    assert lines > 15
    assert places == 6


def test_bytes_are_on_the_disk_before_the_name_and_both_before_anything_is_removed(tmp_path, monkeypatch):
    """Hence files survive a power cut, too."""
    calls = []

    def note(what, function):
        def noted(*args, **options):
            calls.append(what)
            return function(*args, **options)

        return noted

    def fsync(descriptor, fsync=os.fsync):
        calls.append("flush folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "flush file")
        fsync(descriptor)

    trainer, loader, validation = make_run(training.Checkpoint(tmp_path, keep=1))
    with fastcnn.use_backend("numpy"):
        trainer.fit(loader, validation, 1)
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", note("rename", Path.replace))
        monkeypatch.setattr(Path, "unlink", note("remove", Path.unlink))
        trainer.fit(loader, validation, 1)
    if os.path.isdir("/proc/self/fd"):
        assert calls == ["flush file", "rename", "remove", "flush folder", "remove"]  # the older checkpoint last


def test_two_threads_that_write_one_file(tmp_path, monkeypatch):
    """Both have written their temporary files and not yet renamed them."""
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(_files.os, "fsync", lambda descriptor, fsync=os.fsync: both.wait() and None)
    monkeypatch.setattr(_files, "_flush_folder", lambda folder: None)
    contents, errors = [b"one" * 10_000, b"another" * 10_000], []

    def write(content):
        try:
            _files.write(tmp_path / "file", content)
        except OSError as error:
            errors.append(error)

    in_threads(write, contents)
    assert not errors
    assert (tmp_path / "file").read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]


def test_what_kills_left_of_any_file_is_removed_and_nothing_else(tmp_path):
    for name in (".checkpoint-00000003.safetensors.99.part", ".best.safetensors.7.part", ".history.json.12.part"):
        (tmp_path / name).write_bytes(b"half")
    kept = [".film.part", "notes.7.part", ".hidden"]
    for name in kept:
        (tmp_path / name).touch()
    _files.remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_every_callback_ends_though_one_fails(tmp_path):
    """For example, Ctrl-C must be restored even if the disk is full when the history is written."""

    class Fails(training.Callback):
        def on_exit(self, trainer):
            raise OSError("full")

    class Ends(training.Callback):
        ended = False

        def on_exit(self, trainer):
            self.ended = True

    ends = Ends()
    trainer, loader, validation = make_run(Fails(), ends)
    with fastcnn.use_backend("numpy"), pytest.raises(OSError, match="full"):
        trainer.fit(loader, validation, 1)
    assert ends.ended


def test_damaged_weights_of_the_best_epoch_are_one_line_that_says_what_is_whole(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    for file in trained_run.iterdir():
        (run / file.name).write_bytes(file.read_bytes())
    (run / "best.safetensors").write_bytes(b"rubbish")
    code, stdout, stderr = call(capsys, "predict", run, "picture.png")
    newest = training.latest_checkpoint(run).path
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "best.safetensors is not a complete safetensors file" in stderr
    assert f"The weights of the last epoch are in {newest}." in stderr


def test_a_picture_that_cannot_be_written_leaves_the_old_one(trained_run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    assert call(capsys, "plot", trained_run, "--out", picture)[0] == 0
    before = picture.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    code, _, stderr = call(capsys, "plot", trained_run, "--out", picture)
    assert code == 1
    assert "Cannot write" in stderr
    assert picture.read_bytes() == before
    assert os.listdir(tmp_path) == ["curves.png"]


# a private file system, visible only to the process that mounts it


def with_mounts() -> tuple[str, ...]:
    """Return the command that runs another one with private mounts; skip the test if this is not allowed."""
    wrapper = ("unshare", "-m") if hasattr(os, "geteuid") and os.geteuid() == 0 else ("unshare", "-rm")
    try:
        subprocess.run([*wrapper, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system is not allowed here")
    return wrapper


def mounted(tmp_path, code: str, *arguments) -> str:
    """Run a program with a private file system at ``tmp_path``/disk; return its output."""
    (tmp_path / "disk").mkdir()
    done = python("-c", MOUNT + code, tmp_path / "disk", *arguments, wrapper=with_mounts())
    assert done.returncode == 0, done.stderr
    return done.stdout


MOUNT = """
import contextlib, io, json, os, subprocess, sys
from pathlib import Path
from safetensors.numpy import load_file
from fastcnn import training
from fastcnn.__main__ import main
from fastcnn.training.checkpoint import checkpoints

disk = Path(sys.argv[1])

def mount(options):
    subprocess.run(["mount", *options.split(), "none", disk], check=True)

def call(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue().splitlines()
"""


def test_a_disk_that_is_full_at_any_moment(tmp_path, mnist_folder):
    """Disk sizes range from too small for any checkpoint to large enough for all."""
    code = """
options = ["--model", "conv4_conv8", "--backend", "numpy", "--batch-size", "50", "--limit", "200", "--epochs", "2"]
train = ["train", *options, "--data-root", sys.argv[2], "--out"]
whole = disk.parent / "whole"
assert call(*train, whole)[0] == 0
weights = (whole / "best.safetensors").read_bytes()
room = sum(file.stat().st_size for file in whole.iterdir())
for part in (2, 5, 6, 7, 8, 12):
    mount(f"-t tmpfs -o size={room * part // 8}")
    run = disk / "run"
    code, out, err = call(*train, run)
    message = err[-1]
    for file in run.iterdir():
        assert not file.name.startswith("."), file
        if file.suffix == ".safetensors":
            load_file(file)
        if file.suffix == ".json":
            training.History.from_json(file)
    kept = [training.load_checkpoint(path).steps for path in checkpoints(run)]
    print(part, code, kept)
    assert code == 0 or (code == 1 and "Cannot write " in message and message.endswith("No space left on device.")), err
    assert kept or "epoch 2" not in out
    mount("-o remount,size=10m")
    again = ["train", "--resume", run] if kept else [*train, run, "--overwrite"]
    assert call(*again)[0] == 0
    assert (run / "best.safetensors").read_bytes() == weights
    subprocess.run(["umount", disk], check=True)
"""
    lines = [line.split(maxsplit=2) for line in mounted(tmp_path, code, mnist_folder).splitlines()]
    assert {code for _, code, _ in lines} == {"0", "1"}
    assert {"[]", "[4]", "[4, 8]"} <= {kept for _, _, kept in lines}


def test_a_folder_that_cannot_be_written_to(tmp_path, mnist_folder):
    code = """
mount("-t tmpfs -o ro")
options = ["--model", "conv8", "--backend", "numpy", "--limit", "200", "--epochs", "1"]
code, out, err = call("train", *options, "--data-root", sys.argv[2], "--out", disk)
assert (code, out) == (1, ""), err  # raised before training starts
print(err[-1])
"""
    said = mounted(tmp_path, code, mnist_folder)
    assert said.startswith("fastcnn train: error: ")
    assert "Read-only file system" in said


def test_a_folder_that_can_no_longer_be_written_to(tmp_path):
    code = """
from tests.runs import BATCHES, EPOCHS, exact, make_run, outcome, remaining
from tests.kills import At, life

mount("-t tmpfs")
with contextlib.redirect_stdout(io.StringIO()):
    whole = life(disk.parent / "whole")
    try:
        life(disk, At(BATCHES + 3, lambda: mount("-o remount,ro")), every_steps=1)
    except OSError as error:
        message = str(error)
    steps = training.latest_checkpoint(disk).steps
    mount("-o remount,rw")
    assert life(disk) == whole
print(message, steps - BATCHES)
"""
    said = mounted(tmp_path, code)
    assert re.search(
        r"Cannot write .*checkpoint-00000010\.safetensors \([\d,]+ bytes\): Read-only file system 2$", said
    )


def test_weights_beside_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Cannot write .*none.*: No such file or directory"):
        training.save_weights(nn.Linear(2, 2), tmp_path / "none" / "weights.safetensors")


def test_a_system_that_cannot_open_folders(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    monkeypatch.setattr(os, "open", None)
    _files.write(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
