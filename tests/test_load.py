"""Loading data by name or path."""

import inspect
import re

import numpy as np
import pytest

from fastcnn import data
from fastcnn._text import in_full
from fastcnn.data import load


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv("FASTCNN_DATA", raising=False)


@pytest.mark.parametrize("name", [name for name in data.names() if name != "digits"])
def test_each_name_goes_to_its_loader(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"`root` is {tmp_path}, but ")) as error:
        load(name, tmp_path)
    assert name.removesuffix("10") in str(error.value)  # the subfolder is called cifar-10


def test_a_folder_of_images_with_its_options(tmp_path):
    pytest.importorskip("PIL")
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.pgm").write_bytes(b"P5 2 2 255 " + bytes([i] * 4))
    train, test = load(tmp_path, size=6, channels=3, test_fraction=0.5, rng=np.random.default_rng(0))
    assert train.images.shape == test.images.shape == (4, 3, 6, 6)
    with pytest.raises(TypeError, match=r"pass rng=np.random.default_rng\(0\), which chooses the test pictures\."):
        load(tmp_path)
    with pytest.raises(TypeError, match="sise"):
        load(tmp_path, sise=6)


def test_the_docstring_names_the_options_of_a_folder():
    options = list(inspect.signature(data.image_folder).parameters)[1:]
    assert options
    assert [option for option in options if f"``{option}``" not in load.__doc__] == []


def test_a_name_goes_before_a_folder_that_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(FileNotFoundError, match="`root` is nowhere"):
        load("mnist", "nowhere")
    with pytest.raises(data.DataError, match="mnist has no subfolders"):
        load("./mnist")


def test_an_archive(tmp_path):
    x, y = np.zeros((3, 4, 4), np.uint8), np.arange(3)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert len(load(str(tmp_path / "a.npz"))[1]) == 3
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere.npz")


def test_a_path_that_leads_nowhere_is_no_list_of_names(tmp_path):
    for path in ("no/such/folder", "../pictures", tmp_path / "pictures", "digits.npz"):
        sentence = f"There is no folder of images and no .npz archive {in_full(path)}."
        with pytest.raises(FileNotFoundError, match=re.escape(sentence)):
            load(path)
    (tmp_path / "pictures.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pictures.zip', a file, but must be a folder of images or an .npz archive."):
        load(tmp_path / "pictures.zip")


KNOWN = (
    f"there is no folder or .npz archive {in_full('imagenet')}, and the data sets are mnist, fashion-mnist, kmnist, "
    "cifar10, digits."
)
BAD = {
    "an unknown name": (("imagenet",), {}, f"`name` is 'imagenet', but {KNOWN}"),
    "a root for digits": (
        ("digits", "data"),
        {},
        "`root` is data but applies only to mnist, fashion-mnist, kmnist, cifar10,",
    ),
    "a size for MNIST": (("mnist",), {"size": 32}, "`size` applies only to a folder of images, which mnist is"),
}


@pytest.mark.parametrize(("arguments", "options", "sentence"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load(*arguments, **options)
