"""What a recipe is: plain data, so that a record can hold all of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """A figure of a write-up, and where ours stands.

    Parameters
    ----------
    row : str
        Of the table of claims: "S1-10".
    what : str
    said : float or str
        The write-up's figure.
    ours : str
        Name of a figure in a run's record: "test_accuracy".
    better : {"higher", "lower", "equal"}
    """

    row: str
    what: str
    said: float
    ours: str
    better: str = "higher"


@dataclass(frozen=True)
class Run:
    """One training run of a recipe, by names that `train.py` looks up.

    Parameters
    ----------
    name : str
        Of its records: "lenet5".
    model : str
        One of `fastcnn.models.NAMES` or `nets.NETS`.
    images : str
        How they are prepared, one of `images.PREPARE`.
    batch_size, epochs : int
    optimizer : str
        One of `optimizers.OPTIMIZERS`.
    optimizer_options : mapping
        For a loss that is a mean over the batch.
    model_options : mapping
    init : str
        One of `nets.INITS`.
    dropout : float
        Probability that a feature before a linear layer is dropped; 0 is none.
    leaky : float
        Slope of LeakyReLU in place of ReLU; 0 is ReLU.
    weight_decay_of_weights : float
        Weight decay that leaves the biases alone.
    schedule : str
        A class of `fastcnn.optim`, or "" for none.
    schedule_options : mapping
    loss : {"cross entropy", "euclidean"}
    log_every : int
        Batches of a line in the record's log.
    seeds : sequence of int
        One run for each.
    claims : sequence of Claim
    pictures : bool
        Whether feature maps and filters are drawn afterwards.
    against_pytorch : bool
        Whether the first seed is trained in PyTorch, too.
    threads : int, optional
        Unless others are asked for; by default one for each processor.
    """

    name: str
    model: str
    images: str
    batch_size: int
    epochs: int
    optimizer: str
    optimizer_options: Mapping
    model_options: Mapping = field(default_factory=dict)
    init: str = "default"
    dropout: float = 0.0
    leaky: float = 0.0
    weight_decay_of_weights: float = 0.0
    schedule: str = ""
    schedule_options: Mapping = field(default_factory=dict)
    loss: str = "cross entropy"
    log_every: int = 100
    seeds: Sequence[int] = (0,)
    claims: Sequence[Claim] = ()
    pictures: bool = False
    against_pytorch: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class Recipe:
    """The runs that answer one write-up, and what was decided where it is silent."""

    name: str
    title: str
    notes: Sequence[str]
    runs: Sequence[Run]
