"""Errors of the system about files, as sentences."""

import errno
import os
import re

import pytest

from fastcnn import _files, data
from fastcnn.__main__ import main
from fastcnn.commands.errors import sentence


def raised(call, *arguments) -> OSError:
    with pytest.raises(OSError) as error:  # noqa: PT011  the class differs between systems
        call(*arguments)
    return error.value


def test_each_names_the_path_and_what_was_needed(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for call, *arguments, said in (
        (open, tmp_path / "none", "none: there is no such file or folder."),
        (_files.read_arrays, tmp_path / "none", "none: there is no such file or folder."),
        (_files.read_arrays, tmp_path, f"{tmp_path}: it is a folder, but must be a file."),
        (os.listdir, tmp_path / "none", "none: there is no such file or folder."),
        (open, tmp_path, f"{tmp_path}: it is a folder, but must be a file."),
        (open, tmp_path / "file" / "a", "file/a: a part of this path is a file, but must be a folder."),
        (os.mkdir, tmp_path / "file", "file: it exists already and is not a folder."),
        (open, tmp_path / ("a" * 300), f"{'a' * 300}: File name too long."),
    ):
        assert sentence(raised(call, *arguments)).endswith(said)


def test_words_of_ones_own_come_without_a_number(tmp_path):
    said = sentence(raised(_files.write, tmp_path / "none" / "a", b"abc"))
    assert said == f"Cannot write {tmp_path / 'none' / 'a'} (3 bytes): No such file or directory."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_only_files_are_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    before = sorted(tmp_path.iterdir())
    for path, kind in (
        ("folder", "folder"), (".", "folder"), ("/", "folder"), ("pipe", "device or a pipe"),
        ("link", "device or a pipe"),
    ):  # fmt: skip
        said = sentence(raised(_files.write, path, b"abc"))
        assert said == f"Cannot write {path} (3 bytes): it is a {kind}, but must be a file."
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_the_file_that_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    for content in (b"new", b"other"):
        _files.write(tmp_path / "link", content)
        assert (tmp_path / "there" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: permission denied; the current user may not re"),
        (PermissionError(errno.EACCES, "Permission denied", b"a\xe9"), "a\udce9: permission denied; "),
        (OSError(errno.ENOSPC, "No space left on device", "a"), "a: No space left on device."),
        (OSError(errno.EIO, "Input/output error"), "Input/output error."),
        (OSError("There is no picture."), "There is no picture."),
        (FileNotFoundError("There is no run a."), "There is no run a."),
        (ValueError("[Errno 3] is none"), "[Errno 3] is none"),
    ],
)
def test_no_error_begins_with_a_number(error, said):
    assert sentence(error).startswith(said)


def test_a_relative_path_that_does_not_exist_is_said_in_full(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    here = f"(in full: {tmp_path / 'none'})"
    assert sentence(raised(open, "none")) == f"none {here}: there is no such file or folder."
    for command, said in (
        (["evaluate", "none"], f"There is no run and no checkpoint none {here}."),
        (["predict", "none", "a.png"], f"There is no run and no checkpoint none {here}."),
        (["export", "none", "--out", "a.onnx"], f"There is no run, no checkpoint and no model none {here}; the models"),
        (["plot", "none", "--out", "a.png"], f"none {here}: there is no such file or folder."),
        (["train", "--data", "no/such"], f"no .npz archive no/such (in full: {tmp_path / 'no' / 'such'})."),
        (["train", "--weights", "none"], f"no checkpoint {tmp_path / 'none'}."),
    ):
        assert main(command) in (1, 2)
        assert said in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=re.escape(f"`root` is none {here}, but there is no such folder.")):
        data.mnist("none")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the current folder")
def test_the_current_folder_may_be_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert sentence(raised(open, "none")) == "none: there is no such file or folder."
