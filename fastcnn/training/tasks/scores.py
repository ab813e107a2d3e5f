"""Metrics of an evaluated model, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastcnn._names import choices_for
from fastcnn.training.metric import LOSS, Metric


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Result of `fastcnn.training.evaluate` for a `Task`; ``print(scores)`` shows it.

    Each metric is also an attribute: ``scores.mae`` is ``scores.metrics["mae"]``.

    Attributes
    ----------
    images : int
    loss : float
    metrics : mapping of str to float
    kinds : tuple of Metric
        Descriptions of the metrics.

    Examples
    --------
    >>> from fastcnn.training import Metric, Scores
    >>> scores = Scores(200, 0.5, {"mae": 0.25}, (Metric("mae", "lower", label="MAE"),))
    >>> scores.mae
    0.25
    >>> print(scores)
    200 images, loss 0.5000, MAE 0.2500
    """

    images: int
    loss: float
    metrics: Mapping[str, float]
    kinds: tuple[Metric, ...]

    def __getattr__(self, name: str) -> float:
        metrics = vars(self).get("metrics", {})
        if name in metrics:
            return metrics[name]
        known = "loss", *metrics
        raise AttributeError(f"{type(self).__name__} has no {name}; its metrics are {choices_for(name, known)}.")

    def __str__(self) -> str:
        shown = [LOSS.shown(self.loss), *(kind.shown(self.metrics[kind.name]) for kind in self.kinds)]
        return f"{self.images:,} images, {', '.join(shown)}"

    def __repr__(self) -> str:
        numbers = [f"{name}={value:.4f}" for name, value in {"loss": self.loss, **self.metrics}.items()]
        return f"{type(self).__name__}(images={self.images}, {', '.join(numbers)})"


def table(names: list[str], head: str, columns: Mapping[str, list[str]]) -> list[str]:
    """Lines of a table: the names on the left under ``head``, then the columns."""
    width = max(len(name) for name in [head, *names])
    widths = {title: max(len(title), *map(len, texts)) for title, texts in columns.items()}
    lines = ["  ".join([f"{head:<{width}}", *(f"{title:>{widths[title]}}" for title in columns)])]
    for i, name in enumerate(names):
        lines.append("  ".join([f"{name:<{width}}", *(f"{texts[i]:>{widths[t]}}" for t, texts in columns.items())]))
    return lines
