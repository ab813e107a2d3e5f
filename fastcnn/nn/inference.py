"""A trained model, made ready to do nothing but answer."""

import threading

import numpy as np

from fastcnn import _validate, backends
from fastcnn._convolution import get_convolution
from fastcnn._inputs import Batch, checked_batch, joined, listed
from fastcnn.nn import calls
from fastcnn.nn.folding import fold
from fastcnn.nn.module import Module
from fastcnn.nn.recording import State, is_recordable

_KEPT = 64  # shapes: they share their memory


class Inference:
    """What a model computes in evaluation mode, prepared once and then computed with as little as possible around it.

    Batch normalization is folded into the layers before it, what only training needs is gone, and neighbours compute as
    one (see `fastcnn.nn.folding` and `fastcnn.nn.fusion`). With the "numba" backend the first batch of a size records
    the kernels of the whole net, which a single launch runs for the following ones, in memory planned so that what is
    not needed at the same time shares its place. A few images, up to a quarter of a vector's lanes, are computed one by
    one, with channels in the lanes. LeNet-5 answers for one image in 23 microseconds where the model itself takes 109,
    ResNet-20 in 0.57 ms instead of 9 (two threads of an Intel Xeon with AVX-512). Where a layer may do more than launch
    kernels, as one of a class of its own, the layers are called.

    Where no batch normalization is folded, the output is that of the model, bit for bit, for each `batch_size` images;
    where one is, to rounding. So it is for a few images where the model's convolutions are Winograd's (see
    `fastcnn.set_convolution`): for these they are direct.

    The weights are copies: the model stays as it is, and a change of it, as by training, does not reach here. Make
    another `Inference` for that.

    Parameters
    ----------
    model : Module
        In training or evaluation mode.
    batch_size : int, default 512
        Images that are computed at a time; a larger batch comes in parts. It bounds the memory.

    Attributes
    ----------
    layers : Sequential
        What is computed.
    batch_size : int

    Raises
    ------
    TypeError, ValueError
        If `model` is not a `Module`, has batch normalization without running statistics, so that an image's output
        would depend on the others of its batch, or `batch_size` is not a whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import models
    >>> model = models.LeNet5(rng=np.random.default_rng(0))
    >>> infer = model.compile_inference()
    >>> x = np.random.default_rng(1).standard_normal((300, 1, 32, 32), np.float32)
    >>> infer(x).shape, np.array_equal(infer(x[:5]), model.eval()(x[:5]))
    ((300, 10), True)
    """

    def __init__(self, model: Module, batch_size: int = 512):
        if not isinstance(model, Module):
            raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
        self.batch_size = _validate.count("batch_size", batch_size)
        self.layers = fold(model)
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._is_recordable = is_recordable(self.layers)
        self._prepared: dict = {}  # by backend, dtype and shape: what computes such batches
        self._memory = np.empty(0, np.uint8)

    def __getstate__(self) -> dict:
        """What copy and pickle take: the layers, from which all else is made."""
        return {"layers": self.layers, "batch_size": self.batch_size}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._start()

    def __call__(self, x: Batch, *more: np.ndarray) -> np.ndarray:
        """Output for a batch, computed by the current backend.

        Any thread may call; while one computes, others wait.

        Parameters
        ----------
        x : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), float32 or float64
            Of a model with several inputs, a tuple of them.
        *more : ndarray of shape (N, C, H, W), (N, C, L) or (N, features), optional
            The other inputs, if `x` is the first of several.

        Returns
        -------
        ndarray, dtype of `x`
            A new one for each call.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a float array of at least two axes, or does not fit a layer.
        """
        inputs = listed(checked_batch(x, *more))
        backend, size = backends.load(), self.batch_size
        with self._lock:
            if len(inputs[0]) <= size:
                return self._answer(inputs, backend)
            parts = [tuple(each[i : i + size] for each in inputs) for i in range(0, len(inputs[0]), size)]
            return np.concatenate([self._answer(part, backend) for part in parts])

    def _answer(self, inputs: tuple[np.ndarray, ...], backend) -> np.ndarray:
        """Output for a batch that is computed as one."""
        if not (self._is_recordable and hasattr(backend, "prepare")):
            return np.array(backend.unpack(self._forward(tuple(map(backend.pack, inputs)), backend)))
        N, dtype = len(inputs[0]), inputs[0].dtype
        shapes = tuple((backend.prepared_size(N, dtype), *x.shape[1:]) for x in inputs)
        key = backend, dtype, shapes, get_convolution()
        compute = self._prepared.get(key)
        if compute is None:
            if len(self._prepared) >= _KEPT:
                self._prepared.clear()
            compute = backend.prepare(self._forward, shapes, dtype, self._room, State(self.layers).arrays)
            self._prepared[key] = compute
        return compute(*inputs)

    def _forward(self, inputs: tuple, backend):
        """Call the layers; none remembers anything, as there will be no backward pass."""
        with calls.forgetting():
            return self.layers.forward_native(joined(inputs), backend)

    def _room(self, size: int) -> np.ndarray:
        """The memory of all shapes, of which only one is computed at a time; a larger one, if it is too small."""
        if size > self._memory.size:
            self._prepared.clear()  # they have the old one
            self._memory = np.empty(size, np.uint8)
        return self._memory

    def __repr__(self) -> str:
        return f"Inference({self.layers!r}, batch_size={self.batch_size})"


Module._inference = Inference
