"""The built-in data set: digits that look handwritten, drawn from a seed alone.

A digit is drawn like a pen stroke: a path through a few knots, which are moved a little at random. The path is bent,
slanted and rotated, drawn with ink, and then scaled and centred like MNIST's digits.
"""

from functools import cache

import numpy as np

from fastcnn import _validate

from .array_dataset import ArrayDataset

# Paths of each digit on a grid of 10 x 10: x to the right, y down. A path runs smoothly through its knots; a knot given
# twice is a sharp corner; "/" lifts the pen. The number after a path is its frequency relative to the other paths of
# the digit.
PEN_PATHS = {
    0: {
        "5,0 2,1.5 1,5 2,8.5 5,10 8,8.5 9,5 8,1.5 5,0": 3,
        "6,0 3.5,2 2.5,5 3.2,8.5 5,10 6.8,8.5 7.5,5 7,2 6,.2": 2,
        "7,1 4.5,.3 2,2 1,5.5 2,8.7 4.5,10 7.5,9 9,5.5 8.5,2.5 6.5,.5 4,.8": 2,
        "3,.5 1.5,3 1,6 2.5,9 5,10 8,8.5 9,5 8,2 6,.5 3.5,1.5": 1,
    },
    1: {
        "5,0 5,5 5,10": 6,
        "3,2 5,0 5,0 5,5 5,10": 1,
        "2.5,2.5 5,0 5,0 5,5 5,10 / 2,10 8,10": 1,
    },
    2: {
        "1.5,2.5 3,.5 5.5,0 8,1.5 7.5,4.5 4.5,7.5 1,10 1,10 5,9.8 9,9.8": 3,
        "1.5,2 3.5,.2 6.5,.5 7,3 5.5,6.5 3,9.3 1,9.3 .8,7.8 3,7.3 5.5,8.8 7.5,9.6 9.5,9": 3,
        "3,1.5 4.5,.1 6.5,.8 6.8,3 5.3,7 2.5,9.8 .5,9.3 1,7.3 3.5,7 6,8 9.5,8.5": 2,
        "1,1 5,.3 8,1 8,1 5,5 1.5,9.5 1.5,9.5 5,9.6 9,9.5": 1,
        "2.5,1.5 4.5,0 6,1.5 5,5 2,9.5 2,9.5 5,9.3 10,9.8": 2,
        "1,4 3,2.2 5,2.5 5,4.5 1,8 1,8 5,7.5 10,7.8": 1,
        "2,1.5 5,0 7.5,1.5 6.5,5 4,8.8 1.5,9.5 .5,7.5 2.5,6 5,7 7,8.5 9.5,8.3": 3,
        "1.5,2 4,0 7,1 6.5,4 4,7 1.5,9 1,7.5 3.5,7 6,9 9,9.5": 2,
    },
    3: {
        "1.5,1.5 4,0 7.5,1 7.5,3.5 4,4.8 4,4.8 8,6 8.5,8 5.5,10 1.5,9": 4,
        "1.5,.5 8,.5 8,.5 4.5,4 4.5,4 8.5,6 8,9 5,10 1.5,9": 1,
        "2,1.5 5,0 7.5,1.5 6,4.2 4,4.8 5,4.5 8,6 8,9 5,10 1.5,8.5": 2,
        "2,2 4.5,.2 7.5,.5 7.5,2.5 5,5 5,5 7,6.5 6.5,9 4,10 1,9.5": 2,
        "3,1 6,0 7,2 4.5,4.3 4.5,4.3 6.5,5.5 6.5,8 4.5,10 2.5,9.5": 2,
        "1,2 4,1 7,1.5 7.5,3.5 4.5,5 4.5,5 8,5.5 9,7.5 6,9.5 1,8.5": 1,
        "2,1 5,0 7,2 4,4.5 4,4.5 8,6 8,8.5 5,10 2,9.5 .5,8": 2,
    },
    4: {
        "2.5,.5 1,5.5 1,5.5 9,5 / 7.5,.5 6.5,5 6,10": 3,
        "1.5,.5 1,4 2.5,5.5 7,4.5 / 8,0 7.5,4.5 6.5,10": 3,
        "6,0 1,6.5 1,6.5 9.5,6.5 / 6,0 6,5 6,10": 1,
        "6.5,.5 3.5,2.5 1.5,5.3 1.5,5.3 5,5.5 8.5,5 / 7,1 6.3,5 6,10": 1,
        "1.5,.5 1.5,4.5 4,5.5 7.5,3 8.5,0 8.5,0 7,5 6,10": 1,
    },
    5: {
        "8.5,.5 3,.5 3,.5 2.5,4.5 2.5,4.5 6,3.8 8.5,6 7.5,9 4.5,10 1,9": 3,
        "3,1 2.5,4.5 2.5,4.5 6,4 8,6.5 7,9 4,10 1.5,9.3 / 3,1 9,.3": 3,
        "10,0 4.5,1.5 4.5,1.5 3,4.5 3,4.5 5.5,5 6,7.5 4,9.5 1,10": 2,
        "8.5,.5 4,1 3,3 5,5 7,7 5.5,9.5 1,9.5": 2,
        "7.5,0 3.5,1 2.5,4 2.5,4 6,4.5 7,7 5,10 2,9 3,7": 1,
    },
    6: {
        "6.5,0 3.5,3 2,7 4,10 7,9 7.5,6.5 5,5.5 2.5,7.5": 3,
        "4,0 2,5 2,8.5 5,10 8,8.5 7.5,6 5,5.5 2.5,7": 3,
        "5,0 2,4 1,8 3.5,10 7,9.3 9,7 8,5 5.5,6.5 4,9": 3,
        "7.5,.3 4.5,1.5 2.2,5 2.2,8.5 4.8,10 7.3,8.3 6,6.2 3.5,6.5 2.3,8": 2,
    },
    7: {
        "1,1 5,.8 8.5,.8 8.5,.8 5.5,5 4,10": 3,
        "1,3 1.5,.8 1.5,.8 8.5,.8 8.5,.8 5.5,5 4,10": 1,
        "1,1.5 4,.5 8,1 7.5,4 5.5,7 5,10": 2,
        "2,3.5 3.5,.8 5.5,1 7,2 9,.3 9,.3 6.5,5 4.5,10": 1,
        "1.5,3.5 2,1 4.5,.2 7.5,1 7,4.5 5.5,10": 1,
        "1,1 5,.8 8.5,.8 8.5,.8 5.5,5 4,10 / 3,5.3 8.5,5": 2,
    },
    8: {
        "7.5,1.5 5,0 2.5,1.5 3.5,4 6.5,6 8,8.2 5,10 2,8.2 3.5,6 6.5,4 7.8,1.5": 4,
        "5,4.5 2.5,2.3 5,0 7.5,2.3 5,4.5 1.8,7.2 5,10 8.2,7.2 5,4.5": 2,
        "8,1 5.5,0 3,1.5 4,4.2 6,6 6,8.5 4,10 2,8.5 4,5.5 7,3.5 8.5,1": 3,
        "6.8,.8 4.8,0 3.2,2 4.2,4.5 5.5,6.5 5.7,9 4.5,10 3.3,9 4,6.2 6,4 7,1.8 6.3,.5": 2,
        "8,1 5,0 2,1 2.5,3.5 5,5.5 6,8 4.5,10 3.3,8.5 4.5,6 8,2.5 8.2,.8": 2,
        "7.5,1 4.5,.5 3,2.5 5,4.7 7,7 5.5,9.7 3,9 4,6.5 6.5,4 8.5,1.5": 2,
        "9,1 6,.3 3.5,1.5 4,4 6,6 6,9 4,10 2.5,8.5 4,6 6.5,4 9,2": 1,
    },
    9: {
        "8,2 5.5,0 2.5,1.5 2,4 5,5.5 8,3 8,2 8,2 7.7,6 7,10": 4,
        "8,2 5.5,0 2.5,1.5 2,4 5,5.5 8,3 8,2 8,2 8,7 6,9.5 2.5,9.5": 2,
        "7.5,1 4.5,.5 2,3 3.5,5.3 6.5,4 8,1 8,1 6.5,5.5 5,10": 3,
        "6.5,1 4,1 2.5,3.5 4,5 6.5,3.5 7.5,0 7.5,0 6.3,5 5.7,10": 2,
        "7,3.5 4,5.5 2,3.5 4,.5 7,1 7.5,4 6.5,8 4.5,10": 3,
        "7,.3 4,.8 2,3.5 4,4.8 7.5,2.8 7.5,2.8 6.5,6 5,10": 3,
    },
}

