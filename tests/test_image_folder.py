"""Reading folders of pictures and picture files, and the errors for bad ones."""

import re
import struct
import sys
import zlib

import numpy as np
import pytest

from fastcnn.data import DataError, ImageFolder, image_folder, read_image
from fastcnn.data.image_folder import read_pictures

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install Pillow")


def save(path, pixels, mode=None, **options):
    """Write an array as a picture; its folder is created if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def level(value, shape=(4, 5)):
    return np.full(shape, value, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Ten cats of levels 0 to 9, five dogs of levels 100 to 104, and files that operating systems create."""
    for name, first, n in (("dog", 100, 5), ("cat", 0, 10)):
        for i in range(n):
            save(tmp_path / name / f"{i}.png", level(first + i))
        (tmp_path / name / ".DS_Store").write_bytes(b"\0")
        (tmp_path / name / "Thumbs.db").write_bytes(b"\0")
    (tmp_path / "README.txt").write_text("beside the classes")
    (tmp_path / ".git").mkdir()
    return tmp_path


def rng(seed=0):
    return np.random.default_rng(seed)


def levels(data):
    return data.images[:, 0, 0, 0].tolist()


# ---- folders ----


def test_a_part_of_each_class_is_held_out(folder):
    train, test = image_folder(folder, rng=rng())
    assert (train.images.shape, test.images.shape) == ((12, 1, 4, 5), (3, 1, 4, 5))
    assert train.labels.tolist() == [0] * 8 + [1] * 4
    assert test.labels.tolist() == [0, 0, 1]
    assert train.classes == test.classes == ("cat", "dog")
    assert train.source == str(folder)
    assert sorted(levels(train) + levels(test)) == [*range(10), *range(100, 105)]
    assert levels(train) == sorted(levels(train))


def test_the_split_follows_from_the_generator(folder):
    splits = [levels(image_folder(folder, rng=rng(seed))[1]) for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({tuple(split) for split in splits}) > 1


@pytest.mark.parametrize(("fraction", "held_out"), [(0.0, [1, 1]), (0.5, [5, 2]), (1.0, [9, 4])])
def test_training_and_test_data_have_a_picture_of_each_class(folder, fraction, held_out):
    test = image_folder(folder, test_fraction=fraction, rng=rng())[1]
    assert np.bincount(test.labels).tolist() == held_out


def test_train_and_test_folders(tmp_path):
    for part, first in (("train", 10), ("test", 50)):
        for label, name in enumerate("ab"):
            save(tmp_path / part / name / "x.png", level(first + label))
    train, test = image_folder(tmp_path)
    assert (levels(train), levels(test), test.labels.tolist(), test.classes) == ([10, 11], [50, 51], [0, 1], ("a", "b"))
    (tmp_path / "test" / "c").mkdir()
    with pytest.raises(DataError, match="is empty; it must hold the pictures of the class"):
        image_folder(tmp_path)
    save(tmp_path / "test" / "c" / "x.png", level(0))
    with pytest.raises(
        DataError, match="train and test must have the same classes, but only test has c; train has a, b"
    ):
        image_folder(tmp_path)


@pytest.mark.parametrize(("size", "shape"), [(8, (8, 8)), ((2, 3), (2, 3)), ((4, 5), (4, 5))])
def test_pictures_are_resized(folder, size, shape):
    save(folder / "cat" / "large.png", level(9, (40, 50)))
    train, test = image_folder(folder, size, rng=rng())
    assert train.images.shape[2:] == test.images.shape[2:] == shape
    assert sorted(levels(train) + levels(test)) == sorted([*range(10), 9, *range(100, 105)])


def test_the_first_picture_of_another_size_is_named(tmp_path):
    for part in ("train", "test"):
        for i in range(3):
            save(tmp_path / part / "a" / f"{i}.png", level(i))
    odd = save(tmp_path / "test" / "a" / "1.png", level(0, (5, 4)))
    sentence = f"{odd} has 5x4 pixels (height x width) but the pictures before it have 4x5; pass `size` to"
    with pytest.raises(DataError, match=re.escape(sentence)):
        image_folder(tmp_path)
    odd = save(tmp_path / "train" / "a" / "2.png", level(0, (4, 4)))  # which is read first
    with pytest.raises(DataError, match=re.escape(f"{odd} has 4x4 pixels")):
        image_folder(tmp_path)
    assert image_folder(tmp_path, (4, 5))[1].images.shape == (3, 1, 4, 5)


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db", "THUMBS.DB", "thumbs.db", "Desktop.ini", "desktop.ini", "@eaDir", "__MACOSX", "Icon\r",
        "$RECYCLE.BIN", "lost+found", "System Volume Information", ".DS_Store", "._0.png", ".Trash-1000",
    ],
)  # fmt: skip
def test_what_systems_leave_is_ignored(folder, name):
    before = [levels(part) for part in image_folder(folder, rng=rng())]
    for place in (folder, folder / "cat"):
        (place / name).unlink(missing_ok=True)
        (place / name).mkdir()
        (place / name / "0.png").write_text("no picture")
    (folder / "dog" / name).write_text("no picture")
    train, test = image_folder(folder, rng=rng())
    assert train.classes == ("cat", "dog")
    assert [levels(train), levels(test)] == before


