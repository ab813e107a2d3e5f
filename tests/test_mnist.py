"""MNIST and similar data sets from folders, the cache and mirrors, and the built-in digits where they are missing."""

import dataclasses
import functools
import gc
import gzip
import hashlib
import http.server
import importlib
import os
import re
import sys
import threading
import warnings

import numpy as np
import pytest

from fastcnn.data import (
    ArrayDataset,
    DataError,
    DownloadError,
    fashion_mnist,
    kmnist,
    mean_and_std,
    mnist,
    mnist_or_digits,
    sources,
)

module = importlib.import_module("fastcnn.data.mnist")  # `fastcnn.data.mnist` is the function
NAMES = module.TRAIN + module.TEST
REAL = os.environ.get("FASTCNN_DATA")  # the tests themselves do not use it


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def small_mnist():
    """Map file names to contents, with five training and three test images."""
    rng = np.random.default_rng(0)
    return {
        NAMES[0]: idx(rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)),
        NAMES[1]: idx(np.array([5, 0, 4, 1, 9], np.uint8)),
        NAMES[2]: idx(rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)),
        NAMES[3]: idx(np.array([7, 2, 1], np.uint8)),
    }


def write(folder, files, compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        folder.joinpath(name + ".gz" * compress).write_bytes(gzip.compress(content, mtime=0) if compress else content)
    return folder


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv("FASTCNN_DATA", raising=False)


# ---- folders ----


@pytest.mark.parametrize("place", [".", "mnist"], ids=["in the folder", "in its subfolder"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_a_folder_that_is_named(tmp_path, place, compress):
    folder = write(tmp_path / place, small_mnist(), compress)
    train, test = mnist(tmp_path)
    assert train.images.shape == (5, 1, 28, 28)
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int64)
    assert train.images.tobytes() == small_mnist()[NAMES[0]][16:]
    assert train.labels.tolist() == [5, 0, 4, 1, 9]
    assert train.classes == test.classes == tuple("0123456789")
    assert test.labels.tolist() == [7, 2, 1]
    assert train.source == test.source == f"MNIST from {folder}"


def test_the_folder_of_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCNN_DATA", str(write(tmp_path, small_mnist())))
    assert len(mnist()[0]) == 5
    assert mnist_or_digits()[1].source == f"MNIST from {tmp_path}"


def test_root_goes_before_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path / "nowhere"))
    assert len(mnist(write(tmp_path / "here", small_mnist()))[0]) == 5


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "data", small_mnist())
    assert len(mnist("~/data")[0]) == 5


@pytest.mark.parametrize("load", [mnist, mnist_or_digits])
@pytest.mark.parametrize("named_by", ["`root`", "FASTCNN_DATA"])
def test_a_named_folder_that_lacks_files_is_an_error_and_nothing_is_downloaded(tmp_path, monkeypatch, named_by, load):
    monkeypatch.setattr(sources.Source, "_download", lambda source, folder: pytest.fail("a download was started"))

    def refuses(folder, sentence):
        if named_by == "FASTCNN_DATA":
            monkeypatch.setenv("FASTCNN_DATA", str(folder))
        with pytest.raises(FileNotFoundError, match=re.escape(f"{named_by} is {folder}, but {sentence}")):
            load(folder if named_by == "`root`" else None)

    refuses(tmp_path / "nowhere", "there is no such folder.")
    refuses(tmp_path, f"{tmp_path} and its subfolder mnist lack {', '.join(NAMES)} (plain or with .gz).")
    files = small_mnist()
    del files[NAMES[1]], files[NAMES[3]]
    write(tmp_path / "mnist", files)
    refuses(tmp_path, f"{tmp_path / 'mnist'} lacks {NAMES[1]}, {NAMES[3]} (plain or with .gz).")