POINTS = 80  # along a path: at most 1 pixel apart, so that even the thinnest pen leaves no gaps
CHUNK = 512  # images drawn at a time: two float32 arrays of 400 pixels for each image fit into a 2 MB cache
BOX = 20  # pixels: MNIST fits its digits into a box of 20x20 ...
SIZE = 28  # ... and centres them in 28x28 by their centre of mass

# Variation between writers, as standard deviations. Lengths are in digit heights if no unit is given. These values and
# the paths were chosen by comparison with MNIST's training images: by eye, and by the errors on those images of a
# LeNet-5 that was trained on these digits.
KNOT = 0.04  # position of a knot
WAVE = 0.08  # height of each of the two waves that bend the whole digit
WAVE_FREQUENCY = 0.7  # maximum number of waves in a digit's width or height
ASPECT = 0.22  # logarithm of width / height
SLANT, SLANT_MEAN = 0.25, 0.12  # shear: most handwriting leans to the right
ROTATION = 0.1  # radians
PEN, PEN_MEDIAN = 0.25, 1.25  # logarithm of the pen's radius; pixels
PEN_RANGE = (0.7, 2.5)  # pixels
PRESSURE = 0.2  # relative change of the pen's radius along the path
EDGE = 1.0  # pixels between full ink and none