def test_the_order_is_the_same_on_windows_whose_paths_have_no_case(tmp_path, monkeypatch):
    for name in ("bee", "Bat", "ant", "Cat", "Éclair"):
        for i in "aBc":
            save(tmp_path / name / f"{i}.png", level(ord(i)))
    monkeypatch.setattr("pathlib.PurePath.__lt__", lambda one, other: str(one).lower() < str(other).lower())
    train, test = image_folder(tmp_path, rng=rng())
    assert train.classes == test.classes == ("Bat", "Cat", "ant", "bee", "Éclair")
    assert {*train.files[:2], test.files[0]} == {"Bat/B.png", "Bat/a.png", "Bat/c.png"}
    assert all(list(files) == sorted(files) for files in (train.files, test.files))


def test_images_know_their_files(folder):
    train, test = image_folder(folder, rng=rng())
    assert test.source == f"{folder}, 3 held-out pictures of 15"
    for part in (train, test):
        names = [f"{part.classes[k]}/{value % 100}.png" for k, value in zip(part.labels, levels(part), strict=True)]
        assert list(part.files) == sorted(names)
    again = read_pictures(folder, test.files, None, 1, "a few")
    np.testing.assert_array_equal(again.images, test.images)
    assert (again.labels.tolist(), again.classes, again.files) == (test.labels.tolist(), test.classes, test.files)


def test_one_picture_in_colour_makes_all_so(folder):
    assert image_folder(folder, rng=rng())[0].images.shape[1] == 1
    assert image_folder(folder, channels=3, rng=rng())[0].images.shape[1] == 3
    save(folder / "dog" / "red.png", np.dstack([level(200), level(0), level(0)]))
    train, test = image_folder(folder, rng=rng())
    assert train.images.shape[1] == test.images.shape[1] == 3
    assert image_folder(folder, channels=1, rng=rng())[0].images.shape[1] == 1


def bad_folder(tmp_path, what):
    """Make one thing wrong in a good folder; return the path that the error must name."""
    save(tmp_path / "a" / "1.png", level(1))
    save(tmp_path / "a" / "2.png", level(2))
    if what == "a text file":
        (tmp_path / "a" / "3.png").write_text("not a picture")
        return tmp_path / "a" / "3.png", "is not a picture that Pillow can read."
    if what == "only text files":
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "1.txt").write_text("not a picture")
        return tmp_path / "b", "holds no pictures: no file has the suffix .jpg, .jpeg, .png, "
    if what == "an empty file":
        (tmp_path / "a" / "3.png").write_bytes(b"")
        return tmp_path / "a" / "3.png", "is not a picture that Pillow can read."
    if what == "a picture cut off":
        whole = save(tmp_path / "a" / "3.png", rng().integers(0, 256, (30, 30), dtype=np.uint8)).read_bytes()
        (tmp_path / "a" / "3.png").write_bytes(whole[:200])
        return tmp_path / "a" / "3.png", "is damaged: "
    if what == "a folder in a class":
        save(tmp_path / "a" / "more" / "3.png", level(3))
        return tmp_path / "a" / "more", f"is a folder, but {tmp_path / 'a'} must hold the pictures of the class"
    if what == "an empty class":
        (tmp_path / "b").mkdir()
        return tmp_path / "b", "is empty; it must hold the pictures of the class."
    save(tmp_path / "b" / "1.png", level(1))
    return tmp_path / "b", "has only one picture, but one for training and one for testing are needed."


