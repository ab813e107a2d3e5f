"""CIFAR-10's binary files: extracted, in the archive and from a mirror."""

import dataclasses
import functools
import gc
import hashlib
import http.server
import importlib
import io
import re
import tarfile
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

from fastcnn.data import DataError, DownloadError, cifar10
from fastcnn.data.cifar import _records

module = importlib.import_module("fastcnn.data.cifar")
NAMES = module.TRAIN + module.TEST


def batches():
    """Map file names to contents: file i has i + 1 images of label i, with red 10 * i, green 1 more and blue 2 more."""
    files = {}
    for i, name in enumerate(NAMES):
        record = bytes([i]) + b"".join(bytes([10 * i + c]) * 1024 for c in range(3))
        files[name] = record * (i + 1)
    return files


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path, files, folder="cifar-10-batches-bin/", mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in {"batches.meta.txt": b"airplane\n", **files, "readme.html": b"<html>"}.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv("FASTCNN_DATA", raising=False)


def check(train, test):
    assert train.images.shape == (15, 3, 32, 32)
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int64)
    assert train.labels.tolist() == [0] + [1] * 2 + [2] * 3 + [3] * 4 + [4] * 5
    assert test.labels.tolist() == [5] * 6
    np.testing.assert_array_equal(train.images[:, :, 31, 31], 10 * train.labels[:, None] + np.arange(3))
    assert train.images.flags.c_contiguous
    assert train.classes == test.classes
    assert (train.classes[0], train.classes[9]) == ("airplane", "truck")


@pytest.mark.parametrize("place", [".", "cifar-10", "cifar-10-batches-bin", "cifar-10/cifar-10-batches-bin"])
def test_the_extracted_files(tmp_path, place):
    folder = write(tmp_path / place, batches())
    check(*cifar10(tmp_path))
    assert cifar10(tmp_path)[0].source == f"CIFAR-10 from {folder}"


@pytest.mark.parametrize("place", [".", "cifar-10"])
def test_the_archive_is_read_and_nothing_extracted(tmp_path, place, monkeypatch):
    path = archive(tmp_path / place / "cifar-10-binary.tar.gz", batches())
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path))
    check(*cifar10())
    assert cifar10()[0].source == f"CIFAR-10 from {path}"
    assert list(path.parent.iterdir()) == [path]


def test_a_record_is_its_label_then_red_green_blue_row_by_row(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    write(tmp_path, batches() | {"test_batch.bin": b"\7" + pixels.tobytes()})
    test = cifar10(tmp_path)[1]
    np.testing.assert_array_equal(test.images[0], pixels)
    assert test.labels.tolist() == [7]


def test_paths_in_the_archive_lead_nowhere(tmp_path):
    archive(tmp_path / "data" / "cifar-10-binary.tar.gz", batches(), folder="../../evil/")
    check(*cifar10(tmp_path / "data"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_lacks_files(tmp_path):
    files = batches()
    del files["test_batch.bin"]
    write(tmp_path, files)
    sentence = (
        f"`root` is {tmp_path}, but neither it nor its subfolders cifar-10 and cifar-10-batches-bin hold cifar-10-"
    )
    with pytest.raises(FileNotFoundError, match=re.escape(sentence)):
        cifar10(tmp_path)


BAD_FILES = {
    "empty": (b"", "has 0 bytes but must have 3073 for each image, and from 1 to 10,000 images."),
    "truncated": (bytes(2 * 3073 - 1), "has 6145 bytes but must have 3073 for each image"),
    "more images than there are": (bytes(3073 * 10_001), "has 30733073 bytes but must have 3073"),
    "a label above nine": (bytes(3073) + b"\x0a" + bytes(3072), ": label 1 is 10 but must be from 0 to 9."),
    "the Python version": (b"\x80\x02}q\x01(U", "has 7 bytes but must have 3073"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["extracted", "archive"])
@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_named(tmp_path, content, sentence, packed):
    files = batches() | {"data_batch_3.bin": content}
    if packed:
        path = f"{archive(tmp_path / 'cifar-10-binary.tar.gz', files)}, cifar-10-batches-bin/data_batch_3.bin"
    else:
        path = write(tmp_path, files) / "data_batch_3.bin"
    with pytest.raises(DataError, match=re.escape(f"{path} {sentence}".replace(" :", ":"))):
        cifar10(tmp_path)


def test_an_archive_that_lacks_a_file(tmp_path):
    path = archive(tmp_path / "cifar-10-binary.tar.gz", {NAMES[0]: batches()[NAMES[0]]})
    lacks = "data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin"
    with pytest.raises(DataError, match=re.escape(f"{path} lacks {lacks}; it must be CIFAR-10's binary version.")):
        cifar10(tmp_path)


def test_a_link_in_the_archive_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(3073))
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in NAMES:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
            tar.addfile(member)
    with pytest.raises(DataError, match="lacks data_batch_1"):
        cifar10(tmp_path)


def test_a_member_that_claims_a_terabyte_costs_no_memory(tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    member.size = 3073 << 28
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="has 824902156288 bytes but must have 3073"):
            cifar10(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cut", [0, 1, 20, 100, -400, -9])
def test_an_archive_that_was_cut_off(tmp_path, cut):
    noise = np.random.default_rng(0).integers(0, 10, 3073, dtype=np.uint8).tobytes()  # hardly compressible
    path = archive(tmp_path / "cifar-10-binary.tar.gz", dict.fromkeys(NAMES, noise))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=re.escape(str(path))):
        cifar10(tmp_path)


def test_damage_to_any_byte_of_the_archive_is_found_or_harmless(tmp_path):
    path = archive(tmp_path / "cifar-10-binary.tar.gz", batches())
    whole = path.read_bytes()
    found = 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            check(*cifar10(tmp_path))
        except DataError:
            found += 1
    assert found > 0.9 * len(whole) / 3


# ---- the cache and the network ----


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # after a 404, pooch does not close its connection
def test_it_is_downloaded_to_the_cache(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    path = archive(tmp_path / "mirror" / "cifar-10-binary.tar.gz", batches())
    handler = functools.partial(_Quiet, directory=tmp_path / "mirror")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
        source = dataclasses.replace(module.CIFAR10, mirrors=(url + "nowhere/", url), sha256=sums)
        monkeypatch.setattr(module, "CIFAR10", source)
        check(*cifar10())
        path.unlink()
        check(*cifar10())
        (tmp_path / "cache" / "fastcnn" / "cifar-10" / path.name).unlink()
        path.write_bytes(b"please sign in to this network")
        sentence = (
            f"CIFAR-10 could not be downloaded (127.0.0.1:{server.server_port}: HTTPError; "
            f"127.0.0.1:{server.server_port}: the SHA-256 of {path.name} is wrong). Put {path.name} into "
            f"{tmp_path / 'cache' / 'fastcnn' / 'cifar-10'}, or all of its files into a folder"
        )
        with pytest.raises(DownloadError, match=re.escape(sentence)):
            cifar10()
        server.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_file_that_becomes_shorter_while_it_is_read():
    with pytest.raises(DataError, match=r"x\.bin ends after 100 of 3073 bytes"):
        _records(io.BytesIO(bytes(100)), 3073, "x.bin")
