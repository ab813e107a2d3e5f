"""Upsample: images in another size."""

from fastcnn import _geometry
from fastcnn._geometry import Factor, Pair
from fastcnn.nn.module import Module


class Upsample(Module):
    """Images in another size, most often a larger one; see `fastcnn.functional.interpolate`.

    `ConvTranspose2d` does the same with weights that are learned.

    Parameters
    ----------
    size, scale_factor, mode, align_corners
        As in `fastcnn.functional.interpolate`: one of the first two.

    Raises
    ------
    TypeError, ValueError
        If not one of `size` and `scale_factor` is given, or an option is none.

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
        """Where the pixels of the output lie in images of this shape, (N, C, H, W)."""
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
        """The size or the factor, the mode, and what differs from its default."""
        size = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{size}, mode={self.mode!r}{corners}"
