"""Recipes as plain data, so that a record can include them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """A figure of a write-up, to be compared with a figure of ours.

    Parameters
    ----------
    row : str
        Row of the table of claims, such as "S1-10".
    what : str
        Description of the figure.
    said : float or str
        The write-up's figure.
    ours : str
        Name of our figure in the record of a run, such as "test_accuracy".
    better : {"higher", "lower", "equal"}
        Which value of our figure meets the claim.
    """

    row: str
    what: str
    said: float
    ours: str
    better: str = "higher"


@dataclass(frozen=True)
class Run:
    """One training run of a recipe; `train.py` looks up the names.

    Parameters
    ----------
    name : str
        Name of the run in its records, such as "lenet5".
    model : str
        One of `fastcnn.models.NAMES` or `nets.NETS`.
    images : str
        Preprocessing of the images, one of `images.PREPARE`.
    batch_size, epochs : int
    optimizer : str
        One of `optimizers.OPTIMIZERS`.
    optimizer_options : mapping
        Options for a loss that is a mean over the batch.
    model_options : mapping
    init : str
        One of `nets.INITS`.
    dropout : float
        Probability of dropout before each linear layer; 0 for no dropout.
    leaky : float
        Slope of LeakyReLU instead of ReLU; 0 for ReLU.
    weight_decay_of_weights : float
        Weight decay of the weights but not the biases.
    schedule : str
        A class of `fastcnn.optim`, or "" for none.
    schedule_options : mapping
    loss : {"cross entropy", "euclidean"}
    log_every : int
        Number of batches for each line in the log of the record.
    seeds : sequence of int
        The run is repeated for each seed.
    claims : sequence of Claim
    pictures : bool
        Whether to draw feature maps and filters after the training.
    against_pytorch : bool
        Whether to train the first seed in PyTorch, too.
    threads : int, optional
        Number of threads unless the user asks for another; by default one for each processor.
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
    """The runs that reproduce one write-up, with notes on what it leaves open."""

    name: str
    title: str
    notes: Sequence[str]
    runs: Sequence[Run]
