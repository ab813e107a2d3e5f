"""Default batch sizes and epochs for few images: their choice, the messages, and the saved settings."""

import math
import tomllib

import pytest

from fastcnn.commands import settings
from fastcnn.commands.train import standard_error
from tests.command_line import call
from tests.test_picture_parts import pictures

NONE = {"batch_size": None, "epochs": None}


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [
        (1, 8, 30), (159, 8, 20), (160, 16, 30), (192, 16, 30), (240, 16, 27), (384, 32, 30), (800, 64, 30),
        (1000, 64, 25), (1280, 128, 30), (5000, 128, 10), (10_240, 128, 5), (60_000, 128, 5), (10**7, 128, 5),
    ],
)  # fmt: skip
def test_few_images_have_small_batches_and_many_epochs(images, batch_size, epochs):
    found = settings.for_images(NONE, images)
    assert (found["batch_size"], found["epochs"]) == (batch_size, epochs)


def test_what_is_given_stays():
    assert settings.for_images({"batch_size": 50, "epochs": 3, "lr": 1}, 100) == {
        "batch_size": 50, "epochs": 3, "lr": 1,
    }  # fmt: skip
    assert settings.for_images({"batch_size": 100, "epochs": None}, 2000)["epochs"] == 20  # from the number of batches
    assert settings.for_images({"batch_size": None, "epochs": 3}, 192)["batch_size"] == 16


def trained(capsys, folder, out, *given):
    code, _, stderr = call(
        capsys, "train", "--data", folder, "--model", "mlp", "--backend", "numpy", "--out", out, *given
    )  # fmt: skip
    assert code == 0, stderr
    return stderr.splitlines()


def test_it_is_said_and_written_down(tmp_path, capsys):
    root = pictures(tmp_path / "pictures", "train", count=30)
    pictures(root, "val")
    said = trained(capsys, root, tmp_path / "run")
    free = "The batch size and epochs are chosen for 60 images; --batch-size and --epochs override this."
    assert f"Batch size 8, 8 batches per epoch, 30 epochs. {free}" in said
    found = tomllib.loads((tmp_path / "run" / "settings.toml").read_text())
    assert (found["batch_size"], found["epochs"]) == (8, 30)
    assert not any("the weights are updated" in line for line in said)
    said = trained(capsys, root, tmp_path / "run", "--resume")
    assert "Batch size 8, 8 batches per epoch, 30 epochs." in said


def test_few_validation_pictures_are_said(tmp_path, capsys):
    root = pictures(tmp_path / "pictures", "train", count=30)
    pictures(root, "val", count=15)
    said = trained(capsys, root, tmp_path / "run", "--epochs", 30)
    what = "about 2.3 percentage points (one standard error)"  # all are right, so that of half a picture
    assert said.count(f"30 validation pictures: the accuracy is uncertain by {what}.") == 1
    pictures(root, "val", count=25)
    assert not any("uncertain" in line for line in trained(capsys, root, tmp_path / "other", "--epochs", 1))


def test_the_standard_error_of_an_accuracy():
    assert standard_error(0.5, 30) == pytest.approx(0.0913, abs=1e-4)
    assert standard_error(0.9, 30) == pytest.approx(math.sqrt(0.9 * 0.1 / 30))
    for accuracy in (0, 1):
        assert standard_error(accuracy, 30) == pytest.approx(math.sqrt(59 / 60 * 1 / 60 / 30))
    assert standard_error(1, 1) == 0.5


def test_few_batches_are_said(tmp_path, capsys):
    root = pictures(tmp_path / "pictures", "train", count=30)
    pictures(root, "val")
    said = trained(capsys, root, tmp_path / "run", "--batch-size", 50, "--epochs", 3)
    assert "Batch size 50, 2 batches per epoch, 3 epochs." in said
    hint = "With 2 batches per epoch the weights are updated 6 times in all; --batch-size 8 suits 60 images better."
    assert hint in said
    said = trained(capsys, root, tmp_path / "other", "--batch-size", 60, "--epochs", 3)
    assert hint.replace("2 batches", "1 batch").replace("6 times", "3 times") in said
    said = trained(capsys, root, tmp_path / "third", "--batch-size", 7)
    said += trained(capsys, root, tmp_path / "fourth", "--epochs", 1)
    only = "The {} chosen for 60 images; {} override{} this."
    assert "Batch size 8, 8 batches per epoch, 1 epoch. " + only.format("batch size is", "--batch-size", "s") in said
    assert "Batch size 7, 9 batches per epoch, 30 epochs. " + only.format("epochs are", "--epochs", "s") in said
    said = trained(capsys, root, tmp_path / "fifth", "--batch-size", 60, "--epochs", 1)
    assert any("With 1 batch per epoch the weights are updated once in all;" in line for line in said)
