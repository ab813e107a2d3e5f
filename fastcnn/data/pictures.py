"""Picture files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from fastcnn import _validate

from .errors import DataError

GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes that hold no colour
SIXTEEN_BITS = ("PNG", "PPM")  # whose grey levels are 16 bits where Pillow, by its version, keeps them in 32 ("I")
ORIENTATION = 0x112  # EXIF's tag; what it says is called as in Pillow, which turns counterclockwise
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def read_image(path, size=None, *, channels: int | None = None) -> np.ndarray:
    """A picture file as an array: PNG, JPEG and whatever else Pillow reads without running a program.

    It stands as its EXIF orientation says, where that can be read; what is transparent lies on white; of an animation
    it is the first picture; 16-bit grey levels lose their lower eight.

    Parameters
    ----------
    path : str or path-like
        The file.
    size : int or (int, int)
        Height and width in pixels, to which it is resized (bilinear, antialiased; its proportions are not kept).
        Without it, it keeps its own.
    channels : 1 or 3
        Grey, or red, green, blue. Without it, 1 for files that cannot hold colour, otherwise 3.

    Returns
    -------
    ndarray of uint8, shape (C, H, W)

    Raises
    ------
    DataError
        It is not a picture, is damaged, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``. A ValueError.
    OSError
        The file is missing or cannot be read.
    ImportError
        Pillow is not installed.
    TypeError, ValueError
        ``size`` or ``channels`` is not one.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastcnn.data import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "dot.pgm")
    ...     _ = file.write_bytes(b"P5 3 1 255 " + bytes([0, 255, 0]))
    ...     read_image(file), read_image(file, 2, channels=3).shape
    (array([[[  0, 255,   0]]], dtype=uint8), (3, 2, 2))
    """
    return _read(Path(path), _pair(size), _channels(channels))


def has_colour(path: Path) -> bool:
    """Whether the file can hold colour, from its header."""
    with _open(path) as image:
        return image.mode not in GREY


def _read(path: Path, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """See `read_image`."""
    Image = pillow()
    with _open(path) as image:
        try:
            channels = channels or (1 if image.mode in GREY else 3)
            image = _upright(image)
            if image.mode.startswith("I"):
                image = _eight_bits(image)
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            image = image.convert("L" if channels == 1 else "RGB")
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.array(image)
        except Exception as error:  # what decoders raise: OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"{path} is damaged: {error}.") from error
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def pillow() -> ModuleType:
    """Pillow's module Image, which reads and resizes pictures; an ImportError that says how to get it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('Pictures need Pillow; install it with pip install "fastcnn[data]".') from error
    return Image


def _upright(image):
    """The picture as its EXIF orientation says. No other tag is read: a damaged one says nothing of the pixels."""
    image.load()  # a TIFF turns itself, and some formats have EXIF behind the pixels
    try:
        with warnings.catch_warnings(action="ignore"):
            turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # where nothing of it can be read, there is no orientation
        turn = None
    return image if turn is None else image.transpose(getattr(pillow().Transpose, turn))


def _eight_bits(image):
    """The upper eight of 16 bits; white where the picture has the level that its file calls transparent."""
    levels = np.asarray(image)
    seen = (levels >> 8).astype(np.uint8)
    seen[levels == image.info.get("transparency", -1)] = 255
    return pillow().fromarray(seen)


@contextmanager
def _open(path: Path) -> Iterator:
    """The picture, its pixels not yet decoded."""
    Image = pillow()
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings(action="ignore"):  # of damaged EXIF, which does not matter
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(file)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"{path} has too many pixels: {error}") from error
        except Image.UnidentifiedImageError as error:
            raise DataError(f"{path} is not a picture that Pillow can read.") from error
        except Exception as error:  # see `_read`
            raise DataError(f"{path} is damaged: {error}.") from error
        with image:
            if image.format == "EPS":  # a program, which Pillow would let Ghostscript execute
                raise DataError(f"{path} is PostScript, which is not read: it is a program. Convert it to PNG.")
            if image.mode == "F" or (image.mode == "I" and image.format not in SIXTEEN_BITS):
                raise DataError(f"{path} holds numbers of 32 bits ({image.mode}) but must hold grey levels or colours.")
            yield image


def _pair(size) -> tuple[int, int] | None:
    """Height and width."""
    if size is None:
        return None
    height, width = size if isinstance(size, tuple | list) and len(size) == 2 else (size, size)
    return _validate.count("size", height, least=1), _validate.count("size", width, least=1)


def _channels(channels) -> int | None:
    if channels is not None and (not _validate.is_whole(channels) or channels not in (1, 3)):
        raise ValueError(f"`channels` is {channels!r} but must be 1 (grey) or 3 (red, green, blue).")
    return None if channels is None else int(channels)
