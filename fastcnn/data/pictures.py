"""Reading picture files."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from fastcnn import _validate

from .errors import DataError

GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes without colour
SIXTEEN_BITS = ("PNG", "PPM")  # formats with 16-bit grey levels, which some versions of Pillow read as 32 bits ("I")
ORIENTATION = 0x112  # EXIF tag; its values are mapped to Pillow's names, which rotate counterclockwise
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
    """Read a picture file as an array: PNG, JPEG and all other formats that Pillow reads without running a program.

    The EXIF orientation is applied if it can be read. Transparent pixels are put on white. An animation gives its first
    picture. Of 16-bit grey levels the upper eight bits are kept.

    Parameters
    ----------
    path : str or path-like
        The file.
    size : int or (int, int)
        Height and width in pixels to which the picture is resized (bilinear, antialiased; proportions are not kept). By
        default it keeps its size.
    channels : 1 or 3
        Grey, or red, green, blue. By default 1 for files that cannot hold colour, otherwise 3.

    Returns
    -------
    ndarray of uint8, shape (C, H, W)

    Raises
    ------
    DataError
        If it is not a picture, is damaged, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``. A ValueError.
    OSError
        If the file is missing or cannot be read.
    ImportError
        If Pillow is not installed.
    TypeError, ValueError
        If ``size`` or ``channels`` is invalid.

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
    """Whether the file can hold colour, according to its header."""
    with _open(path) as image:
        return image.mode not in GREY


def fault_of(path: Path) -> DataError | None:
    """Return the error of a file that is not a picture or is damaged, otherwise None."""
    try:
        _read(path, None, None)
    except DataError as error:
        return error
    return None


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
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"{path} is damaged: {error}.") from error
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def pillow() -> ModuleType:
    """Return Pillow's module Image; raise an ImportError that says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Reading pictures needs Pillow: pip install Pillow.") from error
    return Image


def _upright(image):
    """Apply the EXIF orientation; no other tag is read, as a damaged one does not affect the pixels."""
    image.load()  # applies the orientation of a TIFF; some formats have EXIF after the pixels
    try:
        with warnings.catch_warnings(action="ignore"):
            turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # unreadable EXIF: no orientation
        turn = None
    return image if turn is None else image.transpose(getattr(pillow().Transpose, turn))


def _eight_bits(image):
    """Keep the upper eight of 16 bits, and make pixels white that have the transparent level of the file."""
    levels = np.asarray(image)
    seen = (levels >> 8).astype(np.uint8)
    seen[levels == image.info.get("transparency", -1)] = 255
    return pillow().fromarray(seen)


@contextmanager
def _open(path: Path) -> Iterator:
    """Open a picture without decoding its pixels."""
    Image = pillow()
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings(action="ignore"):  # about damaged EXIF, which does not matter
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(file)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise DataError(f"{path} has too many pixels: {error}") from error
        except Image.UnidentifiedImageError as error:
            raise DataError(f"{path} is not a picture that Pillow can read.") from error
        except Exception as error:  # see `_read`
            raise DataError(f"{path} is damaged: {error}.") from error
        with image:
            if image.format == "EPS":  # Pillow would let Ghostscript execute it
                raise DataError(f"{path} is PostScript, which is a program and is not read. Convert it to PNG.")
            if image.mode == "F" or (image.mode == "I" and image.format not in SIXTEEN_BITS):
                raise DataError(f"{path} holds 32-bit numbers ({image.mode}) but must hold grey levels or colours.")
            yield image


def _pair(size) -> tuple[int, int] | None:
    """Return height and width, or None."""
    if size is None:
        return None
    height, width = size if isinstance(size, tuple | list) and len(size) == 2 else (size, size)
    return _validate.count("size", height, least=1), _validate.count("size", width, least=1)


def _channels(channels) -> int | None:
    if channels is not None and (not _validate.is_whole(channels) or channels not in (1, 3)):
        raise ValueError(f"`channels` is {channels!r} but must be 1 (grey) or 3 (red, green, blue).")
    return None if channels is None else int(channels)
