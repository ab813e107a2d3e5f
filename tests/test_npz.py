"""Reading NumPy archives, and the errors for every kind of bad one."""

import io
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from fastcnn.data import DataError, npz

GREY = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 3, 1, 2, 0, 1])


def arrays(**changes):
    return {"x_train": GREY, "y_train": LABELS, "x_test": GREY[:2], "y_test": LABELS[:2]} | changes


def refuses(path, sentence):
    with pytest.raises(DataError, match=re.escape(sentence)) as error:
        npz(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_as_keras_writes_it(tmp_path, save):
    save(tmp_path / "mnist.npz", **arrays())
    train, test = npz(str(tmp_path / "mnist.npz"))
    np.testing.assert_array_equal(train.images[:, 0], GREY, strict=True)
    assert (train.labels.tolist(), test.labels.tolist()) == (LABELS.tolist(), [0, 3])
    assert train.labels.dtype == np.int64
    assert train.classes == test.classes == ("0", "1", "2", "3")
    assert train.source == str(tmp_path / "mnist.npz")


COLOUR = np.random.default_rng(1).integers(0, 256, (6, 3, 8, 7), dtype=np.uint8)
SHAPES = {
    "channels first": (COLOUR, COLOUR),
    "channels last": (np.moveaxis(COLOUR, 1, 3), COLOUR),
    "channels last, in that order in memory": (np.ascontiguousarray(np.moveaxis(COLOUR, 1, 3)), COLOUR),
    "one channel first": (COLOUR[:, :1], COLOUR[:, :1]),
    "one channel last": (np.moveaxis(COLOUR[:, :1], 1, 3), COLOUR[:, :1]),
    "Fortran order": (np.asfortranarray(COLOUR), COLOUR),
}


@pytest.mark.parametrize(("images", "expected"), SHAPES.values(), ids=SHAPES)
def test_channels_are_where_there_are_1_or_3(tmp_path, images, expected):
    np.savez(tmp_path / "a.npz", **arrays(x_train=images, x_test=images[:2]))
    train, test = npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(train.images, expected, strict=True)
    assert train.images.flags.c_contiguous
    assert test.images.shape == (2, *expected.shape[1:])


@pytest.mark.parametrize("dtype", ["uint8", ">i4", "int64"])
def test_labels_of_any_whole_numbers_and_in_a_column(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", **arrays(y_train=LABELS.astype(dtype)[:, None], y_test=LABELS[:2].astype(dtype)))
    assert npz(tmp_path / "a.npz")[0].labels.tolist() == LABELS.tolist()


class Malice:
    def __reduce__(self):
        return pytest.fail, ("it unpickles",)


BAD = {
    "floats": ({"x_train": GREY / 255}, "x_train is float64 but must be of integers."),
    "other whole numbers": ({"x_train": GREY.astype(int)}, "x_train: the shape is (6, 4, 5) and the dtype int64 but"),
    "one image": ({"x_test": GREY[0]}, "x_test: the shape is (4, 5) and the dtype uint8 but must be (N, H"),
    "no images": ({"x_test": GREY[:0]}, "x_test: the shape is (0, 4, 5) and the dtype uint8 but must be (N, "),
    "no channels": (
        {"x_train": np.zeros((6, 4, 5, 2), np.uint8)},
        "x_train: the shape is (6, 4, 5, 2) but must have 1 or 3 channels on either the second or the last axis",
    ),
    "channels on either side": ({"x_train": np.zeros((6, 3, 5, 3), np.uint8)}, "either the second or the last"),
    "test images of another size": ({"x_test": GREY[:2, 1:]}, "the images of x_train have shape (1, 4, 5) but"),
    "a label too few": ({"y_train": LABELS[:5]}, "y_train: the shape is (5,) but must be (6,), one label for each"),
    "one-hot labels": ({"y_train": np.eye(6, dtype=int)}, "y_train: the shape is (6, 6) but must be (6,)"),
    "a negative label": ({"y_train": LABELS - 1}, "y_train holds -1, but labels must be from 0 to 9999."),
    "a huge label": ({"y_test": np.array([0, 2**63], np.uint64)}, "y_test holds 9223372036854775808, but labels"),
    "labels in words": ({"y_test": np.array(["cat", "dog"])}, "y_test is <U3 but must be of integers."),
    "objects": ({"y_train": np.array([Malice()] * 6, object)}, "y_train is object but must be of integers."),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), BAD.values(), ids=BAD)
def test_bad_arrays(tmp_path, changes, sentence):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    refuses(tmp_path / "bad.npz", sentence)


def test_arrays_that_are_missing_are_named_and_those_that_are_there(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, y_train=LABELS)
    refuses(tmp_path / "a.npz", "a.npz lacks x_train, x_test, y_test; it holds images, y_train.")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    refuses(tmp_path / "empty.npz", "lacks x_train, y_train, x_test, y_test; it holds nothing.")


def test_what_is_no_archive(tmp_path):
    for content in (b"", b"text", bytes(1000), pickle_of_nothing()):
        (tmp_path / "a.npz").write_bytes(content)
        refuses(tmp_path / "a.npz", "the archive is damaged or not an .npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        npz(tmp_path / "nowhere.npz")


def pickle_of_nothing():
    stream = io.BytesIO()
    np.save(stream, np.array([None]), allow_pickle=True)
    return stream.getvalue()


def member(array_header: str, data: bytes) -> bytes:
    """Make a .npy file with any header."""
    header = array_header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def header(shape, descr="|u1", order=False):
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


BAD_MEMBERS = {
    "empty": (b"", "the array's header is damaged"),
    "no array": (b"0 1 2 3", "the array's header is damaged"),
    "a later version": (b"\x93NUMPY\x03\x00" + bytes(20), "the array's header is damaged (its version is (3, 0))"),
    "a header that ends early": (b"\x93NUMPY\x01\x00\xff\x00{", "the array's header is damaged"),
    "code in the header": (member("__import__('os').abort()", b""), "the array's header is damaged"),
    "a shape that is none": (member(header("'six'"), b""), "the array's header is damaged"),
    "a long header": (member(header((6,)) + " " * 60_000, b""), "the array's header is damaged"),
    "a byte too few": (member(header((6,)), bytes(5)), "the header says 6 bytes (uint8, (6,)) but 5 follow."),
    "a byte too many": (member(header((6,)), bytes(7)), "the header says 6 bytes (uint8, (6,)) but 7 follow."),
    "a terabyte promised": (member(header((1 << 40,)), bytes(7)), "the header says 1099511627776 bytes (uint8,"),
    "negative sizes": (member(header((-2, -3)), bytes(6)), "y_train"),
    "records": (member(header((6,), [("a", "|u1")]), bytes(6)), "but must be of integers."),
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize(("content", "sentence"), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_bad_members(tmp_path, content, sentence, compression):
    path = tmp_path / "bad.npz"
    np.savez(path, **{key: array for key, array in arrays().items() if key != "y_train"})
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr("y_train.npy", content)
    refuses(path, sentence)


def test_sizes_that_the_file_cannot_hold_cost_no_memory(tmp_path):
    """Header and directory of the archive agree on 2**40 bytes, but the file has a few hundred."""
    path, size = tmp_path / "bad.npz", 1 << 31
    content = member(header((size,)), b"")
    np.savez(path, **{key: array for key, array in arrays().items() if key != "x_train"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content)
        archive.getinfo("x_train.npy").file_size = len(content) + size  # written to the directory
    tracemalloc.start()
    try:
        refuses(path, f"cannot hold {len(content) + size}.")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_unusual_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
        for key, array in arrays().items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(f"{key}.npy", stream.getvalue())
    refuses(tmp_path / "a.npz", "x_train: the compression is 12 but must be 0 (stored) or 8 (deflated).")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_damage_to_any_byte_is_found_or_harmless(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, **arrays())
    whole, expected = path.read_bytes(), npz(path)
    found = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        try:
            result = npz(path)
        except DataError:
            found += 1
        else:
            for part, same in zip(result, expected, strict=True):
                np.testing.assert_array_equal(part.images, same.images)
                np.testing.assert_array_equal(part.labels, same.labels)
    assert found > 0.5 * len(whole)
    path.write_bytes(whole[: len(whole) // 2])
    refuses(path, "the archive is damaged or not an .npz")
