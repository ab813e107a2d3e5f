"""Pictures that are decoded when needed give the same results, bit for bit, as pictures in memory."""

import json
import math

import numpy as np
import pytest

import fastcnn
from fastcnn import _memory, data, training
from fastcnn.commands import prepare, settings
from tests.command_line import call, start
from tests.test_image_folder import level, save
from tests.test_picture_parts import pictures

OPTIONS = ("--model", "conv8", "--backend", "numpy", "--batch-size", 5, "--augment", "shift=1", "--image-size", 14)


@pytest.fixture
def folder(tmp_path):
    return pictures(tmp_path / "all", "pictures", count=12) / "pictures"


def train(capsys, *given):
    code, _, stderr = call(capsys, "train", *OPTIONS, *given)
    assert code == 0, stderr
    return stderr


def assert_same(one, other):
    losses = [json.loads((out / "history.json").read_text())["step_losses"] for out in (one, other)]
    assert losses[0] == losses[1]
    epochs = [training.History.from_json(out / "history.json").epochs for out in (one, other)]
    measured = [[epoch.validation_loss for epoch in part] for part in epochs]
    assert measured[0] == pytest.approx(measured[1], rel=1e-5)  # the batches have another size
    found, expected = (training.latest_checkpoint(out) for out in (one, other))
    for name, array in found.weights.items():
        np.testing.assert_array_equal(array, expected.weights[name])
    assert found.settings["data"] == expected.settings["data"]
    assert found.settings["preprocessing"] == expected.settings["preprocessing"]


SAID = "The pictures are decoded when they are needed; --no-lazy keeps all in memory.\n"


@pytest.mark.parametrize("given", [(), ("--validation", 0.25), ("--limit", 13)], ids=["all", "validation", "limit"])
def test_it_is_the_same_run(folder, tmp_path, capsys, given):
    before = fastcnn.get_num_threads()
    options = ("--data", folder, "--epochs", 2, *given)
    assert SAID not in train(capsys, *options, "--out", tmp_path / "memory")
    try:
        for threads in (1, 3):
            out = tmp_path / f"lazy {threads}"
            assert SAID in train(capsys, *options, "--lazy", "--threads", threads, "--out", out)
            assert_same(tmp_path / "memory", out)
    finally:
        fastcnn.set_num_threads(before)


def test_it_goes_on_in_the_middle_of_an_epoch_in_memory_or_not(folder, tmp_path, capsys):
    options = ("--data", folder, "--epochs", 3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(capsys, *options, "--out", whole)
    process = start("train", *OPTIONS, *options, "--lazy", "--checkpoint-every", 0, "--out", killed)
    next(line for line in process.stdout if line.startswith("epoch 1"))
    process.kill()
    process.communicate()
    code, _, stderr = call(capsys, "train", "--resume", killed, "--no-lazy")
    assert code == 0, stderr
    assert SAID not in stderr
    assert_same(whole, killed)


def test_it_is_chosen_where_pictures_would_fill_half_of_the_memory(folder, tmp_path, capsys, monkeypatch):
    needed = 24 * (14 * 14 + 4 * 14 * 14)  # bytes of all pictures, including held-out ones, resized to 14x14
    for memory, lazy in ((2 * needed, False), (2 * needed - 1, True)):
        monkeypatch.setattr(_memory, "total", lambda memory=memory: memory)
        stderr = train(capsys, "--data", folder, "--epochs", 1, "--out", tmp_path / str(memory))
        assert (SAID in stderr) == lazy
    assert SAID not in train(capsys, "--data", folder, "--no-lazy", "--epochs", 1, "--out", tmp_path / "memory")


def test_what_is_wrong_is_said_before_the_first_batch(folder, tmp_path, capsys):
    without_size = ("--model", "mlp", "--backend", "numpy", "--lazy", "--data", folder, "--out", tmp_path / "run")
    odd = save(folder / "light" / "2.png", level(9, (9, 12)))
    for given in (without_size, (*without_size, "--no-lazy")):
        code, _, stderr = call(capsys, "train", *given)
        assert code == 1
        said = f"{odd} has 9x12 pixels (height x width) but the pictures before it have 12x12; pass --image-size"
        assert said in stderr
    for path in (odd, *sorted((folder / "dark").iterdir())):  # some are training pictures, some are held out
        _damaged(capsys, path, *without_size, "--image-size", 12)
    code, _, stderr = call(capsys, "train", "--lazy", "--data", "digits", "--out", tmp_path / "run")
    assert code == 2
    assert "--lazy is for a folder of pictures, which digits is not." in stderr
    assert not (tmp_path / "run").exists()


def _damaged(capsys, path, *options):
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    code, _, stderr = call(capsys, "train", *options)
    assert (code, f"{path} is damaged: " in stderr) == (1, True)
    path.write_bytes(whole)


def test_it_is_a_setting_of_files_too(tmp_path):
    (tmp_path / "a.toml").write_text("lazy = true\n")
    assert settings.read_file(tmp_path / "a.toml") == {"lazy": True}
    assert settings.toml({"lazy": False}) == "lazy = false\n"
    (tmp_path / "a.toml").write_text("lazy = 1\n")
    with pytest.raises(settings.UsageError, match="lazy: 1 is not true or false"):
        settings.read_file(tmp_path / "a.toml")


def test_means_are_those_of_all_pictures(folder):
    lazily, images = data.ImageFolder(folder), data.ImageFolder(folder).load()
    expected = data.mean_and_std(images.images)
    for found in (data.mean_and_std(lazily), data.mean_and_std(images), prepare.look_at(lazily, 2)[1:]):
        np.testing.assert_array_equal(found, expected)
    assert data.Preprocessing.of(lazily, 12) == data.Preprocessing.of(images.images, 12)
    assert prepare.look_at(lazily, 2) == prepare.look_at(images, 0)


def test_memory(tmp_path, monkeypatch):
    machine = _memory.total(tmp_path)
    assert 2**26 < machine <= math.inf
    (tmp_path / "sys/fs/cgroup/memory").mkdir(parents=True)
    for name, text, expected in (
        ("memory.max", "max\n", machine), ("memory.max", "1048576\n", 2**20),
        ("memory/memory.limit_in_bytes", "524288\n", 2**19),
    ):  # fmt: skip
        (tmp_path / "sys/fs/cgroup" / name).write_text(text)
        assert _memory.total(tmp_path) == expected
    monkeypatch.delattr("os.sysconf")
    assert _memory.total(tmp_path / "none") == math.inf
