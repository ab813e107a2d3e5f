"""Models by name, as on the command line and in checkpoints."""

import inspect

import numpy as np

from fastcnn._names import choices_for
from fastcnn.models.lenet5 import LeNet5, LeNet5Classic
from fastcnn.models.mlp import MLP
from fastcnn.models.mobilenet import SmallMobileNet
from fastcnn.models.resnet import ResNet20
from fastcnn.models.small import Conv4Conv8, Conv8
from fastcnn.models.vgg import VGG7
from fastcnn.nn import Sequential

_MODELS = {
    "lenet5": LeNet5,
    "lenet5_classic": LeNet5Classic,
    "conv8": Conv8,
    "conv4_conv8": Conv4Conv8,
    "mlp": MLP,
    "vgg7": VGG7,
    "resnet20": ResNet20,
    "small_mobilenet": SmallMobileNet,
}

NAMES = tuple(_MODELS)
"""Names that `build` takes."""


def build(name: str, *, rng: np.random.Generator | None = None, dtype=np.float32, **options) -> Sequential:
    """Build a new model by name.

    Parameters
    ----------
    name : str
        One of `fastcnn.models.NAMES`.
    rng : numpy.random.Generator, optional
        Draws the initial parameters; by default a new generator.
    dtype : {float32, float64}
        Dtype of the parameters and of the images.
    **options
        Of the model's class. Every class has ``num_classes``, ``in_channels`` and ``image_size``. Options are numbers,
        strings and lists, so that a name and its options can be written as JSON.

    Returns
    -------
    Sequential
        With an attribute ``input_shape``, (C, H, W).

    Raises
    ------
    TypeError, ValueError
        If there is no such model or option, or a value is out of range.

    Examples
    --------
    >>> from fastcnn import models
    >>> model = models.build("resnet20", num_classes=100)
    >>> type(model).__name__, model.input_shape
    ('ResNet20', (3, 32, 32))
    """
    if name not in NAMES:
        raise ValueError(f"There is no model {name!r}; the models are {choices_for(name, NAMES, repr)}.")
    known = [option for option in inspect.signature(_MODELS[name]).parameters if option not in ("rng", "dtype")]
    for option in options:
        if option not in known:
            raise ValueError(f"The model {name!r} has no option `{option}`; it has {choices_for(option, known)}.")
    return _MODELS[name](**options, rng=rng, dtype=dtype)
