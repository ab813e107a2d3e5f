"""Commands that use a run: ``fastcnn evaluate``, ``predict`` and ``plot``; and ``summary`` and ``download``."""

import errno
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastcnn.__main__
from fastcnn import data, nn, optim, training
from fastcnn.commands import evaluate
from tests.command_line import call, run

Image = pytest.importorskip("PIL.Image")


def test_evaluate_prints_a_table(trained_run, capsys):
    code, stdout, stderr = call(capsys, "evaluate", trained_run)
    assert code == 0
    lines = stdout.splitlines()
    assert lines[0].startswith("500 images, loss ")
    assert ", top-5 " in lines[0]
    assert lines[1].split() == ["class", "images", "precision", "recall", "F1"]
    assert [line.split()[0] for line in lines[2:]] == [*"0123456789", "mean"]
    assert stderr.startswith("Data: MNIST from ")


def test_json_is_strict_where_numbers_are_not_finite(trained_run, tmp_path, capsys):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    folder = shutil.copytree(trained_run, tmp_path / "run")
    weights = {name: array * np.nan for name, array in load_file(folder / "best.safetensors").items()}
    save_file(weights, folder / "best.safetensors")
    Image.new("L", (28, 28)).save(tmp_path / "dark.png")
    with np.errstate(all="ignore"):
        _, evaluated, _ = call(capsys, "evaluate", folder, "--json")
        _, predicted, _ = call(capsys, "predict", folder, tmp_path / "dark.png", "--no-digit", "--json")
    record = json.loads(evaluated, parse_constant=refuse)
    assert record["loss"] is None
    assert record["classes"][1]["precision"] is None
    assert record["classes"][1]["recall"] == 0
    (picture,) = json.loads(predicted, parse_constant=refuse)
    assert [item["probability"] for item in picture["classes"]] == [None] * 10


def test_evaluate_says_of_the_best_weights_what_the_history_says(trained_run, capsys):
    code, stdout, _ = call(capsys, "evaluate", trained_run, "--json", "--top", 2)
    record = json.loads(stdout)
    best = max(epoch.validation_accuracy for epoch in training.History.from_json(trained_run / "history.json").epochs)
    assert record["accuracy"] == best
    assert best > 0.8
    assert record["top_2"] >= best
    assert np.sum(record["confusion"]) == 500
    assert [item["class"] for item in record["classes"]] == list("0123456789")


def test_evaluate_takes_a_checkpoint_and_other_data(trained_run, mnist_folder, tmp_path, capsys):
    checkpoint = sorted(trained_run.glob("checkpoint-*"))[0]  # of the epoch before the last one
    _, stdout, _ = call(capsys, "evaluate", checkpoint, "--json")
    history = training.History.from_json(trained_run / "history.json")
    assert json.loads(stdout)["accuracy"] == history.epochs[-2].validation_accuracy
    _, test = data.mnist(mnist_folder)
    sevens = test.labels == 7
    arrays = {
        "x_train": test.images,
        "y_train": test.labels,
        "x_test": test.images[sevens],
        "y_test": test.labels[sevens],
    }
    np.savez(tmp_path / "sevens.npz", **arrays)
    code, stdout, _ = call(capsys, "evaluate", trained_run, "--data", tmp_path / "sevens.npz", "--top", 3)
    assert code == 0
    assert stdout.startswith(f"{sevens.sum()} images")
    assert " - " in stdout  # the undefined precision of other classes
    assert stdout.splitlines()[-1].startswith("top-3: ")


