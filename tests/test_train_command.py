"""``fastcnn train``: settings from options and files, its output files, and resuming."""

import json
import re
import signal
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastcnn
from fastcnn import distributed, training
from fastcnn.commands import records, settings, train
from fastcnn.commands.errors import UsageError
from fastcnn.commands.parts import OPTIMIZERS
from tests.command_line import SMALL, call, run, start

TINY = (*SMALL, "--limit", "400")


@pytest.fixture
def options(mnist_folder):
    return (*TINY, "--data-root", mnist_folder)


def losses(folder) -> list[float]:
    return json.loads((folder / "history.json").read_text())["step_losses"]


def final(folder) -> dict[str, np.ndarray]:
    return training.latest_checkpoint(folder).weights


def assert_same_run(one, other):
    assert losses(one) == losses(other)
    for name, array in final(one).items():
        np.testing.assert_array_equal(array, final(other)[name])
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()


def test_a_run_leaves_all_that_belongs_to_it(options, tmp_path, capsys):
    out = tmp_path / "new" / "run"
    code, stdout, stderr = call(capsys, "train", *options, "--epochs", "2", "--out", out)
    assert code == 0
    lines = stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2", "best epoch"]
    assert "400 training, 500 test images of 1x28x28; 10 classes." in stderr
    assert "Model: conv8, 13,610 parameters." in stderr or "Model: conv8, 13,602 parameters." in stderr
    assert {path.name for path in out.iterdir()} == {
        "best.safetensors", "checkpoint-00000008.safetensors", "checkpoint-00000016.safetensors", "curves.png",
        "history.csv", "history.json", "settings.toml",
    }  # fmt: skip
    saved = training.latest_checkpoint(out)
    assert saved.architecture == {"name": "conv8", "options": {"num_classes": 10, "in_channels": 1, "image_size": 28}}
    assert saved.settings["data"]["classes"] == list("0123456789")
    assert saved.settings["data"]["digits"] is True
    assert saved.settings["preprocessing"]["size"] == 28


def test_all_wishes_together(options, tmp_path, capsys):
    out = tmp_path / "run"
    code, stdout, stderr = call(
        capsys, "train", *options, "--epochs", "2", "--out", out, "--validation", "0.25", "--label-smoothing", "0.1",
        "--ema", "0.9", "--clip-norm", "1", "--early-stopping", "5", "--optimizer", "sgd", "--lr", "0.05",
        "--optimizer-options", "weight-decay=5e-4", "nesterov", "--schedule", "step", "--schedule-options",
        "step_size=1", "gamma=0.5", "--augment", "shift=1", "rotation", "scale=[0.9,1.1]",
        "--monitor", "validation_loss",
    )  # fmt: skip
    assert code == 0
    assert "300 training, 100 validation and 500 test images" in stderr
    assert re.search(r"validation accuracy [0-9.]+%; test accuracy [0-9.]+% on 500 images\.$", stdout)
    assert "Validation uses the test images" not in stderr
    assert [epoch.lr for epoch in training.History.from_json(out / "history.json").epochs] == [0.05, 0.025]
    settings = tomllib.loads((out / "settings.toml").read_text())
    assert settings["optimizer_options"] == {"weight_decay": 5e-4, "nesterov": True}
    assert settings["augment"] == {"shift": 1, "rotation": True, "scale": [0.9, 1.1]}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "schedule",
    [
        "one-cycle", "cosine", "linear", "step step_size=1", "multi-step milestones=[1]", "exponential gamma=0.5",
        "plateau", "constant",
    ],
)  # fmt: skip
def test_every_schedule_goes_with_every_optimizer(mnist_folder, tmp_path, capsys, optimizer, schedule):
    name, *given = schedule.split()
    options = ("--limit", 50, *SMALL, "--data-root", mnist_folder, "--validation", 0.5, "--epochs", 2)
    with_schedule = ("--optimizer", optimizer, "--schedule", name, "--schedule-options", *given)
    assert call(capsys, "train", *options, *with_schedule, "--out", tmp_path / "run")[0] == 0


