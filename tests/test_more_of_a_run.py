"""A run that is trained for more epochs, whose pictures have moved, or that is replaced by another."""

import json
import shutil
from pathlib import Path

import pytest

from fastcnn import training
from tests.command_line import call, run, start
from tests.test_picture_parts import pictures

OPTIONS = ("--model", "mlp", "--backend", "numpy", "--batch-size", 4)
BATCHES = 3


@pytest.fixture
def folder(tmp_path):
    return pictures(tmp_path / "pictures", "train", "val")


def train(capsys, *given):
    code, stdout, stderr = call(capsys, "train", *given)
    assert code == 0, stderr
    return stdout, stderr


def refused(capsys, *given):
    code, stdout, stderr = call(capsys, "train", *given)
    assert (code, stdout) == (2, "")
    return stderr.splitlines()[-1].removeprefix("fastcnn train: error: ")


def rates(out):
    return [epoch.lr for epoch in training.History.from_json(out / "history.json").epochs]


# ---- more epochs ----


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_a_run_that_has_ended_goes_on_with_a_schedule_of_its_own(folder, tmp_path, capsys, schedule):
    out, alone = tmp_path / "run", tmp_path / "alone"
    options = (*OPTIONS, "--data", folder, "--schedule", schedule)
    train(capsys, *options, "--epochs", 2, "--out", out)
    stdout, stderr = train(capsys, "--resume", out, "--epochs", 5)
    assert f"Continuing {out} after epoch 2 for 3 more, with a new {schedule} schedule." in stderr
    assert [line.split(":")[0] for line in stdout.splitlines()] == ["epoch 3", "epoch 4", "epoch 5", "best epoch"]
    train(capsys, *options, "--epochs", 3, "--out", alone)
    assert rates(out)[2:] == rates(alone)
    assert 'epochs = 5\n' in (out / "settings.toml").read_text()  # fmt: skip
    stdout, stderr = train(capsys, "--resume", out)
    assert "with a new" not in stderr
    assert stdout.startswith("best epoch")
    stdout, _ = train(capsys, "--resume", out, "--epochs", 8)
    assert stdout.startswith("epoch 6")
    assert rates(out)[5:] == rates(alone)