WRONG = [
    "a text file",
    "only text files",
    "an empty file",
    "a picture cut off",
    "a folder in a class",
    "an empty class",
    "a single picture",
]


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(tmp_path, what):
    path, sentence = bad_folder(tmp_path, what)
    with pytest.raises(DataError, match=re.escape(f"{path} {sentence}")):
        image_folder(tmp_path, rng=rng())


@pytest.mark.parametrize("bad", [1, 2, 5, 7])
@pytest.mark.parametrize("channels", [None, 1], ids=["headers", "pixels"])
def test_all_bad_files_are_named(folder, channels, bad):
    first = sorted(path.parent for path in folder.glob("*/*.png"))[0].name
    names = [f"{first}/bad{i}.png" for i in range(bad)]
    for name in names:
        (folder / name).write_text("not a picture")
    with pytest.raises(DataError) as error:
        image_folder(folder, channels=channels, rng=rng())
    if bad == 1:
        assert str(error.value) == (
            f"{folder / names[0]} is not a picture that Pillow can read. Move it out of the folder."
        )
        return
    which = ", ".join(names[:5]) + ", ..." * (bad > 5)
    assert str(error.value) == (
        f"{folder} holds {bad} files that cannot be read as pictures: {which}; move them out of the folder."
    )


def test_files_without_the_suffix_of_a_picture_are_left_out_and_counted(folder):
    train, test = image_folder(folder, rng=rng())
    (folder / "cat" / "0.txt").write_text("the label of 0.png")
    with pytest.warns(UserWarning, match=re.escape(f"{folder}: left out 1 file without the suffix of a picture, such")):
        again = image_folder(folder, rng=rng())
    assert (again[0].files, again[1].files) == (train.files, test.files)
    (folder / "dog" / "LICENSE").write_text("without a suffix")
    save(folder / "dog" / "more.PNG", level(105))
    with pytest.warns(UserWarning, match=r"left out 2 files without the suffix of a picture, such as cat.0\.txt\.$"):
        assert len(ImageFolder(folder)) == 16


def test_a_picture_of_another_size_is_no_bad_file(tmp_path):
    for i, shape in enumerate([(4, 4), (4, 4), (4, 5)]):
        save(tmp_path / "train" / "a" / f"{i}.png", level(i, shape))
        save(tmp_path / "test" / "a" / f"{i}.png", level(i, (4, 4)))
    with pytest.raises(DataError, match=r"2\.png has 4x5 pixels .* pass `size` to resize all of them\.$"):
        image_folder(tmp_path)
    (tmp_path / "test" / "a" / "3.png").write_bytes(b"")  # is found before
    with pytest.raises(DataError, match=r"3\.png is not a picture that Pillow can read\. Move it out of the folder\.$"):
        image_folder(tmp_path)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="but there is no such folder"):
        image_folder(tmp_path / "nowhere")
    save(tmp_path / "1.png", level(1))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path} has no subfolders; there must be one for each class")):
        image_folder(tmp_path)


