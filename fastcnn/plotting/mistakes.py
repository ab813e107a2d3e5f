"""Plot the mistakes of a classifier."""

from collections.abc import Sequence

import numpy as np

from fastcnn import _validate
from fastcnn.plotting import _style


def plot_mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str] | None = None,
    count: int = 16,
) -> "_style.Figure":
    """Plot the images that a classifier gets wrong, those with the most confident predictions first.

    Above each image are its true class, the predicted class and the probability of the prediction.

    Parameters
    ----------
    images : ndarray of shape (N, C, H, W), uint8, float32 or float64
        C is 1 or 3. uint8 images are drawn as they are, others are scaled from their minimum to their maximum.
    labels : ndarray of shape (N,), integers
        The true classes.
    probabilities : ndarray of shape (N, K), float32 or float64
        The predicted probabilities, as from `fastcnn.functional.softmax`.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.
    count : int, default 16
        The maximum number of images to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If the arrays are not as described, or no image is classified wrongly.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.plotting import plot_mistakes
    >>> images, labels = np.zeros((3, 1, 8, 8), np.uint8), np.array([0, 1, 1])
    >>> figure = plot_mistakes(images, labels, np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]]), ["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '2 of 3 images are wrong'
    """
    images = _style.images("images", images)
    probabilities = _validate.floats("probabilities", probabilities, 2)
    if len(probabilities) != len(images):
        raise ValueError(f"`probabilities` has {len(probabilities)} rows but there are {len(images)} images.")
    K = probabilities.shape[1]
    labels = _validate.indices("labels", labels, (len(images),), K)
    names = _style.class_names(classes, K)
    count = _validate.count("count", count)
    predicted, surety = probabilities.argmax(axis=1), probabilities.max(axis=1)
    (wrong,) = np.nonzero(predicted != labels)
    if not len(wrong):
        raise ValueError("`probabilities` are highest for the true class of every image: there is no mistake to plot.")
    shown = wrong[np.argsort(-surety[wrong], kind="stable")[:count]]

    longest = max(map(len, names))
    most = 8 if longest <= 3 else 5 if longest <= 8 else 4
    across = min(len(shown), most)
    more = f"; the {len(shown)} most confident" * (len(shown) < len(wrong))
    title = f"{len(wrong):,} of {len(images):,} images {'is' if len(wrong) == 1 else 'are'} wrong{more}"
    inches = 9 / most  # width of an image
    words, high = 0.27 / inches, images.shape[2] / images.shape[3]  # height of the text and of an image, in widths
    wide, tall = 1.1, words + high + 0.07
    figure, axes = _style.canvas(wide * across, tall * -(-len(shown) // across), inches, title, least=5)
    for i, n in enumerate(shown):
        left, top = wide * (i % across), tall * (i // across)
        text = f"{names[labels[n]]} → {names[predicted[n]]}  {_percent(surety[n])}"
        axes.text(left, top + words / 2, text, va="center", fontsize="small", **_style.AS_WRITTEN)
        pixels, how = _style.picture(images[n])
        _style.tile(axes, pixels, left, top + words, 1, high, **how)
    return figure


def _percent(share: float) -> str:
    """Format a probability in per cent with one decimal, at most 99.9 %."""
    return f"{min(100 * float(share), 99.9):.1f} %"
