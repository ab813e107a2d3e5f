"""Folders with train beside val, valid, validation or test: how they are read, and errors for bad ones."""

import re

import numpy as np
import pytest

from fastcnn.data import DataError, image_folder
from fastcnn.data.image_folder import find_parts
from tests.command_line import call
from tests.test_image_folder import level, levels, save


def write(root, *names, classes="ab", count=2):
    """Write pictures of each class to each of these folders; their grey level indicates the folder."""
    for place, name in enumerate(names, 1):
        for kind in classes:
            for i in range(count):
                save(root / name / kind / f"{i}.png", level(10 * place + i))
    return root


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test", "Val", "VALID", "Validation", "Test"])
@pytest.mark.parametrize("train", ["train", "Train"])
def test_the_second_of_two(tmp_path, train, name):
    first, second = image_folder(write(tmp_path, train, name))
    assert (levels(first), levels(second)) == ([10, 11] * 2, [20, 21] * 2)
    assert (first.source, second.source) == (str(tmp_path), str(tmp_path / name))
    assert first.files[0] == f"{train}/a/0.png"


def test_of_three_test_is_the_second(tmp_path):
    write(tmp_path, "train", "val", "test")
    assert levels(image_folder(tmp_path)[1]) == [30, 31] * 2
    found = find_parts(tmp_path)
    assert [levels(found[part].load()) for part in ("train", "validation", "test")] == [
        [10, 11] * 2, [20, 21] * 2, [30, 31] * 2,
    ]  # fmt: skip


def test_classes_may_be_called_so(tmp_path):
    for name in ("train", "bus"):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", level(i))
    assert image_folder(tmp_path, rng=np.random.default_rng(0))[0].classes == ("bus", "train")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["train", "val", "valid"], "{root} has both val and valid, but only one can be validation."),
        (["train", "TEST", "test"], "{root} has both TEST and test, but only one can be test."),
        (["train"], "{root} has the folder train with folders in it, but no val, valid, validation or test beside it. "
                    "To hold out a part of train, pass {root}/train."),
        (["training", "test"], "{root} has the folder test with folders in it, but no train beside it."),
    ],
    ids=["two for validation", "two that differ in case", "train alone", "no train"],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path, names, sentence):
    write(tmp_path, *names)
    if names[1:] == ["TEST", "test"] and len(list(tmp_path.iterdir())) < 3:
        pytest.skip("The file system does not distinguish upper and lower case.")
    with pytest.raises(DataError, match=re.escape(sentence.format(root=tmp_path))):
        image_folder(tmp_path, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        ("test", "{root}: train and test must have the same classes, but only train has c; test has a, b."),
        ("val", "{root}: train and val must have the same classes, but only train has c; val has a, b."),
        ("train", "{root}: train and val must have the same classes, but only val has c; train has a, b."),
    ],
)
def test_a_class_that_a_part_lacks_is_said(tmp_path, lacks, sentence):
    parts = ("train", "val", "test")
    write(tmp_path, *parts)
    write(tmp_path, *(part for part in parts if part != lacks), classes="c")
    with pytest.raises(DataError, match=re.escape(sentence.format(root=tmp_path))):
        image_folder(tmp_path)


def test_no_classes_are_said(tmp_path):
    write(tmp_path, "train")
    save(tmp_path / "val" / "1.png", level(1))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'val'} has no subfolders; there must be one for each")):
        image_folder(tmp_path)


# ---- fastcnn train ----


def pictures(root, *names, count=6):
    """Write dark and light pictures, the same in each folder except for noise."""
    rng = np.random.default_rng(0)
    for name in names:
        for kind, grey in (("dark", 40), ("light", 200)):
            for i in range(count):
                save(root / name / kind / f"{i}.png", (grey + rng.integers(-20, 20, (12, 12))).astype(np.uint8))
    return root


OPTIONS = ("--model", "mlp", "--backend", "numpy", "--epochs", 2, "--batch-size", 4)


def test_val_chooses_and_test_is_the_final_test(tmp_path, capsys):
    root = pictures(tmp_path / "all", "train", "val")
    pictures(root, "test", count=3)
    code, stdout, stderr = call(capsys, "train", *OPTIONS, "--data", root, "--out", tmp_path / "run")
    assert code == 0, stderr
    assert "12 training, 12 validation and 6 test images of 1x12x12; 2 classes." in stderr
    assert "test accuracy 100.00% on 6 images." in stdout
    code, _, stderr = call(capsys, "evaluate", tmp_path / "run")
    assert stderr == f"Data: {root / 'test'}; 6 test images.\n"
    code, _, stderr = call(
        capsys, "train", *OPTIONS, "--data", root, "--validation", 0.5, "--out", tmp_path / "other"
    )  # fmt: skip
    assert code == 2
    assert f"--validation holds out training images, but {root / 'val'} has validation images." in stderr


def test_all_bad_files_of_all_parts_are_named(tmp_path, capsys):
    root = pictures(tmp_path / "all", "train", "val")
    whole = (root / "train" / "dark" / "0.png").read_bytes()
    (root / "train" / "dark" / "0.png").write_bytes(whole[:60])
    (root / "train" / "light" / "1.png").write_text("not a picture")
    (root / "val" / "light" / "3.png").write_bytes(whole[:60])
    for options in OPTIONS, (*OPTIONS, "--channels", 1), (*OPTIONS, "--channels", 1, "--image-size", 8):
        code, _, stderr = call(capsys, "train", *options, "--data", root, "--out", tmp_path / "run")
        names = "train/dark/0.png, train/light/1.png, val/light/3.png"
        said = f"{root} holds 3 files that cannot be read as pictures: {names}; move them out of the folder."
        assert (code, stderr) == (1, f"fastcnn train: error: {said}\n")


def test_val_alone_chooses_and_is_the_test_unless_more_is_held_out(tmp_path, capsys):
    root = pictures(tmp_path / "all", "train", "Val")
    code, stdout, stderr = call(capsys, "train", *OPTIONS, "--data", root, "--out", tmp_path / "run")
    assert code == 0, stderr
    assert "12 training, 12 validation images of 1x12x12; 2 classes." in stderr
    assert "There is no test folder, so the final accuracy is measured on the images from Val, too." in stderr
    assert "validation accuracy 100.00% on the 12 validation images.\n" in stdout
    assert "test images" not in stdout + stderr
    _, _, stderr = call(capsys, "evaluate", tmp_path / "run")
    assert stderr == f"Data: {root / 'Val'}; 12 validation images.\n"
    call_ = ("train", *OPTIONS, "--data", root, "--validation", 0.25, "--out", tmp_path / "other")
    code, _, stderr = call(capsys, *call_)
    assert "9 training, 3 validation and 12 test images of 1x12x12; 2 classes." in stderr
    root = pictures(tmp_path / "others", "train", "test")
    _, _, stderr = call(capsys, "train", *OPTIONS, "--data", root, "--out", tmp_path / "third")
    assert "12 training, 12 test images of 1x12x12; 2 classes." in stderr
    assert "Validation uses the test images, because --validation holds out no training images." in stderr