def test_lenet5_pads_small_images_and_others_are_built_for_them(mnist_folder, tmp_path, capsys):
    options = ("--backend", "numpy", "--limit", 50, "--epochs", 1, "--data-root", mnist_folder)
    _, _, stderr = call(capsys, "train", *options, "--out", tmp_path / "a")
    assert "images of 1x28x28, fitted into 32x32;" in stderr
    assert training.latest_checkpoint(tmp_path / "a").architecture["options"]["image_size"] == 32
    call(capsys, "train", *options, "--model", "mlp", "--image-size", 20, "--out", tmp_path / "b")
    assert training.latest_checkpoint(tmp_path / "b").architecture["options"]["image_size"] == 20


def test_settings_come_from_a_file_and_options_win(mnist_folder, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(
        'model = "conv8"\nbackend = "numpy"\nlimit = 100\nepochs = 3\nlr = 1\nbatch_size = 50\n'
        '[model_options]\n[augment]\nflip = {p = 0.5}\n'
    )  # fmt: skip
    out = tmp_path / "run"
    root = ("--data-root", mnist_folder)
    assert call(capsys, "train", "--config", file, "--lr", "0.01", "--epochs", 1, *root, "--out", out)[0] == 0
    settings = tomllib.loads((out / "settings.toml").read_text())
    assert (settings["limit"], settings["epochs"], settings["lr"]) == (100, 1, 0.01)
    assert settings["augment"] == {"flip": {"p": 0.5}}
    again = tmp_path / "again"
    assert call(capsys, "train", "--config", out / "settings.toml", "--out", again)[0] == 0
    assert_same_run(out, again)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("epoch = 3", "there is no setting 'epoch'; the settings are model, model_opt", id="key"),
        pytest.param("epoch = 3", " (did you mean epochs?).", id="key meant"),
        pytest.param("epochs = 0", "epochs: 0 is not a whole number of at least 1.", id="out of range"),
        pytest.param("epochs = '3'", "epochs: '3' is not a whole number of at least 1.", id="a text for a number"),
        pytest.param("epochs = true", "epochs: True is not a whole number", id="a truth value for a number"),
        pytest.param("lr = nan", "lr: nan is not a number of at least 0.", id="not a number"),
        pytest.param("model = 'lenet6'", "model: 'lenet6' is not one of lenet5, lenet5_classic,", id="model"),
        pytest.param("augment = 3", "augment: 3 is not a table", id="no table"),
        pytest.param("augment = {flip = 1979-05-27}", "is not a table", id="a date"),
        pytest.param("epochs 3", "is not TOML: ", id="syntax"),
        pytest.param('data = "\\q"', "is not TOML: ", id="no escape"),
        pytest.param("augment = {blur = true}", "There is no augmentation 'blur'; there are shift,", id="augmentation"),
        pytest.param("augment = {flip = [1, 2]}", "'flip' takes p, not 2 numbers", id="too many numbers"),
        pytest.param("augment = {shift = -1}", "'shift': `pixels` is -1 but must be", id="augmentation's number"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(options, tmp_path, capsys, text, message):
    file = tmp_path / "run.toml"
    file.write_text(text)
    code, stdout, stderr = call(capsys, "train", *options, "--config", file, "--out", tmp_path / "run")
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith("fastcnn train: error: ")
    assert message in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(["--epochs", "x"], "argument --epochs: 'x' is not a whole number of at least 1", id="number"),
        pytest.param(["--label-smoothing", "2"], "2 is not a number from 0 to 1", id="range"),
        pytest.param(["--model", "lenet6"], "'lenet6' is not one of lenet5,", id="model"),
        pytest.param(["--channels", "2"], "argument --channels: 2 is not one of 1, 3", id="channels"),
        pytest.param(["--channels", "3"], "--channels is for a folder of pictures, which mnist is not.", id="colours"),
        pytest.param(["--out", ""], "argument --out: a path must not be empty", id="no path"),
        pytest.param(["--model-options", "colour=red"], "has no option `colour`; it has num_classes,", id="option"),
        pytest.param(["--model-options", "num_classes=3"], "num_classes: it is set by the data", id="data's"),
        pytest.param(
            ["--model", "lenet5", "--image-size", "5"],
            "error: --image-size is 5 but must be at least 16 for the model lenet5.\n",
            id="too small",
        ),
        pytest.param(
            ["--data", "."], "--data-root is {root} but applies only to mnist, fashion-mnist, ", id="root of a folder"
        ),
        pytest.param(["--optimizer-options", "beta=1"], "'adam' has no option 'beta'; it has betas,", id="optimizer"),
        pytest.param(["--optimizer-options", "beta=1"], " (did you mean betas?).", id="optimizer's option meant"),
        pytest.param(["--optimizer-options", "betas=3"], "'adam': `betas` must be a pair", id="optimizer's value"),
        pytest.param(["--schedule", "step"], "The schedule 'step' needs step_size.", id="missing"),
        pytest.param(["--schedule", "constant", "--schedule-options", "a=1"], "'constant' has no option", id="none"),
        pytest.param(
            ["--data", "minst"], "--data is 'minst', but there is no folder or .npz archive minst (", id="data"
        ),
        pytest.param(["--data", "minst"], "cifar10, digits (did you mean mnist?).", id="data set meant"),
        pytest.param(["--model", "lenet"], " (did you mean lenet5?)", id="model meant"),
        pytest.param(["--augment", "rotate"], " (did you mean rotation?).", id="augmentation meant"),
        pytest.param(["--data", __file__], "a file, but must be a folder of images or an", id="no folder"),
        pytest.param(["--threads", "100000"], "`n` is 100000 but must be at most", id="threads"),
        pytest.param(
            ["--model", "resnet20", "--image-size", "4", "--limit", "65", "--batch-size", "64"],
            "`train` cannot be trained on: a batch, or a rank's part of it, has one",
            id="a batch of one",
        ),
        pytest.param(["--epoch", "3"], "there is no option --epoch (did you mean --epochs?)\n", id="no abbreviations"),
        pytest.param(["--batchsize=3"], "there is no option --batchsize (did you mean --batch-size?)\n", id="hyphen"),
        pytest.param(["-epochs", "3"], "there is no option -epochs (did you mean --epochs?)\n", id="one hyphen"),
        pytest.param(["--no-lasy"], "there is no option --no-lasy (did you mean --no-lazy?)\n", id="negated"),
        pytest.param(["--learning-rate", "1"], "no option --learning-rate (did you mean --lr?)\n", id="as elsewhere"),
        pytest.param(["--fast"], "there is no option --fast; fastcnn train --help lists the options\n", id="no guess"),
        pytest.param(["--gpu"], "fastcnn has no option --gpu: it computes on CPU threads, so leave it out", id="gpu"),
        pytest.param(["--device=cuda"], "fastcnn has no option --device: it computes on CPU threads", id="device"),
        pytest.param(["--lr", "-3"], "argument --lr: -3 is not a number of at least 0", id="no option but a number"),
        pytest.param(["--freeze", "0.wieght"], "3.bias (did you mean 0.weight?).\n", id="layer meant"),
    ],
)
def test_wrong_options_are_one_line(options, tmp_path, capsys, given, message):
    if given[0] == "--data" and given[1] != ".":
        options = TINY
    code, stdout, stderr = call(capsys, "train", *options, "--out", tmp_path / "run", *given)
    assert (code, stdout) == (2, "")
    assert stderr.splitlines()[-1].startswith("fastcnn train: error: ")
    assert "Traceback" not in stderr
    assert message.format(root=options[-1]) in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(
            ["--config", "no.toml"],
            f"no.toml (in full: {Path('no.toml').absolute()}): there is no such file or folder.",
            id="no such file",
        ),
        pytest.param(["--config", "."], ".: it is a folder, but must be a file.", id="a folder as file"),
        pytest.param(["--out", f"{__file__}/run"], "part of this path is a file, but must be a folder", id="in a file"),
        pytest.param(["--limit", "1"], "all training images are of the class 3, but two classes", id="one image"),
        pytest.param(["--limit", "2", "--validation", "0.5"], "all training images are of the class", id="one of two"),
        pytest.param(
            ["--data-root", "no/such"],
            f"--data-root is {Path('no/such').absolute()}, but there is no such folder.",
            id="no such folder",
        ),
        pytest.param(["--out", __file__], "command.py: it exists already and is not a folder.", id="a file as folder"),
        pytest.param(["--resume"], "There is no run and no checkpoint ", id="nothing to go on from"),
        pytest.param(["--validation", "0.001"], "--validation 0.001 would hold out 0 of 400", id="nothing held out"),
        pytest.param(["--lr", "1e9", "--optimizer", "sgd"], "The loss of batch ", id="the loss explodes"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")  # NumPy's warning, before the loss diverges
def test_failures_are_one_line(options, tmp_path, capsys, given, message):
    code, _, stderr = call(capsys, "train", *options, "--out", tmp_path / "run", *given)
    assert code == 1
    assert stderr.splitlines()[-1].startswith("fastcnn train: error: ")
    assert message in stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (
            ["--lr", "5", "--clip-norm", "0"],
            "Try another learning rate: --lr is 5, and 0.003 suits adam in most cases.",
        ),
        (["--optimizer", "sgd", "--clip-norm", "0"], "Try a lower learning rate than --lr 0.1 or more epochs, and"),
        ([], ""),
    ],
)
def test_a_network_that_has_learned_nothing_is_noticed(options, tmp_path, capsys, given, advice):
    code, _, stderr = call(capsys, "train", *options, "--epochs", 2, *given, "--out", tmp_path / "run")
    nothing = "The network has learned nothing: its training accuracy is no better than guessing. "
    assert (code, nothing in stderr) == (0, bool(advice))
    assert (nothing + advice in stderr) == bool(advice)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_the_built_in_digits_are_offered(tmp_path, monkeypatch, capsys, name):
    pooch = pytest.importorskip("pooch")

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.delenv("FASTCNN_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", offline)
    code, stdout, stderr = call(capsys, "train", "--data", name, "--out", tmp_path / "run")
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert "could not be downloaded" in stderr
    advice = "name by --data-root or FASTCNN_DATA, or train on the built-in digits: --data digits.\n"
    assert stderr.endswith(advice)