def test_a_new_schedule_that_is_stopped_goes_on_bit_for_bit(folder, tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(capsys, *OPTIONS, "--data", folder, "--epochs", 2, "--checkpoint-every", 0, "--out", whole)
    shutil.copytree(whole, killed)
    process = start("train", "--resume", killed, "--epochs", 6)
    next(line for line in process.stdout if line.startswith("epoch 3"))
    process.kill()
    process.communicate()
    train(capsys, "--resume", killed)
    train(capsys, "--resume", whole, "--epochs", 6)
    assert rates(killed) == rates(whole)
    losses = [json.loads((out / "history.json").read_text())["step_losses"] for out in (killed, whole)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6 * BATCHES


def test_a_schedule_without_an_end_is_just_longer(folder, tmp_path, capsys):
    options = (*OPTIONS, "--data", folder, "--schedule", "constant")
    train(capsys, *options, "--epochs", 1, "--out", tmp_path / "run")
    _, stderr = train(capsys, "--resume", tmp_path / "run", "--epochs", 3)
    assert "with a new" not in stderr
    train(capsys, *options, "--epochs", 3, "--out", tmp_path / "whole")
    losses = [json.loads((tmp_path / name / "history.json").read_text())["step_losses"] for name in ("run", "whole")]
    assert losses[0] == losses[1]


def test_what_cannot_be_is_said(folder, tmp_path, capsys):
    out = tmp_path / "my run"
    options = (*OPTIONS, "--data", folder, "--epochs", 3, "--out", out)
    train(capsys, *options)
    assert refused(capsys, "--resume", out, "--epochs", 2) == (
        f"--epochs is 2, but the run in {out} has already trained 3 epochs."
    )
    (out / sorted(path.name for path in out.glob("checkpoint-*"))[-1]).unlink()
    for epochs in (2, 9):
        assert refused(capsys, "--resume", out, "--epochs", epochs) == (
            f"--epochs is {epochs}, but the schedule 'one-cycle' of the run in {out} is made for 3 epochs, of which it "
            f"has trained 2. Finish it first, with fastcnn train --resume '{out}'; then --epochs {max(epochs, 4)} "
            "continues it with a new one-cycle schedule."
        )


# ---- moved data ----


def test_pictures_in_another_place(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    train(capsys, *OPTIONS, "--data", folder, "--epochs", 2, "--out", out)
    folder.rename(tmp_path / "moved")
    code, _, stderr = call(capsys, "train", "--resume", out)
    assert code == 1
    assert stderr.splitlines()[-1] == (
        f"fastcnn train: error: There is no folder of images and no .npz archive {folder}. If the data have moved, run "
        f"fastcnn train --resume {out} --data DIR."
    )
    code, _, stderr = call(capsys, "evaluate", out)
    assert code == 1
    assert f"{folder}, which the run was trained on, no longer exists; name its new place with --data." in stderr
    monkeypatch.chdir(tmp_path)
    train(capsys, "--resume", out, "--data", "moved")
    assert f'data = "{tmp_path / "moved"}"\n' in (out / "settings.toml").read_text()
    assert call(capsys, "evaluate", out)[0] == 0  # which reads the checkpoint
    assert run("train", "--resume", out, "--epochs", 3)[0] == 0
    other = pictures(tmp_path / "other", "train", "val", count=7)
    code, _, stderr = call(capsys, "train", "--resume", out, "--data", other)
    assert code == 1
    assert f"{other} is not what the run in {out} was trained on: its images or labels differ." in stderr
    assert "--data is 'mnist', but the run in" in refused(capsys, "--resume", out, "--data", "mnist")


def test_what_was_held_out_stays_so_in_another_place(tmp_path, capsys):
    folder = pictures(tmp_path / "all", "pictures") / "pictures"
    train(capsys, *OPTIONS, "--data", folder, "--epochs", 1, "--out", tmp_path / "run")
    before = training.latest_checkpoint(tmp_path / "run").settings["data"]["held_out"]
    moved = folder.rename(tmp_path / "moved")
    train(capsys, "--resume", tmp_path / "run", "--data", moved, "--epochs", 2)
    saved = training.latest_checkpoint(tmp_path / "run").settings
    assert saved["data"]["held_out"] == before
    assert saved["settings"]["data"] == str(moved)


# ---- replaced by another run ----


def test_overwrite_removes_a_run_and_nothing_else(folder, tmp_path, capsys):
    out = tmp_path / "my run"
    options = (*OPTIONS, "--data", folder, "--out", out)
    train(capsys, *options, "--epochs", 3)
    assert refused(capsys, *options, "--epochs", 1) == (
        f"{out} already holds a run: continue it with --resume '{out}', replace it with --overwrite, or choose another "
        "--out."
    )
    (out / "notes.txt").write_text("mine")
    (out / "checkpoint-mine.safetensors").write_text("mine")
    train(capsys, *options, "--epochs", 1, "--overwrite")
    assert {path.name for path in out.glob("*") if path.suffix != ".png"} == {
        "best.safetensors", "checkpoint-00000003.safetensors", "history.csv", "history.json", "settings.toml",
        "notes.txt", "checkpoint-mine.safetensors",
    }  # fmt: skip
    assert len(rates(out)) == 1
    train(capsys, *options, "--epochs", 1, "--overwrite", "--seed", 1)  # also without an existing run


@pytest.mark.parametrize("name", ["history.json", "history.csv", "weights.safetensors"])
def test_results_of_another_program_are_not_written_over(folder, tmp_path, capsys, name):
    out = tmp_path / "lenet5"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / name).write_text("theirs")
    options = (*OPTIONS, "--data", folder, "--epochs", 1, "--out", out)
    assert refused(capsys, *options) == (
        f"{out} already holds the results of another run ({name}): choose another --out, or add --overwrite to train "
        "into this folder."
    )
    assert {path.name: path.read_text() for path in out.iterdir()} == {"notes.txt": "mine", name: "theirs"}
    train(capsys, *options, "--overwrite")
    assert len(rates(out)) == 1


def test_overwrite_removes_nothing_where_no_run_begins(folder, tmp_path, capsys):
    out = tmp_path / "run"
    train(capsys, *OPTIONS, "--data", folder, "--epochs", 1, "--out", out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    for given in (("--data", tmp_path / "none"), ("--data", folder, "--model-options", "colour=3")):
        assert call(capsys, "train", *OPTIONS, "--out", out, "--overwrite", *given)[0] != 0
    sentence = "--resume continues a run but --overwrite removes it: give only one of them."
    assert refused(capsys, "--resume", out, "--overwrite") == sentence
    assert {path: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.filterwarnings("ignore:overflow")  # NumPy's warning, before the loss diverges
def test_a_run_that_failed_in_its_first_epoch_is_no_run(folder, tmp_path, capsys):
    options = (*OPTIONS, "--data", folder, "--epochs", 1, "--out", tmp_path / "run")
    code, _, stderr = call(capsys, "train", *options, "--optimizer", "sgd", "--lr", "1e30")
    assert (code, "The loss of batch " in stderr) == (1, True)
    assert not training.History.from_json(tmp_path / "run" / "history.json").epochs
    train(capsys, *options)
    assert "already holds a run" in refused(capsys, *options)
    for path in (tmp_path / "run").glob("checkpoint-*"):
        path.unlink()
    assert "(best.safetensors, history.csv, history.json)" in refused(capsys, *options)


# ---- what a resumed run says ----


def test_resume_alone_does_not_say_which_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sentence = "--resume does not say which run to continue. Name its folder; "
    assert refused(capsys, "--resume") == f"{sentence}for example --resume runs/lenet5-mnist."
    assert refused(capsys, "--resume", "--epochs", 3) == f"{sentence}for example --resume runs/lenet5-mnist."
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "checkpoint-00000001.safetensors").touch()
    (tmp_path / "runs" / "c").mkdir()
    assert refused(capsys, "--resume") == f"{sentence}the runs here are {Path('runs/a')}, {Path('runs/b')}."
    code, _, stderr = call(capsys, "train", "--resume", "--model", "mlp")
    place = Path("runs", "mlp-mnist")
    assert (code, stderr.count("\n")) == (1, 1)
    assert f"There is no run and no checkpoint {place} (in full: {tmp_path / place})." in stderr


def test_a_run_that_has_stopped_early_says_so(folder, tmp_path, capsys):
    out = tmp_path / "run"
    frozen = ("--early-stopping", 2, "--clip-norm", 0, "--schedule", "constant")  # it never improves
    stdout, _ = train(capsys, *OPTIONS, "--data", folder, "--epochs", 9, *frozen, "--out", out)
    assert "epoch 3" in stdout
    assert "epoch 4" not in stdout
    _, stderr = train(capsys, "--resume", out)
    how = f"--weights {out} starts a new run from its best weights"
    assert f"This run has stopped early, after epoch 3 of 9; {how}.\n" in stderr
    assert "Continuing" not in stderr


def test_a_resumed_run_says_where_it_goes_on(folder, tmp_path, capsys):
    out = tmp_path / "run"
    train(capsys, *OPTIONS, "--data", folder, "--epochs", 2, "--schedule", "constant", "--out", out)
    _, stderr = train(capsys, "--resume", out, "--epochs", 3)
    assert f"Continuing {out} after epoch 2.\n" in stderr
