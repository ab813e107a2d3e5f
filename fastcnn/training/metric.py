"""Description of a metric and of how it is printed."""

from dataclasses import dataclass

from fastcnn import _validate


@dataclass(frozen=True)
class Metric:
    """Description of a metric of a `Task`.

    Parameters
    ----------
    name : str
        An identifier such as "accuracy": the record of an epoch has ``train_accuracy`` and ``validation_accuracy``.
    better : {"higher", "lower"}, default "higher"
        Whether higher or lower values are better.
    percent : bool, default False
        Whether it is a fraction of 1 that is printed in percent.
    label : str, optional
        Name for printing; by default `name` with spaces for underscores.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from fastcnn.training import Metric
    >>> print(Metric("mae", "lower", label="MAE").shown(0.25), Metric("top_3", percent=True).shown(0.5))
    MAE 0.2500 top 3 50.00%
    """

    name: str
    better: str = "higher"
    percent: bool = False
    label: str = ""

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"`name` is {self.name!r} but must be an identifier such as 'accuracy'.")
        if not isinstance(self.label, str):
            raise TypeError(f"`label` must be a str, not {type(self.label).__name__}.")
        object.__setattr__(self, "better", _validate.choice("better", self.better, ("higher", "lower")))
        object.__setattr__(self, "percent", _validate.flag("percent", self.percent))
        object.__setattr__(self, "label", self.label or self.name.replace("_", " "))

    @property
    def title(self) -> str:
        """The capitalized label with its unit, for headings and plots."""
        return f"{self.label[:1].upper()}{self.label[1:]}{' (%)' * self.percent}"

    def written(self, value: float) -> str:
        """Format a value."""
        return f"{value:.2%}" if self.percent else f"{value:.4f}"

    def shown(self, value: float) -> str:
        """Format a value with its label."""
        return f"{self.label} {self.written(value)}"

    def gain(self, value: float, other: float) -> float:
        """How much better ``value`` is than ``other``; negative if it is worse."""
        return value - other if self.better == "higher" else other - value

    def improves(self, value: float, best: float | None, min_delta: float = 0.0) -> bool:
        """Whether ``value`` is better than ``best``, if there is one, by more than ``min_delta``; NaN never is."""
        return value == value if best is None else self.gain(value, best) > min_delta


LOSS, ACCURACY = Metric("loss", "lower"), Metric("accuracy", percent=True)
