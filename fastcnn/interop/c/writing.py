"""Write models as C programs."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastcnn import _files, _validate, nn
from fastcnn._inputs import joined
from fastcnn.data import Preprocessing
from fastcnn.interop.arguments import checked_metadata, checked_model
from fastcnn.interop.c.call import Call
from fastcnn.interop.c.layers import WRITERS
from fastcnn.interop.c.listing import steps_of
from fastcnn.interop.c.quantized import quantized
from fastcnn.interop.c.source import Sizes, Types, source
from fastcnn.interop.c.steps import Array
from fastcnn.nn import Module
from fastcnn.nn.summaries import InputShape, checked_shapes


def to_c(
    model: Module,
    path: str | os.PathLike,
    input_shape: InputShape | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, str] | None = None,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
) -> Sizes:
    """Write a model as one C99 file that computes what it computes in evaluation mode, for one image at a time.

    The file needs no library but C's own math.h, and it allocates no memory. It is for processors from 8-bit
    microcontrollers up; if an array has more than 32,767 elements, ``int`` must have 32 bits. On AVR, constants stay
    in flash memory, for which the compiler needs ``-std=gnu99``, and must lie in its first 64 KB; its math.h lacks
    functions of C99, so ELU, GELU, Mish and Softplus need int8 there. The file has one public function,
    ``void predict(const float *image, float *output)``; ``-Dpredict=NAME`` gives it another name, to link several
    nets. The image and the output have the order of a C-contiguous array, without the batch axis. Batch normalizations
    are folded into the layers before them, and convolutions do the max-poolings after them. Activations share the
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
    precision : {"float32", "int8"}, default "float32"
        In which numbers the program computes. With int8, weights and activations are 8-bit integers and sums are 32-bit
        integers. Only the conversion of a float image at the start, and of the output and a softmax at the end, use
        floats. The preprocessing is folded into the first layer, which must be a convolution or a linear layer.
    calibration : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), optional
        For int8: typical images, some hundreds of the training images for example. They decide which range of numbers
        the integers of each activation cover. They are uint8 with `preprocessing`, else float32.

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
        finite; if `input_shape` does not fit the model, or images are larger than the square of `preprocessing`; if
        `calibration` is missing for int8, is given for float32, or has another shape or dtype than the images.

    References
    ----------
    B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
    CVPR 2018.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastcnn import interop, models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sizes = interop.to_c(models.LeNet5(), pathlib.Path(folder, "lenet5.c"))
    ...     text = pathlib.Path(folder, "lenet5.c").read_text()
    >>> sizes
    Sizes(flash=246824, ram=6304)
    >>> print(text[text.index("    /* 11: ") :])
        /* 11: Linear, 84 -> 10 */
        linear(memory + 120, output, weight_11, bias_11, 84, 10);
    }
    <BLANKLINE>
    """
    shape, metadata = joined(checked_shapes(model, checked_model(model, input_shape))), checked_metadata(metadata)
    for name, array in model.state_dict().items():
        if array.dtype not in (np.float32, np.int64) or not np.isfinite(array).all():  # batches are counted in int64
            what = "numbers that are not finite" if array.dtype == np.float32 else f"dtype {array.dtype}"
            raise ValueError(f"`model` must have finite float32 numbers to be written as C, but {name} has {what}.")
    precision = _validate.choice("precision", precision, ("float32", "int8"))
    steps, y = steps_of(model, shape, preprocessing)
    image = Array(0, shape)
    images = _checked_calibration(
        calibration, image.shape, np.float32 if preprocessing is None else np.uint8, precision
    )
    if images is None:
        calls = [WRITERS[step.kind](step) for step in steps]
    else:
        net = quantized(steps, image, y, images)
        calls, y = [operation.call for operation in net.operations], net.output
    if not calls:
        calls, y = [Call("", "a copy", "copy", (y,), y._replace(number=1), {}, (str(y.size),))], y._replace(number=1)
    types = Types("float" if preprocessing is None else "uint8_t", "float" if images is None else "uint8_t")
    output = "probabilities" if steps and steps[-1].kind is nn.Softmax else "output"
    text, sizes = source(calls, f"{precision}.c", types, image, (output, y), metadata)
    _files.write(path, text.encode(errors="backslashreplace"))  # metadata may hold names of files in other encodings
    return sizes


def _checked_calibration(images: Any, shape: tuple, dtype: type, precision: str) -> np.ndarray | None:
    """Return the calibration images, or None for float32; raise an error if they do not fit."""
    if precision == "float32":
        if images is not None:
            raise ValueError('`calibration` is for precision "int8"; "float32" needs none.')
        return None
    what = f"an array of {np.dtype(dtype)} images of shape (N, {', '.join(map(str, shape))})"
    if not isinstance(images, np.ndarray):
        raise TypeError(f'`calibration` must be {what} for precision "int8", not {type(images).__name__}.')
    if images.dtype != dtype or images.shape[1:] != shape or not len(images):
        raise ValueError(f"`calibration` must be {what}, not {images.dtype} of shape {images.shape}.")
    if not np.isfinite(images).all():
        raise ValueError("`calibration` has numbers that are not finite.")
    return images