BAD_ARGUMENTS = {
    "no generator": ({"rng": None}, TypeError, "`rng` is None but"),
    "a seed": ({"rng": 3}, TypeError, "has no subfolders train and test; pass rng=np.random.default_rng(0), which"),
    "two channels": ({"channels": 2}, ValueError, "`channels` is 2 but must be 1 (grey) or 3 (red, green, blue)."),
    "no height": ({"size": (0, 3)}, ValueError, "`size` is 0 but must be at least 1."),
    "three sizes": ({"size": (1, 2, 3)}, TypeError, "`size` must be a whole number, not (1, 2, 3)."),
    "more than all": (
        {"test_fraction": 1.5},
        ValueError,
        "`test_fraction` is 1.5 but must be at least 0 and at most 1",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "sentence"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(folder, arguments, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        image_folder(folder, **{"rng": rng(), **arguments})


# ---- files ----

COLOURS = rng().integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREYS = rng().integers(0, 256, (6, 5), dtype=np.uint8)


def test_colours_and_greys_come_back(tmp_path):
    np.testing.assert_array_equal(
        read_image(save(tmp_path / "c.png", COLOURS)), COLOURS.transpose(2, 0, 1), strict=True
    )
    np.testing.assert_array_equal(read_image(save(tmp_path / "g.png", GREYS)), GREYS[None], strict=True)
    three = read_image(tmp_path / "g.png", channels=3)
    np.testing.assert_array_equal(three, np.stack([GREYS] * 3), strict=True)
    assert three.flags.c_contiguous
    grey = read_image(tmp_path / "c.png", channels=1)[0]
    np.testing.assert_allclose(grey, COLOURS @ [0.299, 0.587, 0.114], atol=1)  # ITU-R 601, as in Pillow


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("P", 3), ("CMYK", 3), ("RGBA", 3), ("LA", 1)])
def test_modes_of_pillow(tmp_path, mode, channels):
    path = save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), level(255), mode)
    np.testing.assert_array_equal(read_image(path), np.full((channels, 4, 5), 255, np.uint8), strict=True)


def test_16_bits_keep_their_upper_eight(tmp_path):
    path = save(tmp_path / "deep.png", np.array([[0, 255, 256, 65535]], np.uint16))
    assert read_image(path).tolist() == [[[0, 0, 1, 255]]]
    with pytest.raises(DataError, match=re.escape("holds 32-bit numbers (F) but must hold grey levels or colours.")):
        read_image(save(tmp_path / "float.tif", np.zeros((2, 2), np.float32)))


@pytest.mark.parametrize(
    ("content", "levels"),
    [
        (b"P5 2 1 65535\n" + bytes([0x40, 0x80, 0xFF, 0xFF]), [0x40, 0xFF]),
        (b"P2 2 1 65535\n16511 65535\n", [0x40, 0xFF]),
        (b"P5 2 1 4095\n" + bytes([0x0F, 0xFF, 0, 0]), [0xFF, 0]),  # 12-bit values are scaled to 16 bits
    ],
    ids=["binary", "plain", "12 bits"],
)
def test_16_bits_of_a_pgm_keep_their_upper_eight_too(tmp_path, content, levels):
    (tmp_path / "deep.pgm").write_bytes(content)
    assert read_image(tmp_path / "deep.pgm").tolist() == [[levels]]
    assert read_image(tmp_path / "deep.pgm", channels=3).tolist() == [[levels]] * 3


def test_a_transparent_level_of_16_bits_is_white(tmp_path):
    row = b"\0" + np.array([0, 300, 300, 65535], ">u2").tobytes()
    (tmp_path / "deep.png").write_bytes(png(4, 1, row, 16, (b"tRNS", struct.pack(">H", 300))))
    assert read_image(tmp_path / "deep.png").tolist() == [[[0, 255, 255, 255]]]


def test_what_is_transparent_lies_on_white(tmp_path):
    ink = np.zeros((1, 3, 4), np.uint8)
    ink[0, :, 3] = [0, 255, 128]  # black everywhere, but fully transparent on the left
    assert read_image(save(tmp_path / "a.png", ink), channels=1)[0, 0].tolist() == [255, 0, 127]


