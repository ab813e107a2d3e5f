"""Residual connections: the output of a body is added to that of a shortcut."""

from fastcnn import _validate
from fastcnn._inputs import added, each
from fastcnn.nn.calls import last_call
from fastcnn.nn.module import Module
from fastcnn.nn.reshaping import Identity


class Residual(Module):
    """``body(x) + shortcut(x)``: the body learns what to add to its input.

    Parameters
    ----------
    body : Module
        Often a `Sequential`.
    shortcut : Module, optional
        By default `Identity`. If the body changes the shape, the shortcut must return the same shape.

    Attributes
    ----------
    body, shortcut : Module

    Raises
    ------
    TypeError
        If either is not a `Module`.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, equations (1) and (2).

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> block = nn.Residual(nn.ReLU())
    >>> block(np.array([[-1.0, 2.0]]))
    array([[-1.,  4.]])
    >>> block.backward(np.array([[1.0, 1.0]]))
    array([[1., 2.]])
    """

    def __init__(self, body: Module, shortcut: Module | None = None):
        shortcut = Identity() if shortcut is None else shortcut
        for name, module in (("body", body), ("shortcut", shortcut)):
            if not isinstance(module, Module):
                raise TypeError(f"`{name}` must be a Module, not {type(module).__name__}.")
        self.body, self.shortcut = body, shortcut

    @property
    def several_inputs(self) -> bool:  # type: ignore[override]
        """Whether both take several inputs."""
        return self.body.several_inputs and self.shortcut.several_inputs

    def forward_native(self, x, backend):
        """Call both and add their outputs."""
        y = self.body.forward_native(x, backend)
        self._body = last_call(self.body)
        past = self.shortcut.forward_native(x, backend)
        self._shortcut = last_call(self.shortcut)
        if y.shape != past.shape:
            given = each(lambda one: one.shape, x)
            raise ValueError(
                f"The body of a {type(self).__name__} returns shape {y.shape} for an input of shape {given}, but its "
                f"shortcut returns {past.shape}; both must return the same shape."
            )
        return backend.add(y, past)

    def backward_native(self, dy, backend, input_grad: bool):
        """Go back through both and add the gradients of the input."""
        dx = self._body.backward(dy, backend, input_grad)
        past = self._shortcut.backward(dy, backend, input_grad)
        return added(dx, past, backend) if input_grad else None


class ResizeChannels(Module):
    """Keep the first ``channels`` channels, or append channels of zeros if an image has fewer.

    After ``AvgPool2d(1, stride=2)``, which takes every second pixel, it is the shortcut without parameters of He et al.
    2016 (option A).

    Parameters
    ----------
    channels : int

    Raises
    ------
    TypeError, ValueError
        If `channels` is not a whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.ResizeChannels(3)(np.ones((1, 2, 1, 1))).ravel()
    array([1., 1., 0.])
    """

    def __init__(self, channels: int):
        self.channels = _validate.count("channels", channels)

    def forward_native(self, x, backend):
        """Remove channels or append zeros."""
        if len(x.shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {x.shape}.")
        self._channels = x.shape[1]
        return backend.resize_channels(x, self.channels)

    def backward_native(self, dy, backend, input_grad: bool):
        """Restore the number of channels."""
        return backend.resize_channels(dy, self._channels)

    def extra_repr(self) -> str:
        """Return `channels` for the repr."""
        return f"channels={self.channels}"
