"""``fastcnn predict`` for folders and patterns, as JSON and CSV, including pictures that cannot be read."""

import csv
import io
import json

import numpy as np
import pytest

from fastcnn.commands import predict
from fastcnn.commands.pictures import picture_files
from tests.command_line import call
from tests.test_image_folder import save

PIXELS = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
NAMES = ("a.png", "b.JPG", "deep/er/c.png", "deep/d.bmp")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        save(tmp_path / "pics" / name, PIXELS)
    (tmp_path / "pics" / "notes.txt").write_text("no picture")
    (tmp_path / "pics" / ".hidden.png").write_text("no picture")
    return tmp_path / "pics"


def predicted(capsys, run, *given):
    code, stdout, stderr = call(capsys, "predict", run, *given, "--json", "--no-digit")
    return code, [item["image"] for item in json.loads(stdout)], stderr


def test_a_folder_is_all_pictures_in_it(trained_run, folder, capsys, monkeypatch):
    expected = [str(folder / name) for name in NAMES]
    said = f"{folder}: left out 1 file without the suffix of a picture.\n"
    assert predicted(capsys, trained_run, folder) == (0, [*expected[:2], expected[3], expected[2]], said)
    monkeypatch.setattr(predict, "AT_ONCE", 3)
    _, names, _ = predicted(capsys, trained_run, expected[2], folder, expected[0])
    assert names == [expected[2], *expected[:2], expected[3], expected[2], expected[0]]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a.png"]),
        ("?.[pJ]*", ["a.png", "b.JPG"]),
        ("**/*.png", ["a.png", "deep/er/c.png"]),
        ("de*", ["deep/d.bmp", "deep/er/c.png"]),
    ],
)
def test_a_pattern_that_the_shell_left(trained_run, folder, capsys, pattern, names):
    assert predicted(capsys, trained_run, folder / pattern) == (0, [str(folder / name) for name in names], "")


def test_a_file_that_looks_like_a_pattern_goes_before(trained_run, folder, capsys):
    save(folder / "[a].png", PIXELS)
    assert predicted(capsys, trained_run, folder / "[a].png")[1] == [str(folder / "[a].png")]


def test_what_fits_nothing_is_said(trained_run, folder, tmp_path, capsys):
    (tmp_path / "empty" / "er").mkdir(parents=True)
    for given, said in (
        (folder / "*.webp", f"There is no file {folder / '*.webp'}, and no file matches this as a pattern."),
        (tmp_path / "empty", f"{tmp_path / 'empty'} holds no pictures: no file has the suffix .jpg, .jpeg, "),
    ):
        code, stdout, stderr = call(capsys, "predict", trained_run, given)
        assert (code, stdout, stderr.count("\n")) == (1, "", 1)
        assert stderr.startswith(f"fastcnn predict: error: {said}")


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_what_cannot_be_read_is_said_and_left_out(trained_run, folder, capsys, form):
    (folder / "b.JPG").write_bytes(b"no picture")
    code, stdout, stderr = call(capsys, "predict", trained_run, folder, folder / "gone.png", form, "--no-digit")
    assert code == 1
    assert stderr.splitlines()[1:] == [
        f"fastcnn predict: error: {folder / 'b.JPG'} is not a picture that Pillow can read.",
        f"fastcnn predict: error: {folder / 'gone.png'}: there is no such file or folder.",
    ]
    names = [str(folder / name) for name in ("a.png", "deep/d.bmp", "deep/er/c.png")]
    if form == "--json":
        assert [item["image"] for item in json.loads(stdout)] == names
    else:
        assert [row["image"] for row in csv.DictReader(io.StringIO(stdout))] == names


def test_csv(trained_run, folder, capsys):
    odd = save(folder / 'one, "two".png', PIXELS)
    _, whole, _ = call(capsys, "predict", trained_run, odd, "--json", "--no-digit")
    (item,) = json.loads(whole)
    for top, given in ((1, ()), (3, ("--top", 3))):
        _, stdout, _ = call(capsys, "predict", trained_run, odd, "--csv", "--no-digit", *given)
        rows = list(csv.DictReader(io.StringIO(stdout)))
        assert [(row["image"], row["class"], float(row["probability"])) for row in rows] == [
            (str(odd), found["class"], found["probability"]) for found in item["classes"][:top]
        ]
    code, _, stderr = call(capsys, "predict", trained_run, odd, "--csv", "--json")
    assert code == 2
    assert "not allowed with argument" in stderr


def test_progress_where_there_is_a_terminal(trained_run, folder, capsys, monkeypatch):
    monkeypatch.setattr("fastcnn.commands.predict._has_terminal", lambda: True)
    code, _, stderr = call(capsys, "predict", trained_run, folder, "--csv", "--no-digit")
    assert code == 0
    assert "pictures:" in stderr


def test_links_to_folders_are_left_out(tmp_path):
    """A link to a folder could form a cycle; a link to a picture is one."""
    save(tmp_path / "a" / "1.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "a" / "2.png").symlink_to(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    assert sorted(path.name for path in picture_files([tmp_path])) == ["1.png", "2.png"]
