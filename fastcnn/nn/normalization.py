"""Batch normalization layers."""

from typing import Any

import numpy as np

from fastcnn import _validate
from fastcnn.functional.normalization import check_enough_values, checked_eps, checked_momentum, normalize
from fastcnn.nn import init
from fastcnn.nn.module import Module
from fastcnn.nn.parameter import Buffer
from fastcnn.nn.undoing import note_arrays


class _BatchNorm(Module):
    """Base of these layers, which differ in the number of axes of their input."""

    _axes: tuple[tuple[int, ...], str]
    _others: Any = None  # sums over all ranks; see fastcnn.distributed.convert_sync_batch_norm

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype=np.float32,
    ):
        self.num_features = _validate.count("num_features", num_features)
        self.eps = checked_eps(eps)
        self.momentum = None if momentum is None else checked_momentum(momentum)
        self.affine = _validate.flag("affine", affine)
        self.track_running_stats = _validate.flag("track_running_stats", track_running_stats)
        self.dtype = np.dtype(dtype)
        ones = init.parameter((num_features,), dtype)
        ones.data[...] = 1
        self.weight = ones if affine else None
        self.bias = init.parameter((num_features,), dtype) if affine else None
        tracked = track_running_stats
        self.running_mean = Buffer(np.zeros_like(ones.data)) if tracked else None
        self.running_var = Buffer(np.ones_like(ones.data)) if tracked else None
        self.num_batches_tracked = Buffer(np.zeros((), np.int64)) if tracked else None

    def forward_native(self, x, backend, *, relu: bool = False):
        """See `fastcnn.functional.batch_norm`; for ``relu``, see `fastcnn.nn.fusion`."""
        self.check(x)
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        self._of_batch = self.training or not self.track_running_stats
        together: Any = self._others if self.training else None
        if self._of_batch and not together:
            check_enough_values(f"The input of {self}", x.shape)
        running: tuple = ()
        if self.track_running_stats and mean and var and batches:
            running = mean.data, var.data, batches.data
            if self._of_batch:
                note_arrays(running)
        weight, bias = self.weight and self.weight.data, self.bias and self.bias.data
        options = self._of_batch, self.momentum, self.eps, together and together.moments, relu
        y, *self._statistics, self._count = normalize(backend, x, running, weight, bias, *options)
        self._x, self._together, self._relu = x, together, relu
        return y

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.batch_norm_backward`."""
        self._check_arrays(dy.dtype)
        weight = self.weight and np.ascontiguousarray(self.weight.data)
        apart = self._of_batch and not self._together
        given, wanted = (dy, self._x, *self._statistics, weight), (input_grad, self.learns() or bool(self._together))
        if self._relu:
            bias = self.bias and np.ascontiguousarray(self.bias.data)
            dx, dweight, dbias = backend.batch_norm_relu_backward(*given, bias, apart, *wanted)
        else:
            dx, dweight, dbias = backend.batch_norm_backward(*given, apart, *wanted)
        if self._together:
            dx = self._through_statistics(dx, dweight, dbias, backend)
        if self.weight and self.bias:
            self.weight.accumulate(dweight)
            self.bias.accumulate(dbias)
        return dx

    def _through_statistics(self, dx, dweight: np.ndarray, dbias: np.ndarray, backend):
        """Add to ``dx`` the gradient through the mean and the variance over all ranks.

        These are the last two terms of `fastcnn.functional.batch_norm_backward`. Together they have the form of a batch
        normalization of x, so `batch_norm` computes them.
        """
        dweight, dbias = self._together.sums(dweight, dbias)
        if dx is None:
            return None
        mean, invstd = self._statistics
        scale = -invstd / self._count * (self.weight.data if self.weight else 1)
        slope, level = ((scale * total).astype(self.dtype) for total in (dweight, dbias))
        return backend.add(dx, backend.batch_norm(self._x, mean, invstd, slope, level))

    def count_with(self, others) -> None:
        """Include the batches of other ranks in the statistics from now on, or no longer with None."""
        if others is not self._others:
            self._others = others
            self._version += 1  # earlier recordings no longer hold

    def why_unrecorded(self) -> str | None:
        """Return a reason if the statistics are those of all ranks, which no backend computes."""
        return "its statistics are those of all ranks" if self._others else None

    def check(self, x) -> None:
        """Raise an error if the input, a parameter or a buffer does not fit."""
        axes, layout = self._axes
        if len(x.shape) in axes and x.shape[1] == self.num_features and x.dtype == self.dtype:
            self._check_arrays(x.dtype)
            return
        if len(x.shape) not in axes:
            raise ValueError(f"{self} needs {layout} but its input has shape {x.shape}.")
        if x.shape[1] != self.num_features:
            raise ValueError(f"{self} needs {self.num_features} channels but its input has shape {x.shape}.")
        raise TypeError(f"{self} is {self.dtype} but its input is {x.dtype}; convert it with .astype(np.{self.dtype}).")

    def _check_arrays(self, dtype) -> None:
        of_each = (self.num_features,)
        self.check_arrays(dtype, weight=of_each, bias=of_each, running_mean=of_each, running_var=of_each)
        self.check_arrays(np.dtype(np.int64), num_batches_tracked=())

    def extra_repr(self) -> str:
        """Return channels and options other than the defaults for the repr."""
        options = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}
        changed = "".join(f", {k}={getattr(self, k)!r}" for k, v in options.items() if getattr(self, k) != v)
        return f"{self.num_features}{changed}"


class BatchNorm2d(_BatchNorm):
    """Normalize each channel of images by its mean and variance; see `fastcnn.functional.batch_norm`.

    Training mode uses the statistics of the batch. Evaluation mode uses the running statistics, if they are tracked.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        Weight of the new batch in the running statistics; None makes them the average over all batches.
    affine : bool, default True
        Whether to scale and shift each channel by a learned weight and bias.
    track_running_stats : bool, default True
        Whether to track running statistics. Without them, evaluation mode also uses the statistics of the batch.
    dtype : {float32, float64}
        Dtype of the parameters and running statistics, and so of the input.

    Attributes
    ----------
    weight, bias : Parameter of shape (num_features,), or None
        Initially 1 and 0.
    running_mean, running_var : Buffer of shape (num_features,), or None
        Initially 0 and 1.
    num_batches_tracked : Buffer of shape (), int64, or None
        Number of batches seen in training mode.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> layer = nn.BatchNorm2d(1, eps=0, dtype=np.float64)
    >>> layer(np.array([[[[1.0, 3.0]]]]))[0, 0]
    array([[-1.,  1.]])
    >>> layer.running_mean.data, layer.running_var.data
    (array([0.2]), array([1.1]))
    """

    _axes = (4,), "images (N, C, H, W)"


class BatchNorm1d(_BatchNorm):
    """Normalize each feature of rows or each channel of signals, as `BatchNorm2d` does for images.

    The input is (N, features) or (N, C, L).

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, dtype
        As in `BatchNorm2d`.

    Attributes
    ----------
    weight, bias, running_mean, running_var, num_batches_tracked
        As in `BatchNorm2d`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.BatchNorm1d(2, eps=0, dtype=np.float64)(np.array([[1.0, 10.0], [3.0, 50.0]]))
    array([[-1., -1.],
           [ 1.,  1.]])
    """

    _axes = (2, 3), "rows (N, features) or signals (N, C, L)"
