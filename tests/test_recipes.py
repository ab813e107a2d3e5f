"""The recipes of five public write-ups run, resume, translate the settings correctly, and are reported."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastcnn
from fastcnn import data, models, nn, optim, training
from fastcnn import functional as F
from fastcnn.testing import central_difference

EXAMPLES = Path(__file__).parent.parent / "examples"
RUNS = {
    "S0": ("dropout", "decay_with_lr", "no_dropout"),
    "S1": ("lenet5",),
    "S2": ("sgd", "momentum", "nesterov", "adam", "leaky_relu"),
    "S3": ("cnn", "mlp", "mlp2"),
    "S4": ("conv8", "glorot"),
}


@pytest.fixture(autouse=True)
def _examples_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "recipes"))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The output folder of all recipes in quick mode on the numpy backend."""
    folder = tmp_path_factory.mktemp("recipes")
    assert start("recipes", "--quick", "--backend", "numpy", "--threads", 1, "--seeds", 1, "--out", folder)[0] == 0
    return folder


def start(program: str, *options) -> tuple[int, str, str]:
    path = os.pathsep.join(filter(None, (str(EXAMPLES.parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, str(EXAMPLES / program), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=600)
    return done.returncode, done.stdout, done.stderr


def record(folder: Path, recipe: str, run: str, backend="numpy", seed=0) -> dict:
    return json.loads((folder / backend / recipe / f"{run}-{seed}" / "record.json").read_text("utf-8"))


def quick_run(name: str, run: str):
    """Return a recipe and one of its runs, by their names on the command line."""
    import importlib

    recipe = importlib.import_module(name.lower()).RECIPE
    return recipe, next(one for one in recipe.runs if one.name == run)


@pytest.mark.parametrize(("recipe", "run"), [(recipe, run) for recipe, runs in RUNS.items() for run in runs])
def test_every_run_leaves_its_record(out, recipe, run):
    it = record(out, recipe, run)
    assert it["environment"]["backend"] == "numpy"
    assert it["data"]["training_images"] == 256
    assert len(it["epochs"]) == 2
    assert it["settings"]["epochs"] == quick_run(recipe, run)[1].epochs  # those of the recipe
    assert it["figures"]["test_accuracy"] == it["epochs"][-1]["validation_accuracy"]
    for claim in it["settings"]["claims"]:
        assert claim["row"].startswith(recipe)
        assert claim["better"] != "equal" or it["figures"][claim["ours"]] == claim["said"], claim


def test_every_recipe_is_tested():
    for name, runs in RUNS.items():
        recipe = quick_run(name, runs[0])[0]
        assert (recipe.name, tuple(run.name for run in recipe.runs)) == (name, runs)


def test_training_flop_of_lenet5():
    flop = 2 * nn.summarize(models.LeNet5()).training_multiply_adds
    assert flop == 2_263_920  # 2.264 MFLOP in the table


def test_numba_trains_the_same(out, tmp_path):
    options = ("--recipe", "S3", "--run", "cnn", "--quick", "--backend", "numba", "--threads", 1, "--out", tmp_path)
    code, stdout, _ = start("recipes", *options)
    assert code == 0
    assert "S3-6 parameters, CNN: 4842 there, 4842 here" in stdout
    ours, theirs = (record(folder, "S3", "cnn", name) for folder, name in ((tmp_path, "numba"), (out, "numpy")))
    for mine, other in zip(ours["log"], theirs["log"], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_a_run_goes_on_where_it_stopped(out, tmp_path):
    recipe, run = quick_run("S0", "dropout")  # uses masks, momentum and a schedule
    datasets = data.digits(256, 100)
    from train import train

    threads = fastcnn.get_num_threads()
    fastcnn.set_num_threads(1)  # as in the whole run: sums of BLAS depend on the number of threads
    try:
        with fastcnn.use_backend("numpy"):
            assert len(train(recipe, run, 0, datasets, tmp_path, 1, quick=True)["epochs"]) == 1
            resumed = train(recipe, run, 0, datasets, tmp_path, 2, quick=True)
    finally:
        fastcnn.set_num_threads(threads)
    whole = record(out, "S0", "dropout")
    assert resumed["log"] == whole["log"]
    assert [e["validation_loss"] for e in resumed["epochs"]] == [e["validation_loss"] for e in whole["epochs"]]


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path):
    from train import train

    recipe, run = quick_run("S3", "mlp")
    datasets = data.digits(100, 50)
    with fastcnn.use_backend("numpy"):
        train(recipe, run, 0, datasets, tmp_path, 1, quick=True)
        with pytest.raises(ValueError, match="holds a run with other settings; choose another --out, or delete it"):
            train(recipe, replace(run, batch_size=7), 0, datasets, tmp_path, 1, quick=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(("--recipe", "S5"), "invalid choice: 'S5'", id="recipe"),
        pytest.param(("--run", "cnm"), "--run is 'cnm', but the runs are", id="run"),
        pytest.param(("--epochs", "0"), "--epochs is 0 but must be at least 1", id="epochs"),
        pytest.param(("--data", "no/such/folder"), "no such folder", id="data"),
        pytest.param(("--threads", "0"), "`n` is 0", id="threads"),
    ],
)
def test_wrong_options(options, text):
    code, stdout, stderr = start("recipes", *options)
    assert (code, stdout) == (2, "")
    assert text in stderr
    assert "Traceback" not in stderr


# ---- the write-ups' settings ----


def translated(name: str, run: str, batch: int, rule, decay_of_weights: float = 0.0) -> None:
    """Compare an optimizer of a recipe with the write-up's rule for a gradient that is summed over the batch."""
    from optimizers import OPTIMIZERS

    _, run = quick_run(name, run)
    rng = np.random.default_rng(0)
    weight = nn.Parameter(rng.normal(size=3))
    expected, state = weight.data.copy(), np.zeros(3)
    optimizer = OPTIMIZERS[run.optimizer]([weight], **run.optimizer_options)
    for _ in range(5):
        summed = rng.normal(size=3)
        expected, state = rule(expected, state, summed)
        weight.grad = summed / batch + decay_of_weights * weight.data
        optimizer.step()
    np.testing.assert_allclose(weight.data, expected, rtol=1e-12)


def test_s0_is_its_momentum_with_a_decay_of_its_own():
    def rule(w, v, g):
        v = 0.8 * v + 0.2 * g
        return w - (1e-4 * v + 3e-5 * w), v

    translated("S0", "dropout", 64, rule)


def test_s1_is_plain_sgd_with_decay():
    decay = quick_run("S1", "lenet5")[1].weight_decay_of_weights
    translated("S1", "lenet5", 128, lambda w, v, g: (w - 1e-3 * (g + 1e-3 * w), v), decay)


def test_s2_decays_whatever_the_learning_rate():
    translated("S2", "sgd", 64, lambda w, v, g: ((1 - 4e-4) * w - 5e-4 * g, v))


def test_decay_of_weights_leaves_biases_alone(rng):
    from callbacks import DecayWeights

    layer = nn.Linear(2, 2, rng=rng)
    for parameter in layer.parameters():
        parameter.grad = np.zeros_like(parameter.data)
    trainer = training.Trainer(layer, optim.SGD(layer.parameters(), 0.1), nn.CrossEntropyLoss())
    DecayWeights(0.5).on_backward_end(trainer)
    np.testing.assert_array_equal(layer.weight.grad, 0.5 * layer.weight.data)
    assert not layer.bias.grad.any()


def test_a_line_of_the_log_is_divided_by_what_is_in_it(capsys):
    from callbacks import Log

    x, labels = np.eye(2)[[0, 0, 1, 1, 0]], np.array([0, 1, 1, 1, 0])
    model, log = nn.Linear(2, 2, dtype=np.float64), Log(2)
    model.weight.data[...], model.bias.data[...] = 5 * np.eye(2), 0
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.0), nn.CrossEntropyLoss(), callbacks=[log])
    losses = trainer.fit(data.DataLoader(x, labels, 1), (x, labels), 2).step_losses
    assert [line["steps"] for line in log.lines] == [2, 4, 5, 7, 9, 10]
    assert [line["accuracy"] for line in log.lines] == [0.5, 1, 1] * 2
    assert log.lines[2]["loss"] == pytest.approx(losses[4])
    assert log.lines[3]["loss"] == pytest.approx(np.mean(losses[5:7]))


