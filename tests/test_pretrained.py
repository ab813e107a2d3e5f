"""``fastcnn train --weights`` and ``--freeze``: weights of another run, and frozen parameters."""

import json
import re
import shutil

import numpy as np
import pytest

from fastcnn import data, models, nn, training
from fastcnn.commands import settings
from fastcnn.commands.classifier import Classifier
from fastcnn.commands.errors import UsageError
from fastcnn.commands.pretrained import Pretrained, freeze, frozen_at_random, take
from tests.command_line import call, main
from tests.test_image_folder import save
from tests.test_picture_parts import pictures


def colours(root, *classes, count=6):
    """Write colour pictures of 16x16 to a train and a val folder."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label, kind in enumerate(classes):
            for i in range(count):
                pixels = rng.integers(0, 60, (16, 16, 3)) + 60 * label
                save(root / part / kind / f"{i}.png", pixels.astype(np.uint8))
    return root


OPTIONS = ("--backend", "numpy", "--batch-size", 4, "--epochs", 1)


def train(capsys, *given):
    code, _, stderr = call(capsys, "train", *OPTIONS, *given)
    assert code == 0, stderr
    return stderr.splitlines()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run of VGG-7, which has batch normalizations, trained on two classes."""
    place = tmp_path_factory.mktemp("learned")
    data = colours(place / "two", "dark", "light")
    options = (*OPTIONS, "--model", "vgg7", "--data", data, "--out", place / "run")
    assert main(["train", *map(str, options)]) == 0
    return place / "run"


def weights(run):
    return training.latest_checkpoint(run).weights


def best(run):
    return Classifier(run).model.state_dict()


def test_all_but_the_head_is_taken_and_the_body_stays(learned, tmp_path, capsys):
    data = colours(tmp_path / "three", "a", "b", "c")
    out = tmp_path / "run"
    said = train(capsys, "--weights", learned, "--freeze", "body", "--data", data, "--out", out)
    before, after = best(learned), weights(out)
    new = ["22.weight", "22.bias"]
    taken = f"Weights: {len(before) - 2} of {len(before)} arrays come from {learned}"
    assert f"{taken}; newly initialized, as their shapes differ: 22.weight, 22.bias." in said
    assert any(re.fullmatch(r"Frozen: \d+ of \d+ parameters; trained: 22.weight, 22.bias\.", line) for line in said)
    assert [name for name in after if name not in before] == []
    for name, array in after.items():  # including running means, variances and counters
        if name not in new:
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    saved = training.latest_checkpoint(out).settings
    assert saved["settings"]["weights"] == str(learned)
    assert saved["settings"]["freeze"] == ["body"]
    assert saved["settings"]["model"] == "vgg7"
    assert saved["preprocessing"] == training.latest_checkpoint(learned).settings["preprocessing"]


def test_what_is_not_frozen_learns_from_where_it_was(learned, tmp_path, capsys):
    data = colours(tmp_path / "two", "dark", "light")
    said = train(capsys, "--weights", learned, "--data", data, "--lr", "1e-30", "--out", tmp_path / "run")
    before, after = best(learned), weights(tmp_path / "run")
    assert f"Weights: {len(before)} of {len(before)} arrays come from {learned}." in said
    np.testing.assert_array_equal(after["22.weight"], before["22.weight"])  # all weights are loaded
    train(capsys, "--weights", learned, "--data", data, "--out", tmp_path / "other")
    assert all(np.any(array != before[name]) for name, array in weights(tmp_path / "other").items())


def test_it_goes_on_bit_for_bit_and_without_the_run_it_came_from(learned, tmp_path, capsys):
    data, gone = colours(tmp_path / "three", "a", "b", "c"), tmp_path / "gone"
    train(capsys, "--data", data, "--weights", learned, "--freeze", "body", "--epochs", 3, "--out", tmp_path / "whole")
    shutil.copytree(learned, gone)
    out = tmp_path / "run"
    train(capsys, "--data", data, "--weights", gone, "--freeze", "body", "--epochs", 3, "--out", out)
    sorted(out.glob("checkpoint-*"))[-1].unlink()
    shutil.rmtree(gone)
    code, _, stderr = call(capsys, "train", "--resume", out)
    assert code == 0, stderr
    losses = [json.loads((run / "history.json").read_text())["step_losses"] for run in (out, tmp_path / "whole")]
    assert losses[0] == losses[1]
    for name, array in weights(out).items():
        np.testing.assert_array_equal(array, weights(tmp_path / "whole")[name])


def test_pictures_take_the_form_of_those_that_it_has_seen(learned, tmp_path, capsys):
    grey = pictures(tmp_path / "grey", "train", "val")  # 12x12 pixels
    said = train(capsys, "--weights", learned, "--data", grey, "--out", tmp_path / "run")
    assert any("12 training, 12 validation images of 3x16x16" in line for line in said)
    said = train(capsys, "--weights", learned, "--data", grey, "--channels", 1, "--out", tmp_path / "other")
    assert any("newly initialized, as their shapes differ: 0.weight" in line for line in said)


