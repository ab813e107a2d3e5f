"""Settings as TOML with any content, and settings of another version."""

import json
import shutil
import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastcnn
from fastcnn import _files, training
from fastcnn._text import unicode_text
from fastcnn.commands import settings
from fastcnn.commands.parts import make_augment
from tests.command_line import call

NUMBERS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    NUMBERS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def parsed(**values):
    return tomllib.loads(settings.toml(values))


@given(st.dictionaries(st.text(), VALUES))
@example({"": "\x7f\x80\x85\u2028\ufeff\U0001f600", "a\nb": [], "\"'\\": {"\r\n\t\0": "\\u0041"}})
@example({"float": [1e16, 1e-05, -0.0, 5e-324, float("inf"), -float("inf")], "int": -(2**63), "bool": [True, False]})
def test_any_table_comes_back(table):
    assert repr(parsed(augment=table)) == repr({"augment": table})  # distinguishes 1, 1.0, True, and 0.0, -0.0


@given(st.text(st.characters()))
@example("\ud83d")
@example("caf\udce9/😀")
@example("\udce9\udce9\n")
def test_any_text_is_toml_and_what_is_not_unicode_is_said(name):
    text = settings.toml({"data": name, "epochs": 3})
    text.encode()
    assert tomllib.loads(text) == {"data": unicode_text(name), "epochs": 3}
    assert ("# a name here is not UTF-8" in text) == (unicode_text(name) != name)


def test_what_is_not_unicode_has_a_mark_for_each_byte():
    assert unicode_text("a\udce9\udce8b") == "a\ufffd\ufffdb"
    assert unicode_text("a😀é") == "a😀é"


def test_a_file_may_begin_with_a_mark_of_windows(tmp_path):
    (tmp_path / "run.toml").write_bytes(b"\xef\xbb\xbfepochs = 3\r\n")
    assert settings.read_file(tmp_path / "run.toml") == {"epochs": 3}


@pytest.fixture
def changed(trained_run, tmp_path):
    """A function that copies the run and changes its newest checkpoint, as if written by another version."""

    def change(part, name, value):
        run = shutil.copytree(trained_run, tmp_path / "run")
        newest = training.checkpoint.checkpoints(run)[-1]
        arrays, metadata = _files.read_arrays(newest)
        header = json.loads(metadata["fastcnn_checkpoint"])
        header["versions"]["fastcnn"] = "9.1"
        (header if part == "architecture" else header["settings"])[part][name] = value
        text = json.dumps(header)
        sums = training.checkpoint._sum(text, arrays)
        _files.write_arrays(newest, arrays, {"fastcnn_checkpoint": text, "sha256": sums})
        return run

    return change


UNKNOWN = {
    "a setting": (("settings", "mixup", 0.2), "has settings 'mixup' that "),
    "a setting's value": (("settings", "optimizer", "lion"), "the setting optimizer has a value that "),
    "preprocessing": (("preprocessing", "whiten", True), "has preprocessing 'whiten' that "),
    "data": (("data", "boxes", True), "has data 'boxes' that "),
    "architecture": (("architecture", "quantized", True), "has architecture 'quantized' that "),
}


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "export"])
@pytest.mark.parametrize(("change", "sentence"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_another_version_knew_is_refused(changed, tmp_path, capsys, command, change, sentence):
    run = changed(*change)
    before = {path: path.read_bytes() for path in run.iterdir()}
    more = {"predict": [tmp_path / "a.png"], "export": ["--out", tmp_path / "a.onnx"]}.get(command, [])
    code, stdout, stderr = call(capsys, command, *(["--resume"] if command == "train" else []), run, *more)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1)
    whose = f"fastcnn {fastcnn.__version__} does not know; it was written by fastcnn 9.1"
    assert f"{sentence}{whose}" in stderr
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_augmentations_are_chosen_by_name():
    assert make_augment({}, 32, [0.5]) is None
    crop, shift = make_augment({"crop": True, "flip": False, "shift": 3}, 32, [0.5]).augments
    assert (type(crop).__name__, crop.size, crop.padding) == ("PadAndCrop", (32, 32), 4)
    assert (type(shift).__name__, shift.pixels) == ("Shift", 3)