@pytest.mark.parametrize(
    ("load", "folder", "title", "classes"),
    [
        (fashion_mnist, "fashion-mnist", "Fashion-MNIST", ("T-shirt/top", "Ankle boot")),
        (kmnist, "kmnist", "KMNIST", ("o", "wo")),
    ],
    ids=["Fashion-MNIST", "KMNIST"],
)
def test_mnists_relatives_are_read_alike(tmp_path, monkeypatch, load, folder, title, classes):
    place = write(tmp_path / folder, small_mnist())
    for root in (tmp_path, place):
        train, test = load(root)
        assert (train.source, train.classes[0], train.classes[9]) == (f"{title} from {place}", *classes)
        assert (train.labels.tolist(), test.labels.tolist()) == ([5, 0, 4, 1, 9], [7, 2, 1])
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path))
    assert load()[0].source == f"{title} from {place}"
    monkeypatch.setenv("FASTCNN_DATA", str(place))  # files directly in this folder would be MNIST's
    with pytest.raises(FileNotFoundError, match=re.escape(f"FASTCNN_DATA is {place}, but {place / folder} lacks ")):
        load()


def test_a_folder_of_several_data_sets_keeps_them_apart(tmp_path):
    write(tmp_path, small_mnist())
    other = small_mnist() | {NAMES[3]: idx(np.array([0, 0, 0], np.uint8))}
    write(tmp_path / "kmnist", other)
    assert mnist(tmp_path)[1].labels.tolist() == [7, 2, 1]
    assert kmnist(tmp_path)[1].labels.tolist() == [0, 0, 0]


def test_sums_are_sha256_and_no_two_files_share_one():
    sums = [sum for source in (module.MNIST, module.FASHION_MNIST, module.KMNIST) for sum in source.sha256.values()]
    assert len(set(sums)) == 12
    assert all(re.fullmatch("[0-9a-f]{64}", sum) for sum in sums)


BAD = {
    "images and labels swapped": (
        {NAMES[0]: small_mnist()[NAMES[1]], NAMES[1]: small_mnist()[NAMES[0]]},
        NAMES[0],
        "the shape is (5,) and the dtype uint8 but must be (N, 28, 28), with at least one image, and uint8",
    ),
    "images in the place of the labels": (
        {NAMES[3]: small_mnist()[NAMES[2]]},
        NAMES[3],
        "the shape is (3, 28, 28) and the dtype uint8 but must be (N,) and uint8",
    ),
    "other images": ({NAMES[2]: idx(np.zeros((3, 32, 32), np.uint8))}, NAMES[2], "the shape is (3, 32, 32)"),
    "no images": ({NAMES[2]: idx(np.zeros((0, 28, 28), np.uint8))}, NAMES[2], "the shape is (0, 28, 28)"),
    "another type": ({NAMES[1]: b"\0\0\x09\1\0\0\0\5" + bytes(5)}, NAMES[1], "the dtype int8 but"),
    "test labels with training images": (
        {NAMES[1]: small_mnist()[NAMES[3]]},
        NAMES[0],
        f"{NAMES[1]} has 3 labels but ",
    ),
    "a label above nine": (
        {NAMES[3]: idx(np.array([7, 10, 1], np.uint8))},
        NAMES[3],
        "label 1 is 10 but must be from 0 to 9.",
    ),
    "a truncated file": (
        {NAMES[0]: small_mnist()[NAMES[0]][:-1]},
        NAMES[0],
        "promises 3920 bytes of items (shape (5, 28, 28), uint8) but 3919 follow it.",
    ),
}


