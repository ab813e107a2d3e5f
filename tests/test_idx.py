"""Reading IDX files, and the errors for every kind of bad file."""

import gzip
import re
import tracemalloc

import numpy as np
import pytest

from fastcnn.data import DataError, read_idx

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def header(code, *shape):
    return bytes([0, 0, code, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)


def refuses(path, sentence):
    """Check that `read_idx` raises a DataError that names the file and contains ``sentence``."""
    with pytest.raises(DataError, match=re.escape(sentence)) as error:
        read_idx(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("dtype", CODES)
def test_each_type_comes_back_in_native_byte_order(tmp_path, dtype, compress):
    array = np.arange(-3, 21).astype(dtype).reshape(2, 3, 4)
    path = tmp_path / "data.gz"  # the suffix is ignored
    path.write_bytes(compress(header(CODES[dtype], 2, 3, 4) + array.astype(array.dtype.newbyteorder(">")).tobytes()))
    result = read_idx(path)
    np.testing.assert_array_equal(result, array, strict=True)
    assert result.dtype.isnative
    assert result.flags.writeable
    assert result.flags.c_contiguous


def test_a_file_written_by_hand(tmp_path):
    path = tmp_path / "by-hand"
    path.write_bytes(bytes.fromhex("00000b02 00000002 00000003 0001 0002 0100 ffff fffe 8000".replace(" ", "")))
    assert read_idx(str(path)).tolist() == [[1, 2, 256], [-1, -2, -32768]]


def test_a_dimension_of_size_zero_is_an_empty_array(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(header(0x08, 0, 28, 28))
    assert read_idx(path).shape == (0, 28, 28)


BAD = {
    "empty file": (b"", "the file ends within the magic number: 0 bytes of 4"),
    "truncated magic number": (b"\0\0\x08", "the file ends within the magic number: 3 bytes of 4"),
    "wrong magic number": (b"PK\x03\x04" + bytes(20), "the magic number is 0x504b0304 but an IDX file begins with two"),
    "type code between two others": (header(0x0A, 3) + bytes(3), "the type code is 0x0a but must be one of 0x08, 0x09"),
    "no dimensions": (header(0x08) + bytes(1), "the number of dimensions is 0 but must be at least 1"),
    "truncated sizes": (header(0x08, 3, 2)[:-1], "the file ends within the sizes of 2 dimensions: 7 bytes of 8"),
    "truncated items": (header(0x0C, 3) + bytes(11), "promises 12 bytes of items (shape (3,), int32) but"),
    "trailing byte": (header(0x08, 2, 2) + bytes(5), "promises 4 bytes of items (shape (2, 2), uint8) but"),
    "items after an empty shape": (header(0x08, 0) + bytes(1), "promises 0 bytes of items (shape (0,), uint8) but"),
    "2**40 items promised": (
        header(0x08, 1 << 20, 1 << 20) + bytes(9),
        "promises 1099511627776 bytes of items (shape (1048576, 1048576), uint8) but",
    ),
    "more dimensions than numpy has": (header(0x08, *[1] * 200) + bytes(1), "numpy cannot hold an array of the header"),
    "empty, but too large for numpy": (header(0x08, 0, *[2**32 - 1] * 3), "numpy cannot hold an array of the header"),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_names_itself_and_its_field(tmp_path, content, sentence, compress):
    path = tmp_path / "bad"
    path.write_bytes(compress(content))
    refuses(path, sentence)


def test_the_length_that_was_found_is_said(tmp_path):
    plain, compressed = tmp_path / "plain", tmp_path / "compressed"
    plain.write_bytes(header(0x08, 4) + bytes(6))
    compressed.write_bytes(gzip.compress(header(0x08, 4) + bytes(6)))
    refuses(plain, "but 6 follow it")
    refuses(compressed, "but more follow it")  # reading stops at the fifth
    compressed.write_bytes(gzip.compress(header(0x08, 4) + bytes(3)))
    refuses(compressed, "but only 3 follow it")


HUGE = {
    "plain file that promises a terabyte": header(0x08, 1 << 20, 1 << 20) + bytes(1000),
    "gzip file that promises a terabyte": gzip.compress(header(0x08, 1 << 20, 1 << 20) + bytes(1000)),
    "plain file with far more than it promises": header(0x08, 4) + bytes(50_000_000),
    "gzip file with far more than it promises": gzip.compress(header(0x08, 4) + bytes(50_000_000), 1),
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_a_wrong_length_costs_no_memory(tmp_path, content):
    path = tmp_path / "huge"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refuses(path, "the header promises")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_damage_to_any_byte_of_a_gzip_file_is_found_or_harmless(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    whole = gzip.compress(header(0x08, 7, 5) + array.tobytes())
    path = tmp_path / "damaged.gz"
    found = 0
    for at in range(len(whole)):
        for flip in (0x01, 0x10, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                result = read_idx(path)
            except DataError:
                found += 1
            else:  # for example, a byte of the time stamp
                np.testing.assert_array_equal(result, array, strict=True)
    assert found > 3 * (len(whole) - 10)  # everything except some bytes of gzip's ten-byte header


@pytest.mark.parametrize("cut", [2, 5, 15, 30, -9, -1])
def test_a_gzip_file_that_was_cut_off(tmp_path, cut):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(header(0x08, 300) + np.random.default_rng(0).bytes(300))[:cut])
    refuses(path, "the gzip stream is damaged")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")
