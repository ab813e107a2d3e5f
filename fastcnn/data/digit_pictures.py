"""Conversion of a photographed or drawn digit to MNIST's format."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastcnn import _validate

from .errors import DataError

BOX, SIZE = 20, 28  # pixels: the digit fits into the box, the box lies in the image
LARGE = 400  # pixels: larger pictures are first reduced by averaging, which also removes noise
CONTRAST = 24  # least difference between ink and background, in grey levels
DUST = 0.003  # fraction of the ink that may lie outside the digit on each of the four sides
THIN = 2.0  # pixels of the box: strokes are thickened to this width, that of thin strokes in MNIST


def digit_image(picture: np.ndarray) -> np.ndarray:
    """Cut a digit out of a picture and centre it as in MNIST, light on dark.

    MNIST's were "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio", and "centered in a
    28x28 image by computing the center of mass of the pixels, and translating the image so as to position this point at
    the center of the 28x28 field" [1]_. This function does the same after three steps. The background, which may be
    lighter on one side, is estimated as a plane through the picture's margin. Ink is what differs from it by more than
    half of Otsu's threshold [2]_. Strokes that are too thin are thickened.

    Parameters
    ----------
    picture : ndarray of uint8, shape (1, H, W)
        Grey levels of one digit that is darker or lighter than its background, as from `read_image` with
        ``channels=1``. There should be some background on all sides, and nothing else in the picture but specks.

    Returns
    -------
    ndarray of uint8, shape (1, 28, 28)
        Ink 255 on 0.

    Raises
    ------
    DataError
        If there is no ink, because all grey levels are about the same. A ValueError.
    TypeError, ValueError
        If `picture` is not such an array.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
       http://yann.lecun.com/exdb/mnist/.
    .. [2] N. Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and
       Cybernetics 9(1), 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.data import digit_image
    >>> paper = np.full((1, 300, 200), 230, np.uint8)
    >>> paper[0, 40:140, 30:45] = 20  # a one, in the upper left corner
    >>> image = digit_image(paper)[0]
    >>> np.flatnonzero(image.max(axis=1))[[0, -1]], np.flatnonzero(image.max(axis=0))[[0, -1]]
    (array([ 4, 23]), array([13, 15]))
    """
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or len(picture) != 1:
        raise ValueError(f"`picture` must be an array (1, H, W), not {getattr(picture, 'shape', picture)!r:.60}.")
    ink = _ink(_averaged(_validate.uint8_images(picture[None])[0, 0]))
    (top, bottom), (left, right) = (_between_dust(ink.sum(axis=axis)) for axis in (1, 0))
    ink = ink[top:bottom, left:right]
    image = _resampled(_thickened(ink, THIN * max(ink.shape) / BOX))
    return np.rint(image * (255 / image.max())).astype(np.uint8)[None]


def _averaged(picture: np.ndarray) -> np.ndarray:
    """Average blocks of pixels, so that at most `LARGE` are left along a side."""
    k = -(-max(picture.shape) // LARGE)
    H, W = (max(extent // k, 1) for extent in picture.shape)
    return picture[: H * k, : W * k].reshape(H, min(k, picture.shape[0]), W, min(k, picture.shape[1])).mean(axis=(1, 3))


def _ink(picture: np.ndarray) -> np.ndarray:
    """Amount of ink in each pixel, from 0 to 1."""
    difference = picture - _background(picture)
    if (difference * np.abs(difference)).sum() < 0:  # the ink is darker than the background
        difference = -difference
    difference = np.maximum(difference, 0)
    threshold = _otsu(difference)
    is_ink = difference > threshold
    full = np.median(difference[is_ink]) if is_ink.any() else 0
    if full < CONTRAST:
        raise DataError(f"The picture shows no digit: ink and background differ by {full:.0f} of 255 grey levels.")
    near = sliding_window_view(np.pad(is_ink, 1), (3, 3)).any(axis=(2, 3))  # faint ink counts only beside strong ink
    return near * np.clip((difference - threshold / 2) / (full - threshold / 2), 0, 1)


def _background(picture: np.ndarray) -> np.ndarray:
    """Fit a plane to the margin by least squares, without the outliers, such as ink that touches the margin.

    The margin is a sixteenth of the picture wide.
    """
    H, W = picture.shape
    y, x = np.mgrid[-1 : 1 : H * 1j, -1 : 1 : W * 1j]
    margin = (np.abs(y) > 1 - 1 / 8) | (np.abs(x) > 1 - 1 / 8)
    points, levels = np.stack([np.ones(margin.sum()), y[margin], x[margin]], axis=1), picture[margin]
    off = np.abs(levels - np.median(levels))
    plane = np.zeros(3)
    for _ in range(3):
        kept = off <= max(2 * np.median(off), 8)
        plane = np.linalg.lstsq(points[kept], levels[kept], rcond=None)[0]
        off = np.abs(levels - points @ plane)
    return plane[0] + plane[1] * y + plane[2] * x


def _otsu(levels: np.ndarray) -> float:
    """Threshold that splits the levels into two classes with the largest variance between them; 0 if all are equal."""
    if levels.min() == levels.max():
        return 0.0
    counts, edges = np.histogram(levels, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = counts.cumsum()[:-1], (counts * centres).cumsum()
    above = levels.size - below
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1 + between.argmax()])


def _between_dust(profile: np.ndarray) -> tuple[int, int]:
    """Start and stop of the ink, without the fraction `DUST` on either side."""
    mass = profile.cumsum() / profile.sum()
    return int(np.searchsorted(mass, DUST, "right")), int(np.searchsorted(mass, 1 - DUST)) + 1


def _thickened(ink: np.ndarray, least: float) -> np.ndarray:
    """Thicken strokes to at least ``least`` pixels, by the maximum over a disc around each pixel."""
    edges = [np.abs(np.diff(ink, axis=axis, prepend=0, append=0)).sum() for axis in (0, 1)]
    thickness = 2 * ink.sum() / np.hypot(*edges)  # for a straight stroke, area / length, with an edge on each side
    reach = int((least - thickness) / 2 + 0.5)
    if reach < 1:
        return ink
    padded = np.pad(ink, 2 * reach)
    thick = np.zeros([extent + 2 * reach for extent in ink.shape])
    for dy in range(-reach, reach + 1):
        dx = int((reach**2 - dy**2) ** 0.5)
        rows = padded[reach + dy :][: len(thick), reach - dx : padded.shape[1] - reach + dx]
        np.maximum(thick, sliding_window_view(rows, 2 * dx + 1, axis=1).max(axis=2), out=thick)
    return thick


def _resampled(ink: np.ndarray) -> np.ndarray:
    """Scale the ink so that its longer side fills the box, and centre it by whole pixels as in MNIST: (SIZE, SIZE)."""
    scale = BOX / max(ink.shape)
    rows, columns = (_weights(ink.sum(axis=1 - axis), scale) for axis in (0, 1))
    return rows @ ink @ columns.T


def _weights(profile: np.ndarray, scale: float) -> np.ndarray:
    """Return the matrix (SIZE, extent) that scales one axis and moves its centre of mass to the pixel SIZE / 2.

    Each element is the part of an output pixel that an input pixel covers.
    """
    extent = len(profile)
    edges = np.arange(extent + 1) * scale
    centre = (edges[:-1] + edges[1:]) / 2 @ profile / profile.sum()
    edges += np.clip(np.rint(SIZE / 2 + 0.5 - centre), 0, SIZE - np.ceil(extent * scale))
    pixel = np.arange(SIZE)[:, None]
    return np.maximum(np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel), 0)