@pytest.mark.parametrize("load", [mnist, mnist_or_digits])
@pytest.mark.parametrize(("files", "name", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_is_named_and_never_replaced_by_digits(tmp_path, files, name, sentence, load):
    write(tmp_path, small_mnist() | files)
    with pytest.raises(DataError, match=re.escape(sentence)) as error:
        load(tmp_path)
    assert str(tmp_path / name) in str(error.value)


# ---- the cache and the network ----


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder that replaces the user's."""
    pooch = pytest.importorskip("pooch", reason="pooch, which downloads, is not installed: pip install pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "fastcnn" / "mnist"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    """Two folders, served from this machine, that replace the mirrors; the first one is initially empty."""
    monkeypatch.setenv("NO_PROXY", "*")
    folders = [tmp_path / "first", write(tmp_path / "second", small_mnist(), compress=True)]
    folders[0].mkdir()
    servers = []
    for folder in folders:
        handler = functools.partial(_Quiet, directory=folder)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
    urls = tuple(f"http://127.0.0.1:{server.server_port}/" for server in servers)
    sums = {file: hashlib.sha256((folders[1] / file).read_bytes()).hexdigest() for file in module.MNIST.sha256}
    monkeypatch.setattr(module, "MNIST", dataclasses.replace(module.MNIST, mirrors=urls, sha256=sums))
    yield folders
    for server in servers:
        server.shutdown()
        server.server_close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # after a 404, pooch does not close its connection
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # see `mirrors`
def test_a_download_goes_to_the_cache_and_is_used_again(cache, mirrors, capfd):
    level = sys.modules["pooch"].get_logger().level
    train, _ = mnist()
    assert train.labels.tolist() == [5, 0, 4, 1, 9]
    assert train.source == f"MNIST from {cache}"
    assert sorted(path.name for path in cache.iterdir()) == sorted(module.MNIST.sha256)
    assert capfd.readouterr() == ("", "")  # no log, and no progress bar without a terminal
    assert sys.modules["pooch"].get_logger().level == level

    for path in mirrors[1].iterdir():
        path.unlink()
    assert len(mnist()[0]) == 5
    assert mnist_or_digits()[0].source == f"MNIST from {cache}"


def test_a_mirror_whose_file_has_another_hash_is_not_believed(cache, mirrors):
    for path in mirrors[1].iterdir():
        (mirrors[0] / path.name).write_bytes(path.read_bytes())
    (mirrors[0] / "t10k-labels-idx1-ubyte.gz").write_bytes(b"please sign in to this network")
    assert mnist()[1].labels.tolist() == [7, 2, 1]  # from the second mirror
    (mirrors[1] / "t10k-labels-idx1-ubyte.gz").write_bytes(b"please sign in to this network")
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+: the SHA-256 of t10k-labels-idx1-ubyte\.gz is wrong"):
        mnist()
    assert not (cache / "t10k-labels-idx1-ubyte.gz").exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_interrupted_download_goes_on_with_the_files_that_are_missing(cache, mirrors):
    last = mirrors[1] / "t10k-labels-idx1-ubyte.gz"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DownloadError, match=re.escape(f"HTTPError). Put {last.name} into {cache}, or all of its")):
        mnist()
    for path in mirrors[1].iterdir():
        path.unlink()
    last.write_bytes(content)
    assert mnist()[1].labels.tolist() == [7, 2, 1]


def test_the_real_mirrors_are_asked_in_turn(cache, monkeypatch):
    pooch = sys.modules["pooch"]
    calls = []

    def retrieve(url, known_hash, fname, path, downloader):
        assert path == cache
        calls.append((url, known_hash, downloader.kwargs["timeout"]))
        if "ossci" in url:
            raise ConnectionError("no route to host")
        write(cache, {fname: gzip.compress(small_mnist()[fname.removesuffix(".gz")])})

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(mnist()[0]) == 5
    first = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    files = list(module.MNIST.sha256)
    assert [url for url, _, _ in calls] == [first[0] + files[0], *(first[1] + file for file in files)]
    assert calls[0][1:] == (f"sha256:{module.MNIST.sha256[files[0]]}", 10)


@pytest.fixture
def offline(cache, monkeypatch):
    def retrieve(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(sys.modules["pooch"], "retrieve", retrieve)
    return cache


OFFLINE = (
    "MNIST could not be downloaded (ossci-datasets.s3.amazonaws.com: ConnectionError; "
    "storage.googleapis.com: ConnectionError)"
)


def test_without_a_network_the_error_says_what_to_put_where(offline):
    with pytest.raises(DownloadError) as error:
        mnist()
    assert str(error.value) == (
        f"{OFFLINE}. Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        f"t10k-labels-idx1-ubyte.gz into {offline}, or all of its files into a folder that you name by `root` or "
        "FASTCNN_DATA."
    )
    assert isinstance(error.value, OSError)
    assert isinstance(error.value.__cause__, ConnectionError)


def test_download_false_does_not_download(cache, monkeypatch):
    monkeypatch.setattr(sources.Source, "_download", lambda source, folder: pytest.fail("a download was started"))
    with pytest.raises(FileNotFoundError, match="The cache folder is "):
        mnist(download=False)


def few_digits():
    images = np.zeros((2, 1, 28, 28), np.uint8)
    return (ArrayDataset(images, np.arange(2), "built-in digits, seed 0"),) * 2


def test_without_a_network_there_are_digits_and_the_source_says_why(offline, monkeypatch):
    monkeypatch.setattr(module, "digits", few_digits)
    for data in mnist_or_digits():
        assert data.source == f"built-in digits, because no MNIST folder was given and {OFFLINE}"
        assert len(data) == 2


def test_without_pooch_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DownloadError, match=r"Downloading MNIST needs pooch: pip install pooch\. Or name a f"):
        mnist()
    monkeypatch.setattr(module, "digits", few_digits)
    source = "built-in digits, because no MNIST folder was given and pooch is not installed"
    assert mnist_or_digits()[0].source == source


def test_a_damaged_file_in_the_cache_is_not_hidden_by_digits(cache):
    write(cache, small_mnist() | {NAMES[0]: b"\0\0\x08"})
    with pytest.raises(DataError, match="the file ends within the magic number"):
        mnist_or_digits()


# ---- the real files, and ArrayDataset ----


@pytest.mark.skipif(not REAL, reason="FASTCNN_DATA names no folder with the real MNIST")
def test_the_real_mnist():
    train, test = mnist(REAL)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert hashlib.md5(idx(train.images[:, 0])).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert hashlib.md5(idx(test.images[:, 0])).hexdigest() == "2646ac647ad5339dbf082846283269ea"
    assert mean_and_std(train.images) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_files_are_as_many_as_images():
    with pytest.raises(ValueError, match=re.escape("`files` has 1 names but there are 2 images.")):
        ArrayDataset(np.zeros((2, 1, 1, 1), np.uint8), np.zeros(2, np.int64), "pictures", (), ("a.png",))


IMAGES, LABELS = np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int64)
BAD_ARRAYS = {
    "float images": (
        IMAGES / 255,
        LABELS,
        TypeError,
        "`images` must be uint8 (grey levels from 0 to 255), not float64",
    ),
    "images without channels": (IMAGES[:, 0], LABELS, ValueError, "(N, C, H, W), but its shape is (3, 2, 2)"),
    "no images": (IMAGES[:0], LABELS[:0], ValueError, "`images` is empty: its shape is (0, 1, 2, 2)"),
    "images in a list": (IMAGES.tolist(), LABELS, TypeError, "`images` must be a numpy array, not list"),
    "uint8 labels": (IMAGES, LABELS.astype(np.uint8), TypeError, "`labels` must be a numpy array of int64, not uint8"),
    "labels in a list": (IMAGES, [0, 0, 0], TypeError, "`labels` must be a numpy array of int64, not list"),
    "a label too few": (IMAGES, LABELS[:2], ValueError, "`labels` has shape (2,) but must have (3,)"),
    "a negative label": (IMAGES, LABELS - 1, ValueError, "`labels` holds -1, but its values must be from 0 to 9999."),
    "labels that are no classes": (IMAGES, LABELS + 10**15, ValueError, "`labels` holds 1000000000000000, but"),
}


@pytest.mark.parametrize(("images", "labels", "error", "sentence"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_data_set_checks_its_arrays(images, labels, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        ArrayDataset(images, labels, "bad")


def test_classes_have_names():
    assert ArrayDataset(IMAGES, np.array([0, 2, 1]), "unnamed").classes == ("0", "1", "2")
    assert ArrayDataset(IMAGES, LABELS, "named", ("cat", "dog")).classes == ("cat", "dog")
    with pytest.raises(ValueError, match=re.escape("`labels` holds 2, but its values must be from 0 to 1.")):
        ArrayDataset(IMAGES, LABELS + 2, "a class too few", ("cat", "dog"))
    with pytest.raises(TypeError, match="`classes` must be a tuple of names, not 'cat'"):
        ArrayDataset(IMAGES, LABELS, "one name", "cat")