def test_euclidean_loss(rng):
    from nets import EuclideanLoss

    x, labels, loss = rng.normal(size=(4, 3)), np.array([0, 2, 1, 0]), EuclideanLoss()
    assert loss(x, labels) == pytest.approx(0.5 * ((x - np.eye(3)[labels]) ** 2).sum() / 4)
    direction = rng.normal(size=x.shape)
    slope = central_difference(lambda changed: EuclideanLoss()(changed, labels), x, direction)
    assert (loss.backward() * direction).sum() == pytest.approx(slope)


def test_the_net_of_s2(rng):
    from nets import conv12_conv24

    summary = nn.summarize(conv12_conv24(rng))
    assert summary.parameters == 312 + 2_616 + 6_010 == 8_938
    assert summary.multiply_adds == 24 * 24 * 12 * 25 + 10 * 10 * 24 * 108 + 6_000 == 438_000


def test_initial_weights_of_s4(rng):
    from nets import over_fan_in

    model = models.Conv8(rng=rng)
    over_fan_in(model, rng)
    assert model[3].weight.data.std() == pytest.approx(1 / 1352, rel=0.05)
    assert model[0].weight.data.std() == pytest.approx(1 / 9, rel=0.3)  # fan-in 72
    assert not model[3].bias.data.any()


