"""Upsample, which resizes images."""

from fastcnn import _geometry
from fastcnn._geometry import Factor, Pair
from fastcnn.nn.module import Module


class Upsample(Module):
    """Resize images, usually to a larger size; see `fastcnn.functional.interpolate`.

    `ConvTranspose2d` enlarges images with learned weights.

    Parameters
    ----------
    size, scale_factor, mode, align_corners
        As in `fastcnn.functional.interpolate`. Give either `size` or `scale_factor`.

    Raises
    ------
    TypeError, ValueError
        If not exactly one of `size` and `scale_factor` is given, or an option is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import nn
    >>> nn.Upsample(scale_factor=2)(np.array([[[[1.0, 3.0]]]]))[0, 0]
    array([[1., 1., 3., 3.],
           [1., 1., 3., 3.]])
    """

    def __init__(
        self,
        size: Pair | None = None,
        scale_factor: Factor | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ):
        options = _geometry.checked_resizing(size, scale_factor, mode, align_corners)
        self.size, self.scale_factor, self.mode, self.align_corners = options

    def sampling(self, shape: tuple[int, ...]) -> _geometry.Sampling:
        """Return where the pixels of the output lie in images of this shape, (N, C, H, W)."""
        if len(shape) != 4:
            raise ValueError(f"{self} needs images (N, C, H, W) but its input has shape {shape}.")
        return _geometry.sampling(shape[2:], self.size, self.scale_factor, self.mode, self.align_corners)

    def forward_native(self, x, backend):
        """See `fastcnn.functional.interpolate`."""
        self._at = self.sampling(x.shape)
        return backend.interpolate(x, self._at)

    def backward_native(self, dy, backend, input_grad: bool):
        """See `fastcnn.functional.interpolate_backward`."""
        return backend.interpolate_backward(dy, self._at)

    def extra_repr(self) -> str:
        """Return the size or factor, the mode, and `align_corners` if it is set, for the repr."""
        size = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{size}, mode={self.mode!r}{corners}"