def digits(n_train: int = 60_000, n_test: int = 10_000, *, seed: int = 0) -> tuple[ArrayDataset, ArrayDataset]:
    """Draw digits that look handwritten, in MNIST's format, for machines without MNIST and without a network.

    The images depend on the seed alone (except for single grey levels on machines that round float32 differently), and
    the first ``n`` are the same however many are drawn. Training and test images come from independent streams. A
    LeNet-5 trained only on these digits classifies about 97 % of MNIST's test set correctly.

    Parameters
    ----------
    n_train, n_test : int, default 60000 and 10000
        Number of images to draw, at least 1 each. One core draws about 35,000 per second.
    seed : int, default 0
        Another seed gives other digits.

    Returns
    -------
    train, test : ArrayDataset
        Images of uint8, shape (n, 1, 28, 28), ink 255 on 0, and labels of int64 from 0 to 9, each digit equally likely.

    Raises
    ------
    TypeError, ValueError
        If ``n_train`` or ``n_test`` is not an integer of at least 1, or ``seed`` is not an integer of at least 0.

    Examples
    --------
    >>> from fastcnn.data import digits
    >>> train, test = digits(1000, 100, seed=3)
    >>> train.images.shape, test.labels.shape, train.source
    ((1000, 1, 28, 28), (100,), 'built-in digits, seed 3')
    """
    sizes = _validate.count("n_train", n_train, least=1), _validate.count("n_test", n_test, least=1)
    streams = np.random.SeedSequence(_validate.count("seed", seed, least=0)).spawn(2)
    source = f"built-in digits, seed {seed}"
    classes = tuple("0123456789")
    train, test = (ArrayDataset(*_draw(n, stream), source, classes) for n, stream in zip(sizes, streams, strict=True))
    return train, test


