"""A number that says how good a model is, and how it is written."""

from dataclasses import dataclass

from fastcnn import _validate


@dataclass(frozen=True)
class Metric:
    """What a metric of a `Task` is.

    Parameters
    ----------
    name : str
        An identifier, as "accuracy": the record of an epoch has ``train_accuracy`` and ``validation_accuracy``.
    better : {"higher", "lower"}, default "higher"
        Which of two values is the better one.
    percent : bool, default False
        Whether it is a part of 1 that people read in percent.
    label : str, optional
        How people write it; by default its name with spaces.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.

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
            raise ValueError(f"`name` is {self.name!r} but must be an identifier, as 'accuracy'.")
        if not isinstance(self.label, str):
            raise TypeError(f"`label` must be a str, not {type(self.label).__name__}.")
        object.__setattr__(self, "better", _validate.choice("better", self.better, ("higher", "lower")))
        object.__setattr__(self, "percent", _validate.flag("percent", self.percent))
        object.__setattr__(self, "label", self.label or self.name.replace("_", " "))

    @property
    def title(self) -> str:
        """The label at the beginning of a sentence or of a plot, with its unit."""
        return f"{self.label[:1].upper()}{self.label[1:]}{' (%)' * self.percent}"

    def written(self, value: float) -> str:
        """A value, as text."""
        return f"{value:.2%}" if self.percent else f"{value:.4f}"

    def shown(self, value: float) -> str:
        """A value with its label."""
        return f"{self.label} {self.written(value)}"

    def gain(self, value: float, other: float) -> float:
        """How much better ``value`` is than ``other``; below 0 if it is worse."""
        return value - other if self.better == "higher" else other - value


LOSS, ACCURACY = Metric("loss", "lower"), Metric("accuracy", percent=True)