def test_glorots_initial_weights(rng):
    from nets import glorot

    model = nn.Sequential(nn.Conv2d(2, 8, 3, rng=rng), nn.Linear(100, 50, rng=rng))
    glorot(model, rng)
    for layer, fans in ((model[0], 9 * (2 + 8)), (model[1], 150)):
        assert 0.9 < np.abs(layer.weight.data).max() / (6 / fans) ** 0.5 <= 1
        assert not layer.bias.data.any()


def test_images_are_enlarged_as_pillow_does(rng):
    from images import resize

    Image = pytest.importorskip("PIL.Image")
    images = data.digits(3, 1)[0].images
    for ours, image in zip(resize(images, 32)[:, 0], images[:, 0], strict=True):
        theirs = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR), np.int64)
        assert np.abs(theirs - ours).max() <= 1  # Pillow also rounds between the axes


def test_test_images_tell_nothing_of_themselves():
    from images import PREPARE

    train, test = (part.images for part in data.digits(50, 20))
    for prepare in PREPARE.values():
        np.testing.assert_array_equal(prepare(train, test)[1][:5], prepare(train, test[:5])[1])


def test_s2s_images_and_filters_are_a_transpose_away(rng, backend):
    x, weight = rng.normal(size=(2, 7, 8, 3)), rng.normal(size=(3, 2, 3, 4))  # (N, H, W, C) and (KH, KW, C, O)
    y = F.conv2d(x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), stride=2, padding="same", backend=backend)
    y = y.transpose(0, 2, 3, 1)  # (N, OH, OW, O)
    assert y.shape == (2, 4, 4, 4)
    # 7 rows, 3 taps, stride 2: one row of padding at the top; 8 columns, 2 taps: none
    assert y[1, 1, 2, 3] == pytest.approx((x[1, 1:4, 4:6] * weight[..., 3]).sum())


def test_pytorch_follows_the_same_curve(out):
    pytest.importorskip("torch")
    it = record(out, "S4", "conv8")
    assert it["pytorch"]["parameters"] == it["figures"]["parameters"]
    assert it["pytorch"]["threads"] == it["environment"]["threads"]
    assert len(it["pytorch"]["step_losses"]) == len(it["step_losses"]) == 2 * 256
    np.testing.assert_allclose(it["step_losses"][:50], it["pytorch"]["step_losses"][:50], rtol=1e-2, atol=1e-4)


def test_the_report_shows_all_of_it(out):
    pytest.importorskip("matplotlib")
    code, stdout, stderr = start("report.py", out)
    assert (code, stderr) == (0, "")
    text = (out / "report.md").read_text("utf-8")
    linked = set(re.findall(r"\]\((figures/[^)]+)\)", text))
    assert linked == {f"figures/{path.name}" for path in (out / "figures").iterdir()}
    assert len(linked) >= 2 * 5 + 4 * 2 + 2
    for recipe, runs in RUNS.items():
        assert f"## {recipe}: " in text
        assert all(f"| {recipe} | {run} | 0 | numpy | 1 | 2 |" in text for run in runs)
    assert "| S1-10 | test accuracy | numpy, 2 of 250 epochs | 99.04 % |" in text


def test_a_report_of_nothing_is_said_so(tmp_path):
    code, _, stderr = start("report.py", tmp_path)
    assert code == 2
    assert "holds no record.json" in stderr