def _draw(n: int, stream: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``n`` images (n, 1, 28, 28) and their labels (n,), in whole chunks that have their own streams."""
    images, labels = np.empty((n, 1, SIZE, SIZE), np.uint8), np.empty(n, np.int64)
    for first, seed in zip(range(0, n, CHUNK), stream.spawn(-(-n // CHUNK)), strict=True):
        x, y, pen, digit = _write(np.random.default_rng(seed), CHUNK)
        last = min(first + CHUNK, n)
        images[first:last, 0] = _centre(_ink(x, y, pen))[: last - first]
        labels[first:last] = digit[: last - first]
    return images, labels


def _write(rng: np.random.Generator, n: int):
    """Paths of ``n`` digits: x, y and the pen's radius, each (n, POINTS) in pixels of the box; the digits (n,)."""

    def normal(std, *shape):
        return np.float32(std) * rng.standard_normal((n, *shape), np.float32)

    def uniform(high, *shape):
        return np.float32(high) * rng.random((n, *shape), np.float32)

    digit, frequency, knots, splines = _alphabet()
    which = rng.choice(len(digit), n, p=frequency)
    moved = knots[which] + normal(KNOT, *knots.shape[1:])
    path = np.einsum("npk,nkc->npc", splines[which], moved)  # (n, POINTS, 2); BLAS sums in another order elsewhere

    bend = np.zeros_like(path)
    for _ in range(2):
        k = 2 * np.pi * WAVE_FREQUENCY * (uniform(2, 1, 2) - 1)  # wave vector
        bend += normal(WAVE, 1, 2) * np.sin((k * path).sum(2, keepdims=True) + uniform(2 * np.pi, 1, 1))
    x, y = np.moveaxis(path + bend, 2, 0)

    x = x * np.exp(normal(ASPECT, 1)) - y * (np.float32(SLANT_MEAN) + normal(SLANT, 1))
    angle = normal(ROTATION, 1)
    x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y

    pen = np.clip(np.float32(PEN_MEDIAN) * np.exp(normal(PEN, 1)), *PEN_RANGE)
    extent = np.maximum(np.ptp(x, 1, keepdims=True), np.ptp(y, 1, keepdims=True))
    scale = (BOX - 2 * pen) / extent  # the longer side, ink included, fills the box
    x, y = ((v - (v.min(1, keepdims=True) + v.max(1, keepdims=True)) / 2) * scale + (BOX - 1) / 2 for v in (x, y))

    t = np.linspace(0, 2 * np.pi, POINTS, dtype=np.float32)
    return x, y, pen * (1 + normal(PRESSURE, 1) * np.sin(uniform(1, 1) * t + uniform(2 * np.pi, 1))), digit[which]


def _ink(x: np.ndarray, y: np.ndarray, pen: np.ndarray) -> np.ndarray:
    """Ink from 0 to 1 on the pixels of the box, (BOX, BOX, n), from each pixel's distance to the nearest path point.

    The nearest point minimizes d**2 - radius**2, so that a thick point reaches further. This is a term of x plus a term
    of y: one addition and one minimum for each point and pixel. The images are the innermost axis, for SIMD.
    """
    n = len(x)
    mean = pen.mean(1)
    grid = np.arange(BOX, dtype=np.float32)[:, None]
    columns = [(grid - x[:, p]) ** 2 + (mean**2 - pen[:, p] ** 2) for p in range(POINTS)]  # (BOX, n) each
    rows = [(grid - y[:, p]) ** 2 for p in range(POINTS)]
    nearest = np.full((BOX, BOX, n), np.inf, np.float32)
    term = np.empty_like(nearest)
    for row, column in zip(rows, columns, strict=True):
        np.add(row[:, None], column, out=term)
        np.minimum(nearest, term, out=nearest)
    distance = np.sqrt(np.maximum(nearest, 0, out=nearest), out=nearest)
    return np.clip((mean - distance) / np.float32(EDGE) + np.float32(0.5), 0, 1)


def _centre(ink: np.ndarray) -> np.ndarray:
    """Grey levels (n, SIZE, SIZE) of ink (BOX, BOX, n), shifted by whole pixels to centre the centre of mass."""
    n = ink.shape[2]
    box = np.arange(BOX)
    mass = ink.sum((0, 1))
    y, x = (
        np.rint(SIZE / 2 - (box[:, None] * ink.sum(axis)).sum(0) / mass).astype(int).clip(0, SIZE - BOX)[:, None, None]
        for axis in (1, 0)
    )
    images = np.zeros((n, SIZE, SIZE), np.uint8)
    images[np.arange(n)[:, None, None], y + box[:, None], x + box] = (
        np.rint(ink * 255).astype(np.uint8).transpose(2, 0, 1)
    )
    return images


@cache
def _alphabet():
    """All pen paths: digit (V,), frequency (V,), knots (V, K, 2) in digit heights, splines (V, POINTS, K).

    Shorter paths are padded with knots of weight 0.
    """
    digit = np.array([digit for digit, paths in PEN_PATHS.items() for _ in paths])
    frequency = np.array([f / sum(paths.values()) / 10 for paths in PEN_PATHS.values() for f in paths.values()])
    drawn = [_spline(path) for paths in PEN_PATHS.values() for path in paths]
    K = max(len(knots) for knots, _ in drawn)
    knots = np.zeros((len(drawn), K, 2), np.float32)
    splines = np.zeros((len(drawn), POINTS, K), np.float32)
    for v, (path_knots, spline) in enumerate(drawn):
        knots[v, : len(path_knots)] = path_knots / 10 - 0.5
        splines[v, :, : len(path_knots)] = spline
    return digit, frequency, knots, splines


def _spline(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The knots (K, 2) of a path, and the matrix (POINTS, K) that turns them into points evenly spaced along it."""
    knots: list[tuple[float, ...]] = []
    pieces: list[list[int]] = []  # indices of the knots between two corners or lifts of the pen
    for stroke in path.split("/"):
        pieces.append([])
        for text in stroke.split():
            knot = tuple(map(float, text.split(",")))
            if pieces[-1] and knot == knots[-1]:
                pieces.append([])
            else:
                knots.append(knot)
            pieces[-1].append(len(knots) - 1)

    fine = [_catmull_rom(np.eye(len(knots))[piece]) for piece in pieces]
    steps = [np.hypot(*np.diff(rows @ knots, axis=0, prepend=rows[:1] @ knots).T) for rows in fine]
    along = np.concatenate(steps).cumsum()  # length of the path so far; gaps between pieces do not count
    return np.array(knots), np.concatenate(fine)[np.searchsorted(along, np.linspace(0, along[-1], POINTS))]


def _catmull_rom(p: np.ndarray, fine: int = 50) -> np.ndarray:
    """Smooth curve through the rows of ``p``: a uniform Catmull-Rom spline [1]_ with ``fine`` steps between two rows.

    .. [1] E. Catmull, R. Rom, "A class of local interpolating splines", Computer Aided Geometric Design, 1974.
    """
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])  # mirrored ends
    u = np.linspace(0, 1, fine, endpoint=False)[:, None]
    curve = [
        (2 * b + u * (c - a) + u**2 * (2 * a - 5 * b + 4 * c - d) + u**3 * (3 * b - 3 * c + d - a)) / 2
        for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True)
    ]
    return np.concatenate([*curve, p[-2:-1]])
