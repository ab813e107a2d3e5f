"""Modules of PyTorch for layers that fastcnn has and PyTorch lacks; importing this file imports PyTorch."""

from collections import OrderedDict
from typing import Any

import torch
from torch.nn import functional

from fastcnn._geometry import AnyPadding, conv_windows


class Residual(torch.nn.Module):
    """See `fastcnn.nn.Residual`."""

    def __init__(self, body: torch.nn.Module, shortcut: torch.nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        """Compute ``body(x) + shortcut(x)``."""
        return self.body(x) + self.shortcut(x)


class Concat(torch.nn.Sequential):
    """See `fastcnn.nn.Concat`."""

    def __init__(self, branches: "OrderedDict[str, torch.nn.Module]", dim: int):
        super().__init__(branches)
        self.dim = dim

    def forward(self, input):
        """Concatenate the outputs of all branches for the same input."""
        return torch.cat([branch(input) for branch in self], self.dim)


class Parallel(Concat):
    """See `fastcnn.nn.Parallel`."""

    def forward(self, input, *more):
        """Concatenate the branches' outputs, each for its own input; a Sequential passes the inputs as a tuple."""
        inputs = (input, *more) if more else input
        return torch.cat([branch(x) for branch, x in zip(self, inputs, strict=True)], self.dim)


class GlobalAvgPool2d(torch.nn.Module):
    """See `fastcnn.nn.GlobalAvgPool2d`."""

    def forward(self, x):
        """Compute the mean of each channel, (N, C)."""
        return x.mean((2, 3))


class ResizeChannels(torch.nn.Module):
    """See `fastcnn.nn.ResizeChannels`."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        """Keep the first channels, or append channels of zeros."""
        return functional.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))

    def extra_repr(self) -> str:
        """Return the number of channels."""
        return f"channels={self.channels}"


class ScaledTanh(torch.nn.Module):
    """See `fastcnn.nn.ScaledTanh`."""

    def __init__(self, amplitude: float, slope: float):
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, x):
        """Compute ``amplitude * tanh(slope * x)``."""
        return self.amplitude * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        """Return both factors."""
        return f"amplitude={self.amplitude}, slope={self.slope}"


class _Padded:
    """A convolution with a padding that PyTorch lacks: `pads` that differ by side, or "same" with a stride."""

    def __init__(self, *arguments, pads: AnyPadding, **options):
        super().__init__(*arguments, **options)
        self.pads = pads

    def forward(self, x):
        """Pad the signal or image with zeros, then convolve."""
        conv: Any = self
        w = conv_windows(tuple(x.shape[2:]), conv.kernel_size, conv.stride, self.pads, conv.dilation)
        bottom = (w.OH - 1) * w.SH + (w.KH - 1) * w.DH + 1 - w.H - w.top
        right = (w.OW - 1) * w.SW + (w.KW - 1) * w.DW + 1 - w.W - w.left
        sides = (w.left, right, w.top, bottom)[: 2 * (x.dim() - 2)]
        return super().forward(functional.pad(x, sides))  # type: ignore[misc]  # the convolution's forward

    def extra_repr(self) -> str:
        """Return PyTorch's options and the padding of each side."""
        return f"{super().extra_repr()}, pads={self.pads!r}"  # type: ignore[misc]


class PaddedConv1d(_Padded, torch.nn.Conv1d):
    """See `fastcnn.nn.Conv1d`."""


class PaddedConv2d(_Padded, torch.nn.Conv2d):
    """See `fastcnn.nn.Conv2d`."""


PADDED: dict[str, Any] = {"Conv1d": PaddedConv1d, "Conv2d": PaddedConv2d}
"""Modules that replace PyTorch's layer of the same name."""

OWN = {kind.__name__: kind for kind in (GlobalAvgPool2d, ResizeChannels, ScaledTanh)}
"""Modules whose options are attributes of fastcnn's layer of the same name."""