def test_more_threads_than_processors_are_said(options, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fastcnn._processors.usable", lambda: 2)
    before = fastcnn.get_num_threads()
    try:
        for threads in (2, 3):
            out = tmp_path / str(threads)
            code, _, stderr = call(capsys, "train", *options, "--epochs", 1, "--threads", threads, "--out", out)
            assert code == 0
            said = "--threads is 3, but this process may use 2 processors: more threads give the same results, slower."
            assert (said in stderr.splitlines()) == (threads == 3)
    finally:
        fastcnn.set_num_threads(before)
    assert_same_run(tmp_path / "2", tmp_path / "3")


def test_a_folder_with_a_run_is_not_written_over(options, tmp_path, capsys):
    out = tmp_path / "run"
    assert call(capsys, "train", *options, "--epochs", 1, "--out", out)[0] == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    code, _, stderr = call(capsys, "train", *options, "--epochs", 2, "--out", out)
    assert code == 2
    assert "already holds a run: continue it with --resume" in stderr
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_killed_run_goes_on_as_if_nothing_had_been(mnist_folder, tmp_path, monkeypatch, capsys):
    options = ("train", *TINY, "--augment", "shift", "--ema", "0.9", "--epochs", 3, "--checkpoint-every", 0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.chdir(mnist_folder.parent)  # the relative path of the data must also work from another folder
    options = (*options, "--data-root", mnist_folder.name)
    assert call(capsys, *options, "--out", whole)[0] == 0
    process = start(*options, "--out", killed)
    next(line for line in process.stdout if line.startswith("epoch 1"))
    process.kill()
    process.communicate()
    monkeypatch.chdir(tmp_path)
    code, _, stderr = call(capsys, "train", "--resume", "killed")
    assert code == 0
    assert "Continuing killed after " in stderr
    assert_same_run(whole, killed)
    code, stdout, stderr = call(capsys, "train", "--resume", "killed")
    assert code == 0
    assert "This run is finished after 3 epochs; add --epochs 6 to train for 3 more." in stderr
    assert "Continuing " not in stderr
    assert stdout.startswith("best epoch: ")
    assert_same_run(whole, killed)


def test_writing_the_history_takes_at_most_a_tenth_of_the_time(tmp_path, monkeypatch):
    now, written = 0.0, []

    def write(history, path):
        nonlocal now
        written.append(now)
        now += 2

    monkeypatch.setattr(records.time, "monotonic", lambda: now)
    monkeypatch.setattr(training.History, "to_json", write)
    trainer = SimpleNamespace(history=training.History())
    callback = records.Records(tmp_path)
    for _ in range(100):
        now += 5
        callback.on_epoch_end(trainer)
    assert written[:3] == [5, 27, 49]  # from 5 to 7, then after 4 epochs of 5 s each
    assert 2 * len(written) <= now / 10
    callback.on_exit(trainer)  # at the end of the run
    assert now == written[-1] + 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(options, tmp_path, capsys, number):
    out = tmp_path / "my run"
    process = start("train", *options, "--epochs", 10_000, "--schedule", "constant", "--out", out)
    next(line for line in process.stdout if line.startswith("epoch 2"))
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == f"fastcnn train: interrupted; continue with: fastcnn train --resume '{out}'"
    assert "Traceback" not in stderr
    done = len(training.latest_checkpoint(out).history.step_losses)
    assert done >= 16
    assert len(losses(out)) == done
    epochs = done // 8 + 1
    code, _, stderr = call(capsys, "train", "--resume", "--out", out, "--epochs", epochs)
    assert code == 0
    where = f"after batch {done % 8} of epoch {epochs}" if done % 8 else f"after epoch {done // 8}"
    assert f"Continuing {out} {where}.\n" in stderr
    assert len(losses(out)) == epochs * 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--lr", "0.5"], "--lr is 0.5, but the run in {out} has 0.003, and a resumed run keeps its sett"),
        (["--model", "mlp"], "--model is 'mlp', but the run in {out} has 'conv8'"),
        (["--out", "elsewhere"], "--out is elsewhere, but a resumed run writes to its own folder, {out}."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_goes_on_as_it_began_or_not(options, tmp_path, capsys, given, message):
    out = tmp_path / "run"
    assert call(capsys, "train", *options, "--epochs", 1, "--out", out)[0] == 0
    code, _, stderr = call(capsys, "train", "--resume", out, *given)
    assert code == 2
    assert message.format(out=out) in stderr
    code, _, stderr = call(capsys, "train", "--resume", next(out.glob("checkpoint-*")))
    assert code == 2
    assert f", a file, but must be the folder of a run, such as {out}." in stderr
    assert call(capsys, "train", "--resume", out, "--lr", "0.003", "--checkpoint-every", "5")[0] == 0


def test_a_run_with_a_setting_of_another_version_does_not_go_on():
    saved = settings.complete({"lr": 0.5})
    assert settings.resumed(saved, {}, Path("runs/a"), 0) == saved
    with pytest.raises(UsageError, match="settings that this version does not know: cutmix, mixup"):
        settings.resumed({**saved, "mixup": 0.2, "cutmix": None}, {}, Path("runs/a"), 0)


def test_a_run_does_not_go_on_with_other_data(options, tmp_path, capsys):
    from tests.command_line import write_mnist

    out = tmp_path / "run"
    assert call(capsys, "train", *options, "--epochs", 1, "--out", out)[0] == 0
    (tmp_path / "other").mkdir()
    same = write_mnist(tmp_path / "other", 3000, 500)  # the same data in another folder
    assert call(capsys, "train", "--resume", out, "--data-root", same)[0] == 0
    code, _, stderr = call(capsys, "train", "--resume", out, "--data-root", write_mnist(same, 300, 500))
    assert code == 1
    assert f"is not what the run in {out} was trained on: its images or labels differ." in stderr


def test_a_damaged_checkpoint_is_a_warning_of_one_line(options, tmp_path):
    out = tmp_path / "run"
    assert run("train", *options, "--epochs", 2, "--out", out)[0] == 0
    newest = sorted(out.glob("checkpoint-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    code, _, stderr = run("train", "--resume", out)
    assert code == 0
    assert stderr.startswith(f"fastcnn train: warning: {newest}")
    assert f"Continuing {out} after epoch 1.\n" in stderr


def test_pictures_of_one_level_teach_nothing(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    for kind in "ab":
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for i in range(2):
            image.new("L", (8, 8), 7).save(tmp_path / "pictures" / kind / f"{i}.png")
    code, _, stderr = call(capsys, "train", "--data", tmp_path / "pictures", "--out", tmp_path / "run")
    assert code == 1
    assert "all pixels of a channel have the same value, so there is nothing to learn." in stderr.splitlines()[-1]


def test_a_run_that_ends_in_its_first_epoch_has_no_curves(tmp_path):
    records.write_curves(training.History(step_losses=[2.3]), "validation_accuracy", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_ones_own(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, level in (("day", 200), ("größe", 40)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            size = (20, 30) if i % 2 else (24, 24)
            pixels = np.clip(level + 20 * rng.standard_normal((*size, 3)), 0, 255).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    options = ("--data", tmp_path / "pictures", "--backend", "numpy", "--epochs", 8, "--batch-size", 4)
    model = ("--model", "conv4_conv8", "--lr", "0.01", "--out", tmp_path / "run")
    code, _, stderr = call(capsys, "train", *options, *model)
    assert code == 1
    assert "pass --image-size to resize all of them" in stderr
    code, stdout, stderr = call(capsys, "train", *options, *model, "--image-size", 16)
    assert code == 0
    assert "16 training, 4 test images of 3x16x16; 2 classes." in stderr
    assert "validation accuracy 100.00% on the 4 test images, which were the validation images.\n" in stdout
    assert "Validation uses the test images, because --validation holds out no training images." in stderr
    for name in ("day", "größe"):
        picture = tmp_path / "pictures" / name / "1.png"
        code, stdout, _ = call(capsys, "predict", tmp_path / "run", picture, "--top", 1)
        assert code == 0
        assert stdout.splitlines()[1].split()[1] == name
    code, _, stderr = call(capsys, "predict", tmp_path / "run", picture, "--digit")
    assert code == 2
    assert stderr.endswith(f"--digit makes grey images of 28x28, but {tmp_path / 'run'} was trained on 3x16x16.\n")
    code, stdout, stderr = run("evaluate", tmp_path / "run", PYTHONIOENCODING="ascii")
    assert (code, stderr.count("\n")) == (0, 1)
    assert "gr??e" in stdout


def test_curves_need_matplotlib(tmp_path, monkeypatch, capsys):
    losses = {"train_loss": 0.5, "validation_loss": 0.4}
    history = training.History([training.Epoch(1, 3, 0.5, losses, 0.01, 1e5)], [0.6, 0.5, 0.4])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    records.write_curves(history, "validation_loss", tmp_path)
    assert capsys.readouterr().err == "Did not write curves.png, which needs matplotlib: pip install matplotlib.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made", [False, True])
def test_how_a_run_can_go_on(made, tmp_path):
    if made:
        (tmp_path / "checkpoint-00000012.safetensors").touch()
    expected = f"continue with: fastcnn train --resume {tmp_path}" if made else "there is no checkpoint yet."
    assert train._how_to_go_on(tmp_path) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("--lr is 0"), 2), (OSError("the disk is full"), 1), (AssertionError("a bug"), None)],
    ids=["usage", "system", "bug"],
)
def test_errors_of_several_ranks(error, code, monkeypatch, capsys):
    """Each error ends all ranks: with a sentence and its exit code or, if it is a bug, with its traceback."""

    def fail(args, ranks):
        raise error

    monkeypatch.setattr(train, "_run", fail)
    monkeypatch.setattr(distributed, "world", lambda: SimpleNamespace(Get_size=lambda: 1, Get_rank=lambda: 0))
    with pytest.raises(type(error) if code is None else SystemExit) as raised:
        train.run(SimpleNamespace(distributed=True))
    said = capsys.readouterr().err
    if code is None:
        assert (raised.value, said) == (error, "")
    else:
        assert (raised.value.code, said) == (code, f"fastcnn train: error: {error}\n")


def test_a_rank_that_is_silent_may_print_any_name(capsys):
    with train._only_first_speaks(1):
        print("caf\udce9")
    assert capsys.readouterr().out == ""