@pytest.mark.parametrize("command", ["evaluate", "predict", "plot"])
def test_damaged_files_are_one_line(command, trained_run, tmp_path, capsys):
    folder = shutil.copytree(trained_run, tmp_path / "run")
    for name in ("best.safetensors", "history.json"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    more = {"evaluate": [], "predict": [tmp_path / "seven.png"], "plot": ["--out", tmp_path / "curves.png"]}[command]
    code, stdout, stderr = call(capsys, command, folder, *more)
    assert (code, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert line.startswith(f"fastcnn {command}: error: {folder}")
    assert ("is not a history" if command == "plot" else "is not a complete safetensors file") in line


def test_evaluate_draws_the_confusion_matrix(trained_run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    file = tmp_path / "confusion.png"
    assert call(capsys, "evaluate", trained_run, "--confusion", file)[0] == 0
    assert file.read_bytes().startswith(b"\x89PNG")
    for name, code, said in (
        ("a.xyz", 2, f"--confusion is {tmp_path / 'a.xyz'}, whose suffix must be one of "),
        ("none/a.png", 1, f"--confusion is {tmp_path / 'none' / 'a.png'}, but there is no folder {tmp_path / 'none'}."),
        ("", 1, f"--confusion is {tmp_path}, but that is a folder."),
    ):
        found, _, stderr = call(capsys, "evaluate", trained_run, "--confusion", tmp_path / name)
        assert (found, stderr.count("\n")) == (code, 1)  # checked before there are results to lose
        assert stderr.startswith(f"fastcnn evaluate: error: {said}")
    assert call(capsys, "evaluate", trained_run, "--confusion", "")[0] == 2
    none = tmp_path / "none"
    assert "--confusion" not in call(capsys, "evaluate", none, "--confusion", none / "a.png")[2]  # but a missing run


def test_numbers_in_an_npz_file_stand_for_the_models_classes_in_order(tmp_path):
    x, y = np.zeros((3, 5, 5), np.uint8), np.array([1, 0, 1])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    classifier = SimpleNamespace(settings={}, image_shape=(1, 5, 5), classes=["cat", "dog"])
    test, role = evaluate.images_of(classifier, [str(tmp_path / "a.npz")])
    assert (test.classes, test.labels.tolist(), role) == (("cat", "dog"), [1, 0, 1], "test")


def test_images_of_another_kind_are_refused(trained_run, tmp_path, capsys):
    colour = np.zeros((2, 28, 28, 3), np.uint8)
    np.savez(tmp_path / "colour.npz", x_train=colour, y_train=[0, 1], x_test=colour, y_test=[0, 1])
    code, _, stderr = call(capsys, "evaluate", trained_run, "--data", tmp_path / "colour.npz")
    assert code == 1
    assert "the images have 3 channels but the model takes 1" in stderr
    grey = np.zeros((2, 28, 28), np.uint8)
    np.savez(tmp_path / "many.npz", x_train=grey, y_train=[0, 10], x_test=grey, y_test=[0, 10])
    code, _, stderr = call(capsys, "evaluate", trained_run, "--data", tmp_path / "many.npz")
    assert code == 1
    assert "the model does not know the classes 10; it knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in stderr


@pytest.fixture(scope="module")
def pictures(mnist_folder, tmp_path_factory):
    """Pictures of digits as on paper: large, anywhere, dark on a light uneven background, with noise."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    _, test = data.mnist(mnist_folder)
    slope = np.linspace(-30, 30, 260)
    files = []
    for i in range(40):
        side = int(rng.integers(80, 160))
        ink = np.zeros((200, 260))
        y, x = rng.integers(0, 200 - side), rng.integers(0, 260 - side)
        ink[y : y + side, x : x + side] = np.asarray(Image.fromarray(test.images[i, 0]).resize((side, side))) / 255
        paper = 200 + slope + 5 * rng.standard_normal(ink.shape)
        picture = np.clip(paper * (1 - 0.8 * ink) if i % 2 else 20 + 200 * ink, 0, 255).astype(np.uint8)
        files.append(folder / f"{i}-is-{test.labels[i]}.png")
        Image.fromarray(picture).save(files[-1])
    return files


def test_predict_finds_digits_on_paper(trained_run, pictures, capsys):
    code, stdout, stderr = call(capsys, "predict", trained_run, *pictures, "--json")
    assert (code, stderr) == (0, "")
    found = json.loads(stdout)
    right = [item["image"].split("-is-")[1][0] == item["classes"][0]["class"] for item in found]
    assert np.mean(right) >= 0.8  # its accuracy on the test images themselves is about 90 %
    assert all(len(item["classes"]) == 10 for item in found)
    assert sum(item["probability"] for item in found[0]["classes"]) == pytest.approx(1, abs=1e-5)


def test_predict_takes_the_run_first(trained_run, pictures, capsys):
    code, stdout, stderr = call(capsys, "predict", pictures[0], trained_run)
    assert (code, stdout) == (2, "")
    said = f"{pictures[0]} is a picture, but the run comes first: fastcnn predict RUN IMAGE."
    assert stderr == f"fastcnn predict: error: {said}\n"


def test_predict_needs_a_run_and_a_picture(tmp_path, capsys):
    photo, folder = tmp_path / "photo.jpg", tmp_path
    said = f"{photo} is a picture, but the run comes first: fastcnn predict RUN IMAGE."
    assert call(capsys, "predict", photo) == (2, "", f"fastcnn predict: error: {said}\n")
    said = f"A run and a picture are needed, fastcnn predict RUN IMAGE, but only {folder} was given."
    assert call(capsys, "predict", folder, "--csv") == (2, "", f"fastcnn predict: error: {said}\n")
    assert call(capsys, "predict")[0] == 2
    assert "RUN IMAGE [IMAGE ...]" in call(capsys, "predict", "--help")[1]


def test_predict_prints_a_table(trained_run, pictures, capsys):
    code, stdout, _ = call(capsys, "predict", trained_run, *pictures[:2], "--top", 2)
    assert code == 0
    lines = stdout.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    assert len(lines) == 5
    assert lines[1].split()[1] == pictures[0].stem[-1]
    assert lines[1].endswith("%")


def test_predict_without_cutting_out(trained_run, mnist_folder, tmp_path, capsys):
    _, test = data.mnist(mnist_folder)
    Image.fromarray(test.images[0, 0]).save(tmp_path / "digit.png")
    _, stdout, _ = call(capsys, "predict", trained_run, tmp_path / "digit.png", "--no-digit", "--json")
    shown = {item["class"]: item["probability"] for item in json.loads(stdout)[0]["classes"]}
    from fastcnn.commands.classifier import Classifier

    expected = Classifier(trained_run).probabilities(test.images[:1])[0]
    np.testing.assert_allclose([shown[name] for name in "0123456789"], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda file: None, "there is no such file", id="missing"),
        pytest.param(lambda file: file.write_text("no picture"), "is not a picture that Pillow can read", id="text"),
        pytest.param(lambda file: Image.new("L", (90, 90), 200).save(file), "shows no digit", id="blank"),
    ],
)
def test_pictures_that_show_nothing_are_one_line(trained_run, tmp_path, capsys, write, message):
    file = tmp_path / "picture.png"
    write(file)
    code, stdout, stderr = call(capsys, "predict", trained_run, file)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    assert stderr.startswith("fastcnn predict: error: ")
    assert message in stderr
    assert str(file) in stderr


def test_what_is_no_run_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no checkpoint")
    model = nn.Linear(2, 2)
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    training.save_checkpoint(tmp_path / "other", trainer, data.DataLoader(np.zeros((2, 2)), np.zeros(2), 1))
    for name, message in (
        ("missing", "There is no run and no checkpoint"),
        ("empty", "holds no checkpoint of fastcnn train. `fastcnn train --out DIR` makes a run."),
        ("text", "is not a complete safetensors file"),
        ("other", "was not written by fastcnn train, but by another program: it lacks the preprocessing and the names"),
    ):
        code, stdout, stderr = call(capsys, "evaluate", tmp_path / name)
        assert (code, stdout, stderr.count("\n")) == (1, "", 1)
        assert message in stderr


@pytest.mark.parametrize(
    "command",
    [("evaluate",), ("predict", "a.png"), ("export", "--out", "a.onnx"), ("train", "--resume")],
    ids=lambda command: command[0],
)
def test_results_without_a_checkpoint_are_said(command, tmp_path, capsys):
    pytest.importorskip("PIL")
    (tmp_path / "weights.safetensors").write_text("of examples/lenet5.py")
    name, *others = command
    argv = (*command, tmp_path) if name == "train" else (name, tmp_path, *others)
    holds, how = f"{tmp_path} holds no checkpoint of fastcnn train", "`fastcnn train --out DIR` makes a run."
    what = ", only weights.safetensors, which another program may have written"
    assert call(capsys, *argv) == (1, "", f"fastcnn {name}: error: {holds}{what}. {how}\n")
    (tmp_path / "weights.safetensors").unlink()
    assert call(capsys, *argv)[2] == f"fastcnn {name}: error: {holds}. {how}\n"


def test_a_folder_that_may_not_be_read_is_not_empty(tmp_path, monkeypatch, capsys):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refused)  # simulates missing permissions, which root always has
    code, stdout, stderr = call(capsys, "evaluate", tmp_path)
    assert (code, stdout) == (1, "")
    said = f"{tmp_path}: permission denied; the current user may not read or write it."
    assert stderr == f"fastcnn evaluate: error: {said}\n"


def test_plot_draws_one_run_or_compares(trained_run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for runs, file in (([trained_run], "one.png"), ([trained_run, trained_run / "history.json"], "two.pdf")):
        code, stdout, _ = call(capsys, "plot", *runs, "--out", tmp_path / file)
        assert (code, stdout) == (0, "")
        assert (tmp_path / file).stat().st_size > 1000
    assert call(capsys, "plot", trained_run, "--out", tmp_path / "x.xyz")[0] == 2


def test_plot_leaves_out_what_is_no_run(trained_run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    empty, unfinished, figure = tmp_path / "empty", tmp_path / "unfinished", tmp_path / "old.png"
    for folder in (empty, unfinished):
        folder.mkdir()
    (unfinished / "history.json").write_text('{"epochs": [], "step_losses": []}')
    figure.touch()
    out = tmp_path / "x.png"
    reasons = f"{empty} holds no history.json", f"{unfinished} has no finished epoch", f"{figure} is not a run"
    code, _, stderr = call(capsys, "plot", empty, trained_run, unfinished, figure, "--out", out)
    assert (code, stderr) == (0, "".join(f"Left out: {why}.\n" for why in reasons) + f"Wrote {out}.\n")
    out.unlink()
    code, _, stderr = call(capsys, "plot", empty, unfinished, figure, "--out", out)
    assert (code, stderr) == (1, f"fastcnn plot: error: There is nothing to plot: {', '.join(reasons)}.\n")
    assert not out.exists()
    code, _, stderr = call(capsys, "plot", trained_run, tmp_path / "none", "--out", out)  # a typing error, perhaps
    assert (code, stderr) == (1, f"fastcnn plot: error: {tmp_path / 'none'}: there is no such file or folder.\n")


def test_plot_does_not_compare_runs_of_different_tasks(trained_run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    text = (trained_run / "history.json").read_text()
    (tmp_path / "history.json").write_text(text.replace("accuracy", "iou"))
    code, _, stderr = call(capsys, "plot", trained_run, tmp_path, "--out", tmp_path / "x.png")
    said = f"All histories must have the same metrics, but the run '{tmp_path.name}' has loss, iou, and the first has "
    assert (code, stderr) == (2, f"fastcnn plot: error: {said}loss, accuracy.\n")


def test_without_matplotlib(trained_run, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no matplotlib here')")
    code, _, stderr = run("plot", trained_run, "--out", tmp_path / "x.png", PYTHONPATH=f"{tmp_path}:{sys.path[0]}")
    assert code == 1
    assert stderr == "fastcnn plot: error: --out needs matplotlib: pip install matplotlib.\n"


def test_predict_without_pillow_says_so_before_all_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "PIL", None)
    code, stdout, stderr = call(capsys, "predict", tmp_path / "no run", tmp_path / "no picture.png")
    assert (code, stdout) == (1, "")
    assert stderr == "fastcnn predict: error: Reading pictures needs Pillow: pip install Pillow.\n"


def test_summary(capsys):
    code, stdout, stderr = call(capsys, "summary", "lenet5", "--options", "image_size=28", "pooling=avg")
    assert (code, stderr) == (0, "")
    assert "AvgPool2d" in stdout
    assert "44,426" in stdout.splitlines()[-1]
    code, _, stderr = call(capsys, "summary", "lenet5", "--options", "depth=3")
    assert (code, stderr.count("\n")) == (2, 1)
    assert "has no option `depth`; it has num_classes" in stderr
    assert call(capsys, "summary", "lenet6")[0] == 2


def test_download_says_what_is_there(mnist_folder, monkeypatch, capsys):
    monkeypatch.setenv("FASTCNN_DATA", str(mnist_folder))
    code, stdout, _ = call(capsys, "download", "mnist")
    assert (code, stdout) == (0, f"MNIST from {mnist_folder}: 3,000 training and 500 test images.\n")
    code, _, stderr = call(capsys, "download", "mnist", "kmnist")
    assert code == 1
    assert "train-images-idx3-ubyte" in stderr
    assert call(capsys, "download", "digits")[0] == 2


@pytest.mark.parametrize("command", fastcnn.__main__.COMMANDS)
def test_help_has_what_a_command_is_for(command, capsys):
    code, stdout, _ = call(capsys, command, "--help")
    assert code == 0
    assert stdout.startswith(f"usage: fastcnn {command}")
    assert (f"\n  fastcnn {command}" in stdout) == (command != "info")
    assert max(map(len, stdout.splitlines())) < 130


def test_a_mistake_of_our_own_keeps_its_traceback(monkeypatch):
    import fastcnn.commands.summary

    def broken(args):
        raise ValueError("a bug")

    monkeypatch.setattr(fastcnn.commands.summary, "run", broken)
    with pytest.raises(ValueError, match="a bug"):
        fastcnn.__main__.main(["summary", "lenet5"])


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    import fastcnn.commands.summary

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastcnn.commands.summary, "run", interrupted)
    assert call(capsys, "summary", "lenet5") == (130, "", "fastcnn summary: interrupted.\n")


def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    code = "import sys; from fastcnn.__main__ import main; sys.exit(main(['summary', 'resnet20']))"
    program = f"{sys.executable} -c \"{code}\" | {sys.executable} -c 'pass'"
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_it_is_installed_as_a_program():
    project = tomllib.loads((Path(fastcnn.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"fastcnn": f"{fastcnn.__main__.main.__module__}:main"}


def test_help_is_quick():
    code = "import sys; from fastcnn.__main__ import main\ntry: main({})\nexcept SystemExit: pass\nprint(*sys.modules)"
    for argv in (["--help"], ["train", "--help"]):
        done = subprocess.run([sys.executable, "-c", code.format(argv)], capture_output=True, text=True, check=True)
        assert not {"numba", "matplotlib", "PIL", "pooch"} & set(done.stdout.splitlines()[-1].split())