def test_a_photograph_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise for display
    path = save(tmp_path / "a.png", GREYS, exif=exif)
    np.testing.assert_array_equal(read_image(path)[0], np.rot90(GREYS, -1))


def damaged_exif(*tags):
    """Make EXIF data of tags (number, type, count, value), some of which Pillow can neither write nor read."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


BEYOND = (0x106, 4, 1, 2**32 - 1)  # PhotometricInterpretation, a 16-bit value
EXIF = {
    "another tag is out of range": (damaged_exif((0x112, 3, 1, 6), BEYOND), 6),
    "another tag points past the end": (damaged_exif((0x112, 3, 1, 8), (0x10F, 2, 99, 10**6)), 8),
    "no such orientation": (damaged_exif((0x112, 3, 1, 9)), 1),
    "the orientation is a string": (damaged_exif((0x112, 2, 4, 0x36363636)), 1),
    "no directory": (b"Exif\0\0II*\0\xff\xff\xff\xff", 1),
    "not EXIF": (b"Exif\0\0gibberish", 1),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(("exif", "orientation"), EXIF.values(), ids=EXIF)
def test_a_damaged_tag_of_exif_does_not_matter(tmp_path, suffix, exif, orientation):
    how = {"exif": exif} | ({"quality": 100} if suffix == "jpg" else {})
    path = save(tmp_path / "a" / f"1.{suffix}", np.repeat(np.repeat(GREYS, 8, 0), 8, 1), **how)
    turned = {1: GREYS, 6: np.rot90(GREYS, -1), 8: np.rot90(GREYS)}[orientation]
    np.testing.assert_allclose(read_image(path, channels=1)[0, 4::8, 4::8], turned, atol=30)
    save(tmp_path / "a" / "2.png", GREYS)
    train, test = image_folder(tmp_path, (8, 8), rng=rng())  # a folder with it is also read
    assert (len(train), len(test)) == (1, 1)


def test_all_orientations(tmp_path):
    for k, turned in enumerate(
        (GREYS, GREYS[:, ::-1], GREYS[::-1, ::-1], GREYS[::-1], GREYS.T, np.rot90(GREYS, -1), GREYS[::-1, ::-1].T,
         np.rot90(GREYS)), 1,
    ):  # fmt: skip
        exif = Image.Exif()
        exif[0x112] = k
        for name in ("a.png", "a.tif"):  # Pillow itself rotates the second one
            path = save(tmp_path / name, GREYS, exif=exif)
            np.testing.assert_array_equal(read_image(path)[0], turned)


def test_resizing_averages(tmp_path):
    board = np.indices((40, 40)).sum(0) % 2 * 255
    small = read_image(save(tmp_path / "a.png", board.astype(np.uint8)), 4)
    np.testing.assert_allclose(small, 127, atol=6)


def png(width, height, data=b"", bits=1, *chunks):
    """Make a grey PNG whose header states any size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    body = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("side", [10_000, 100_000], ids=["Pillow would warn", "Pillow would refuse"])
def test_decompression_bombs_are_refused(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png(side, side))
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'bomb.png'} has too many pixels: ")):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.tif", "a.bmp", "a.webp"])
def test_damage_is_a_data_error_or_another_picture(tmp_path, name):
    path = save(tmp_path / name, COLOURS)
    whole = path.read_bytes()
    found = 0
    for at in range(0, len(whole), 2):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
            path.write_bytes(content)
            try:
                assert read_image(path).dtype == np.uint8
            except DataError as error:
                assert str(path) in str(error)  # noqa: PT017
                found += 1
    assert found > 0


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_image(tmp_path / "nowhere.png")


def test_without_pillow_the_error_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=re.escape("Reading pictures needs Pillow: pip install Pillow.")):
        image_folder(folder, rng=rng())
    with pytest.raises(ImportError, match=re.escape("pip install Pillow.")):
        read_image(folder / "cat" / "0.png")
    with pytest.raises(ImportError, match=re.escape("pip install Pillow.")):
        image_folder(folder, channels=1, rng=rng())
