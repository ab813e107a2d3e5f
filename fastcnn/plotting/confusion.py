"""Plot confusion matrices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn.plotting import _style


def plot_confusion(matrix: np.ndarray, classes: Sequence[str] | None = None) -> "_style.Figure":
    """Plot a confusion matrix: numbers of images by true class (rows) and predicted class (columns).

    The colour is the fraction of the row. Its scale stretches small fractions, so that mistakes are visible.

    Parameters
    ----------
    matrix : ndarray of shape (K, K), integers
        Number of images of each true class (rows) that are predicted as each class (columns).
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `matrix` is not a square matrix of non-negative integers, or `classes` has not K names.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn.plotting import plot_confusion
    >>> figure = plot_confusion(np.array([[97, 3], [1, 99]]), ["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '196 of 200 right, 98.00 %'
    """
    from matplotlib.colors import PowerNorm

    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iu" or not matrix.size:
        raise ValueError(f"`matrix` must be (K, K), whole numbers, not {matrix.dtype} of shape {matrix.shape}.")
    if matrix.min() < 0:
        raise ValueError(f"`matrix` holds {matrix.min()}, but numbers of images are at least 0.")
    K = len(matrix)
    names = _style.class_names(classes, K)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    longest = max(map(len, names))
    cell = max(min(0.5, 12 / K), 2.4 / K)  # inches
    side = 1.2 + cell * K + 0.07 * longest
    figure = _style.figure(side + 0.9, side)
    axes = figure.subplots()
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.35, 0, 1))
    marks = (0, 0.001, 0.01, 0.05, 0.2, 0.5, 1)
    bar = figure.colorbar(drawn, shrink=0.85, ticks=marks, label="share of the true class (scale not linear)")
    bar.ax.set_yticklabels([f"{100 * mark:g} %" for mark in marks])
    bar.outline.set_visible(False)
    for k, j in np.argwhere(matrix) if cell > 0.3 else ():  # smaller cells have no room for numbers
        color = _style.readable_on(drawn.to_rgba(shares[k, j]))
        number, weight = str(matrix[k, j]), "bold" if j == k else "normal"
        axes.text(j, k, number, ha="center", va="center", color=color, fontweight=weight, fontsize=12 - len(number))
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if longest > 3 else {}
    small: dict[str, Any] = {"fontsize": min(10, 60 * cell), **_style.AS_WRITTEN}
    axes.set_xticks(range(K), names, **turned, **small)
    axes.set_yticks(range(K), names, **small)
    axes.set_xticks(np.arange(K + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3 * cell)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    total, right = int(matrix.sum()), int(matrix.trace())
    percent = f", {right / total:.2%}".replace("%", " %") if total else ""
    axes.set_title(f"{right:,} of {total:,} right{percent}", loc="left", fontweight="bold")
    return figure
