"""Write models as C programs."""

import os
from collections.abc import Mapping

import numpy as np

from fastcnn import _files
from fastcnn.data import Preprocessing
from fastcnn.interop.arguments import checked_metadata, checked_model
from fastcnn.interop.c.call import Call
from fastcnn.interop.c.layers import WRITERS
from fastcnn.interop.c.source import Sizes, Types, source
from fastcnn.interop.c.steps import steps_of
from fastcnn.nn import Module
from fastcnn.nn.summaries import InputShape


def to_c(
    model: Module,
    path: str | os.PathLike,
    input_shape: InputShape | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Sizes:
    """Write a model as one C99 file that computes what it computes in evaluation mode, for one image at a time.

    The file needs no library but C's own math.h, and it allocates no memory. It has one public function,
    ``void predict(const float *image, float *output)``. The image and the output have the order of a C-contiguous
    array, without the batch axis. Batch normalizations are folded into the layers before them. Activations share the
    places of one static array. A failure leaves no partial file.

    Parameters
    ----------
    model : Module
        A float32 model of fastcnn's own layers, with one input. It is not changed, and may be in training mode.
    path : path
        The file to write; an existing one is replaced.
    input_shape : sequence of int, optional
        Shape of one image (C, H, W), one signal (C, L) or one row (features,); by default the ``input_shape`` of the
        model.
    preprocessing : fastcnn.data.Preprocessing, optional
        Preprocessing to put before the model. The image is then ``const uint8_t *``, of `input_shape`. It is padded to
        the square of the preprocessing and standardized.
    metadata : mapping of str to str, optional
        Entries for the comment at the top of the file.

    Returns
    -------
    Sizes
        ``flash`` and ``ram``: bytes of the constants, and of the static array. The comment has them, too.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If C has no such layer, or not with these options; if the model is not float32 or has numbers that are not
        finite; if `input_shape` does not fit the model, or images are larger than the square of `preprocessing`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastcnn import interop, models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sizes = interop.to_c(models.LeNet5(), pathlib.Path(folder, "lenet5.c"))
    ...     text = pathlib.Path(folder, "lenet5.c").read_text()
    >>> sizes
    Sizes(flash=246824, ram=23520)
    >>> print(text[text.index("    /* 11: ") :])
        /* 11: Linear, 84 -> 10 */
        linear(memory + 120, output, weight_11, bias_11, 84, 10);
    }
    <BLANKLINE>
    """
    shape, metadata = checked_model(model, input_shape), checked_metadata(metadata)
    for name, array in model.state_dict().items():
        if array.dtype not in (np.float32, np.int64) or not np.isfinite(array).all():  # batches are counted in int64
            what = "numbers that are not finite" if array.dtype == np.float32 else f"dtype {array.dtype}"
            raise ValueError(f"`model` must have finite float32 numbers to be written as C, but {name} has {what}.")
    steps, y = steps_of(model, shape, WRITERS, preprocessing)
    calls = [WRITERS[step.kind](step) for step in steps]
    if not calls:
        calls, y = [Call("", "a copy", "copy", (y,), y._replace(number=1), {}, (str(y.size),))], y._replace(number=1)
    types, output = (
        Types("uint8_t" if preprocessing else "float", "float"),
        "probabilities" if preprocessing else "output",
    )
    text, sizes = source(calls, "float32.c", types, (output, y), metadata)
    _files.write(path, text.encode())
    return sizes