def test_a_checkpoint_will_do(learned, tmp_path, capsys):
    data = colours(tmp_path / "two", "dark", "light")
    (checkpoint,) = learned.glob("checkpoint-*")
    said = train(capsys, "--weights", checkpoint, "--data", data, "--out", tmp_path / "run")
    assert any(f"arrays come from {checkpoint}." in line for line in said)


@pytest.mark.parametrize(
    ("given", "code", "sentence"),
    [
        (["--model", "lenet5"], 2, "--model is 'lenet5', but the model of --weights {run} is 'vgg7'."),
        (["--freeze", "99"], 2, "--freeze: no layer or parameter is called '99'; there are 0.weight, "),
        (["--freeze", "*"], 2, "--freeze * leaves no parameter to train."),
        (["--weights", "{run}/best.safetensors"], 2, "but must be a run's folder, such as {run}, or a checkpoint."),
        (["--weights", "{run}/none"], 1, "There is no run and no checkpoint {run}/none."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said(learned, tmp_path, capsys, given, code, sentence):
    data = colours(tmp_path / "two", "dark", "light")
    given = [text.format(run=learned) for text in given]
    options = (*OPTIONS, "--weights", learned, "--data", data, "--out", tmp_path / "run", *given)
    found, stdout, stderr = call(capsys, "train", *options)
    assert (found, stdout) == (code, "")
    assert sentence.format(run=learned) in stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_none_of_the_arrays_fits():
    model = models.LeNet5()
    before = model.state_dict()
    arrays = {"0.weight": np.zeros((6, 1, 3, 3), np.float32), "c1.weight": before["0.weight"]}
    with pytest.raises(UsageError, match="--weights is runs/a, but none of its arrays fits this model by name and sha"):
        take(model, Pretrained("runs/a", arrays, {}, None))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("names", "learning"),
    [
        (["body"], ["11.weight", "11.bias"]),
        (["0", "3"], ["6.weight", "6.bias", "9.weight", "9.bias", "11.weight", "11.bias"]),
        (["[0-9]"], ["11.weight", "11.bias"]),
        (["*.bias"], ["0.weight", "3.weight", "6.weight", "9.weight", "11.weight"]),
        (["0.bias", "body", "11.bias"], ["11.weight"]),
        (["1*"], ["0.weight", "0.bias", "3.weight", "3.bias", "6.weight", "6.bias", "9.weight", "9.bias"]),
    ],
)
def test_names_of_what_is_frozen(names, learning):
    model = models.LeNet5()
    said = freeze(model, names)
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == learning
    frozen = [name for name, _ in model.named_parameters() if name not in learning]
    which = f"all but {', '.join(frozen)}" if len(frozen) < 5 else ", ".join(learning)
    assert said == f"Frozen: {len(frozen)} of 10 parameters; trained: {which}."
    assert frozen_at_random(model, None) == [
        "The frozen parameters keep random initial values; --weights RUN would start from a trained run."
    ]


def test_what_no_run_has_trained_is_named_where_it_is_frozen():
    model, other = models.LeNet5(), models.LeNet5(image_size=28)
    source = Pretrained("runs/a", other.state_dict(), {}, None)
    take(model, source)
    freeze(model, ["body"])
    said = ["Frozen with random initial values, as runs/a has none of the same shape: 6.weight."]
    assert frozen_at_random(model, source) == said
    assert frozen_at_random(other, source) == []


def test_a_name_within_a_block():
    model = models.ResNet20()
    freeze(model, ["11.0"])
    assert all(p.requires_grad != name.startswith("11.0.") for name, p in model.named_parameters())
    assert all(
        module.training != (name.startswith("11.0.") and isinstance(module, nn.BatchNorm2d))
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    )
    with pytest.raises(UsageError, match=r"no layer or parameter is called '11\.9'"):
        freeze(model, ["11.9"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('freeze = "0"', "freeze: '0' is not a list of strings"),
        ("freeze = [0]", "freeze: 0 is not a non-empty string"),
        ('freeze = [""]', "freeze: '' is not a non-empty string"),
    ],
)
def test_a_file_has_a_list_of_names(tmp_path, text, sentence):
    file = tmp_path / "run.toml"
    file.write_text('freeze = ["0", "*.bias"]\n')
    assert settings.read_file(file) == {"freeze": ["0", "*.bias"]}
    assert settings.toml({"freeze": ["0", "*.bias"]}) == file.read_text()
    file.write_text(text)
    with pytest.raises(UsageError, match=sentence):
        settings.read_file(file)


def test_a_named_data_set_has_its_own_channels():
    known = {"model": "lenet5", "model_options": {}, "image_size": 32, "channels": 3}
    given = {"data": "mnist", "lr": 0.1}
    completed = Pretrained("runs/a", {}, known, data.Preprocessing(32, (0.5,) * 3, (0.5,) * 3)).completed(given)
    assert completed == {"model": "lenet5", "model_options": {}, "image_size": 32, **given}
