"""``fastcnn evaluate`` on folders of pictures: it uses the held-out pictures and matches classes by name."""

import json
import os
import shutil

import numpy as np
import pytest

from fastcnn import training
from fastcnn.commands import held_out
from fastcnn.commands.classes import with_classes
from fastcnn.data import ArrayDataset, DataError
from tests.command_line import SMALL, call, main

Image = pytest.importorskip("PIL.Image")

CLASSES = ("ant", "bee", "cat", "dog")


def write(folder, rng, count=20, names=CLASSES):
    """Write different pictures of noise; a bright corner indicates the class."""
    for name in names:
        (folder / name).mkdir(parents=True)
        corner = CLASSES.index(name.lower()) if name.lower() in CLASSES else 0
        for i in range(count):
            pixels = rng.integers(0, 60, (12, 12), dtype=np.uint8)
            pixels[corner // 2 * 6 :, corner % 2 * 6 :][:6, :6] += 180
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of 80 pictures and a run trained on it."""
    place = tmp_path_factory.mktemp("own")
    pictures = write(place / "pictures", np.random.default_rng(0))
    options = (*SMALL[:-1], 8, "--model", "mlp", "--epochs", 6, "--data", pictures, "--out", place / "run")
    assert main(["train", *map(str, options)]) == 0
    return pictures, place / "run"


@pytest.fixture
def own(trained, tmp_path, monkeypatch):
    """A copy of the folder that may be changed, and the run."""
    pictures, run = trained
    copy = shutil.copytree(pictures, tmp_path / "pictures")
    return copy, run


def evaluated(capsys, run, *options):
    code, stdout, stderr = call(capsys, "evaluate", run, "--json", *options)
    assert code == 0, stderr
    return json.loads(stdout), stderr


def failed(capsys, run, *options):
    code, stdout, stderr = call(capsys, "evaluate", run, *options)
    assert (code, stdout) == (1, "")
    return stderr.splitlines()[-1]


def test_the_run_writes_down_what_it_held_out(trained):
    pictures, run = trained
    names = training.latest_checkpoint(run).settings["data"]["held_out"]
    assert len(names) == 16
    assert all((pictures / name).is_file() for name in names)
    assert np.unique([name.split("/")[0] for name in names], return_counts=True)[1].tolist() == [4] * 4


def test_exactly_these_are_evaluated_whatever_was_added(trained, own, capsys):
    pictures, run = own
    record, stderr = evaluated(capsys, run, "--data", trained[0])
    assert stderr == f"Data: {trained[0]}, 16 held-out pictures of 80; 16 test images.\n"
    assert record["accuracy"] == 1
    for name in CLASSES:  # names that sort first and would shift a new random draw
        for i in range(3):
            Image.fromarray(np.full((12, 12), 255, np.uint8)).save(pictures / name / f"0 new {i}.png")
    (pictures / "eel").mkdir()
    Image.fromarray(np.full((12, 12), 255, np.uint8)).save(pictures / "eel" / "1.png")
    again, stderr = evaluated(capsys, run, "--data", pictures)
    assert "16 held-out pictures of 93; 16 test images." in stderr
    assert again == record


def test_the_runs_own_folder_needs_no_name(trained, capsys):
    pictures, run = trained
    record, stderr = evaluated(capsys, run)
    assert f"{pictures}, 16 held-out pictures of 80" in stderr
    assert record == evaluated(capsys, run, "--data", os.path.relpath(pictures))[0]


def test_pictures_that_are_gone_or_others_by_now_are_said(own, capsys):
    pictures, run = own
    names = sorted(training.latest_checkpoint(run).settings["data"]["held_out"])
    (pictures / names[0]).unlink()
    shutil.copy(pictures / names[2], pictures / names[1])
    record, stderr = evaluated(capsys, run, "--data", pictures)
    assert record["images"] == 14
    assert stderr.splitlines()[0] == (
        f"2 of the 16 pictures that the run held out are no longer in {pictures} or have changed, and are left "
        f"out: {names[0]}, {names[1]}."
    )


def test_they_are_known_under_other_names(own, capsys):
    pictures, run = own
    before, _ = evaluated(capsys, run, "--data", pictures)
    for folder in sorted(pictures.iterdir()):
        files = sorted(folder.iterdir())
        for file in files:
            file.rename(folder / f"was {file.name}")
        for i, file in enumerate(reversed(files)):  # some now have the former names of others
            (folder / f"was {file.name}").rename(folder / f"{i + 3:02d}.png")
        folder.rename(pictures / folder.name.upper())
    record, stderr = evaluated(capsys, run, "--data", pictures)
    assert f"Data: {pictures}, 16 held-out pictures of 80; 16 test images.\n" in stderr
    assert record["loss"] == pytest.approx(before["loss"])


def test_pictures_that_are_alike_are_counted_each(tmp_path):
    for name in ("a/1", "a/2", "a/3", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / f"{name}.png")
    digest = held_out._digest(tmp_path / "a/1.png")
    recorded = dict.fromkeys(("a/1.png", "a/8.png", "a/9.png"), digest)
    assert len(held_out.test_pictures(tmp_path, recorded, True, (4, 4), 1)) == 3
    recorded |= dict.fromkeys(("b/7.png", "b/8.png"), digest)
    assert held_out._found(tmp_path, ["a/1.png", "a/2.png", "a/3.png"], recorded) == (
        ["a/1.png", "a/2.png", "a/3.png"], ["a/8.png", "a/9.png"],
    )  # fmt: skip


def test_a_run_that_does_not_say_what_it_held_out(trained, tmp_path):
    with pytest.raises(DataError, match=r"The run does not record which pictures of .* it held out; name other"):
        held_out.test_pictures(trained[0], None, True, (12, 12), 1)
    assert len(held_out.test_pictures(trained[0], None, False, (12, 12), 1)) == 80


def test_a_folder_without_any_of_them_is_an_error_if_it_is_the_runs_own(trained, own, capsys, monkeypatch):
    pictures, run = own
    for name in training.latest_checkpoint(run).settings["data"]["held_out"]:
        (pictures / name).unlink()
    away = trained[0].rename(trained[0].with_name("away"))
    try:
        shutil.copytree(pictures, trained[0])
        assert f"16 of the 16 pictures that the run held out are no longer in {trained[0]}" in failed(capsys, run)
    finally:
        shutil.rmtree(trained[0])
        away.rename(trained[0])


def test_of_another_folder_all_are_evaluated(trained, tmp_path, capsys):
    other = write(tmp_path / "other", np.random.default_rng(1), 5)
    record, stderr = evaluated(capsys, trained[1], "--data", other)
    assert stderr == f"Data: {other}, all 20 pictures; 20 test images.\n"
    assert (record["images"], record["accuracy"]) == (20, 1)
    record, stderr = evaluated(capsys, trained[1], "--data", other, "--limit", 8)
    assert stderr == f"Data: {other}, all 20 pictures, 8 of 20 images; 8 test images.\n"
    assert np.sum(record["confusion"], axis=1).tolist() == [2, 2, 2, 2]


def test_of_a_folder_with_a_test_folder_that_is_taken(trained, tmp_path, capsys):
    for part, count in (("train", 2), ("test", 3)):
        write(tmp_path / "parts" / part, np.random.default_rng(2), count)
    record, stderr = evaluated(capsys, trained[1], "--data", tmp_path / "parts")
    assert (record["images"], record["accuracy"]) == (12, 1)
    assert stderr == f"Data: {tmp_path / 'parts' / 'test'}; 12 test images.\n"


def test_images_for_validation_are_called_so(trained, tmp_path, capsys):
    for part, count in (("train", 2), ("val", 3)):
        write(tmp_path / "parts" / part, np.random.default_rng(2), count)
    record, stderr = evaluated(capsys, trained[1], "--data", tmp_path / "parts")
    assert record["images"] == 12
    assert stderr == f"Data: {tmp_path / 'parts' / 'val'}; 12 validation images.\n"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("dog", "cat"), ""),  # two of four
        (("Dog", "cat", "BEE"), "The class BEE of the data is matched with the model's class bee.\n"
                                "The class Dog of the data is matched with the model's class dog.\n"),
    ],
    ids=["some", "another case"],
)  # fmt: skip
def test_classes_are_known_by_name(trained, tmp_path, capsys, names, said):
    other = write(tmp_path / "other", np.random.default_rng(1), 5, names)
    record, stderr = evaluated(capsys, trained[1], "--data", other)
    assert record["accuracy"] == 1
    assert [item["class"] for item in record["classes"]] == [*CLASSES]
    assert stderr.startswith(said + "Data: ")


def test_classes_that_are_not_known_are_said(trained, tmp_path, capsys):
    other = write(tmp_path / "other", np.random.default_rng(1), 5, ("ant", "Emu", "fox"))
    assert failed(capsys, trained[1], "--data", other) == (
        f"fastcnn evaluate: error: {other}, all 15 pictures: the model does not know the classes Emu, fox; it knows "
        "ant, bee, cat, dog."
    )


def labelled(*names, labels=None):
    count = len(names)
    labels = np.arange(count) if labels is None else np.array(labels)
    return ArrayDataset(np.zeros((len(labels), 1, 2, 2), np.uint8), labels, "data", names)


@pytest.mark.parametrize(
    ("data", "known", "labels"),
    [
        (labelled("b", "a"), ("a", "b"), [1, 0]),
        (labelled("a", "b", "x", labels=[1, 0, 1]), ("b", "a"), [0, 1, 0]),  # no image has the class x
        (labelled("A", "a"), ("a", "A", "b"), [1, 0]),
        (labelled("A", "b"), ("b", "a"), [1, 0]),
        (labelled("Straße", "E\u0301"), ("\u00e9", "STRASSE"), [1, 0]),
    ],
    ids=["by name", "unused", "case tells them apart", "another case", "other spellings"],
)
def test_labels_are_those_of_the_model(data, known, labels):
    found = with_classes(data, known)
    assert (found.labels.tolist(), found.classes) == (labels, known)


@pytest.mark.parametrize(
    ("data", "known", "unknown"),
    [
        (labelled("BEE", "ant"), ("bee", "Bee", "ant"), "BEE"),
        (labelled("Bee", "BEE"), ("bee", "ant"), "Bee, BEE"),
        (labelled("bee", "Bee"), ("bee", "ant"), "Bee"),
        (labelled("0", "1"), ("a", "b"), "0, 1"),
    ],
    ids=["two could be meant", "two for one", "taken already", "numbers are names"],
)
def test_what_could_be_another_class_is_refused(data, known, unknown):
    with pytest.raises(DataError, match=f"does not know the classes {unknown}; it knows {', '.join(known)}"):
        with_classes(data, known)


def test_numbers_count_only_where_none_is_a_name():
    def by_number(names, known, labels=None):
        return with_classes(labelled(*names, labels=labels), known, numbered=True).labels.tolist()

    assert by_number("012", ("cat", "dog", "eel")) == [0, 1, 2]
    assert by_number("012", ("2", "1", "0")) == [2, 1, 0]
    with pytest.raises(DataError, match="does not know the classes 0; it knows 1, 2, 3"):
        by_number("012", ("1", "2", "3"))
    with pytest.raises(DataError, match="a label is 2, but the model has 2 classes"):
        by_number("012", ("cat", "dog"))


def test_a_run_does_not_go_on_with_other_names(own, tmp_path, capsys):
    pictures, _ = own
    options = (*SMALL[:-1], 8, "--model", "mlp", "--epochs", 1, "--data", pictures, "--out", tmp_path / "run")
    assert call(capsys, "train", *options)[0] == 0
    (pictures / "bee").rename(pictures / "beetle")
    code, _, stderr = call(capsys, "train", "--resume", tmp_path / "run")
    assert code == 1
    assert "was trained on: its classes and the pictures held out differ." in stderr


def test_names_that_are_not_utf8(tmp_path, capsys):
    """Training, settings, evaluation with a figure, prediction and curves all work."""
    pytest.importorskip("matplotlib")
    ant, data, run = (os.fsdecode(name) for name in (b"ant\xe9", b"caf\xe9", b"run\xe9"))
    pictures = write(tmp_path / "pictures", np.random.default_rng(0), 10, ("ant", "bee"))
    try:
        (pictures / "ant").rename(pictures / ant)
    except OSError:
        pytest.skip("The file system does not allow such a name.")
    pictures, run = pictures.rename(tmp_path / data), tmp_path / run
    options = (*SMALL[:-1], 8, "--model", "mlp", "--epochs", 2, "--data", pictures, "--out", run)
    assert call(capsys, "train", *options)[0] == 0
    text = (run / "settings.toml").read_text("utf-8")
    assert f'data = "{tmp_path}/caf\ufffd"  # a name here is not UTF-8, which TOML cannot hold\n' in text
    code, _, stderr = call(capsys, "train", "--config", run / "settings.toml", "--out", tmp_path / "again")
    assert (code, stderr.count("\n")) == (1, 1)
    assert f"There is no folder of images and no .npz archive {tmp_path}/caf\ufffd." in stderr
    assert call(capsys, "train", "--resume", run)[0] == 0
    record, _ = evaluated(capsys, run, "--confusion", run / "c.png")
    assert [item["class"] for item in record["classes"]] == [ant, "bee"]
    assert call(capsys, "evaluate", run)[0] == 0
    code, stdout, _ = call(capsys, "predict", run, pictures / ant / "00.png", "--json")
    assert json.loads(stdout)[0]["image"] == str(pictures / ant / "00.png")
    assert call(capsys, "plot", run, run / "history.json", "--out", run / "p.png")[0] == 0
    assert call(capsys, "export", run, "--out", run / "a.safetensors")[0] == 0


def test_one_class_is_refused(tmp_path, capsys):
    pictures = write(tmp_path / "pictures", np.random.default_rng(0), 5, ("ant",))
    code, _, stderr = call(capsys, "train", *SMALL, "--data", pictures, "--out", tmp_path / "run")
    assert code == 1
    assert f"{pictures}: all training images are of the class ant, but two classes are needed." in stderr
    assert not (tmp_path / "run").exists()


# ---- pictures instead of a folder of classes ----


@pytest.mark.parametrize(
    ("given", "images"),
    [
        (["{new}/*/*.png"], 16),
        (["{new}/*/0[01].png", "{new}/ant/03.png"], 9),
        (["{new}/bee", "{new}/dog"], 8),
        (["{new}/bee"], 4),
        (["{new}/b*"], 4),
        (["{new}/cat/02.png"], 1),
        (["{new}/ant/more"], 1),
    ],
    ids=["a pattern", "patterns and a file", "folders", "a folder", "a pattern of folders", "a file", "below a class"],
)
def test_the_class_of_a_picture_is_its_folders_name(trained, tmp_path, capsys, monkeypatch, given, images):
    new = write(tmp_path / "new", np.random.default_rng(3), 4)
    if "more" in given[0]:
        (new / "ant" / "more").mkdir()
        shutil.copy(new / "ant" / "00.png", new / "ant" / "more")
    monkeypatch.chdir(tmp_path)
    for place in (new, "new"):  # with an absolute and a relative path
        names = [name.format(new=place) for name in given]
        record, stderr = evaluated(capsys, trained[1], "--data", *names)
        assert (record["images"], record["accuracy"]) == (images, 1)
        assert stderr == f"Data: {', '.join(names)}; {images} test images.\n"


def test_a_picture_of_no_class_is_said(trained, tmp_path, capsys):
    write(tmp_path / "new", np.random.default_rng(3), 4, ("emu",))
    assert failed(capsys, trained[1], "--data", tmp_path / "new" / "emu" / "0*.png") == (
        f"fastcnn evaluate: error: {tmp_path / 'new' / 'emu' / '00.png'} is in no folder with the name of a class: "
        "ant, bee, cat, dog."
    )
    pattern = tmp_path / "*.png"
    said = f"fastcnn evaluate: error: There is no file {pattern}, and no file matches this as a pattern."
    assert failed(capsys, trained[1], "--data", pattern) == said
