"""Models to PyTorch."""

import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastcnn import nn
from fastcnn.interop.kinds import kind_of
from fastcnn.interop.pytorch.reading import layers
from fastcnn.nn import Buffer, Module, Parameter

if TYPE_CHECKING:
    import torch


def to_torch(model: Module) -> "torch.nn.Module":
    """The same model in PyTorch, with the same weights: the inverse of `from_torch`.

    Layers have PyTorch's classes, and names of parameters stay as they are: the ``state_dict`` of one is that of the
    other. What PyTorch has not (`Residual`, `Concat`, `ResizeChannels`, padding that differs by side) are modules of
    ``fastcnn.interop.pytorch.modules``. A `Sequential` of PyTorch takes several inputs as a tuple: ``net((a, b))``.

    Parameters
    ----------
    model : Module
        Of fastcnn's own layers. It stays as it is.

    Returns
    -------
    torch.nn.Module
        Its tensors are copies, and require their gradients where their twins do. Each layer is in training or
        evaluation mode as its twin is; what stands at several places of `model` does so there. Its `Dropout` draws from
        PyTorch's generator.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If a layer is none of fastcnn's own; the error begins with its place in `model`.
    ValueError
        If a layer has an option that PyTorch's has not.

    Examples
    --------
    >>> from fastcnn import interop, models  # doctest: +SKIP
    >>> net = interop.to_torch(models.LeNet5())  # doctest: +SKIP
    >>> net(torch.zeros(1, 1, 32, 32)).shape  # doctest: +SKIP
    torch.Size([1, 10])
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("To give a model to PyTorch needs PyTorch; install it with pip install torch.") from error
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
    return _Writer(torch).write(model, "")


class _Writer:
    """Makes modules of PyTorch, and remembers which it has made of what."""

    def __init__(self, torch) -> None:
        from fastcnn.interop.pytorch import modules

        self._torch, self._modules = torch, modules
        self._names = {*layers(torch), *modules.OWN}
        self._kinds = {nn.Sequential, nn.Residual, nn.Concat, nn.Parallel, *(nn.LAYERS[name] for name in self._names)}
        self._made: dict[Any, Any] = {}

    def write(self, layer: Any, place: str):
        """The twin of a layer; ``place`` is its dotted name."""
        if layer not in self._made:
            made = self._made[layer] = self._new(layer, place)
            for name, held in vars(layer).items():
                if isinstance(held, Parameter | Buffer):
                    setattr(made, name, self._tensor(held))
            made.training = layer.training
        return self._made[layer]

    def _new(self, layer: Any, place: str):
        kind = kind_of(layer, self._kinds)
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in self._kinds))
            raise TypeError(
                f"{place or '`model`'}: PyTorch has no {type(layer).__name__}; what can be given is {known}."
            )
        inside = OrderedDict((name, self.write(child, _dotted(place, name))) for name, child in layer.named_children())
        if kind is nn.Sequential:
            return self._torch.nn.Sequential(inside)
        if kind is nn.Residual:
            return self._modules.Residual(**inside)
        if kind in (nn.Concat, nn.Parallel):
            return getattr(self._modules, kind.__name__)(inside, dim=layer.dim)
        options = self._options(layer, kind)
        if own := self._modules.OWN.get(kind.__name__):
            return own(**options)
        if "kernel_size" in options and not _pads_as_pytorch(layer):
            padded = self._modules.PADDED.get(kind.__name__)
            if padded and layer.padding_mode == "zeros":
                return padded(**{**options, "padding": 0}, pads=layer.padding)
            raise ValueError(f"{place or '`model`'}: PyTorch pads opposite sides alike, but this is {layer!r}.")
        return getattr(self._torch.nn, kind.__name__)(**options)

    def _options(self, layer: Any, kind: type) -> dict[str, Any]:
        """Its arguments, by their names; arrays are set afterwards."""
        names = inspect.signature(kind).parameters.keys()
        options = {name: getattr(layer, name) for name in names if name not in ("rng", "dtype", "bias")}
        return options | {"bias": layer.bias is not None} if "bias" in names else options

    def _tensor(self, held: Parameter | Buffer):
        """A copy of an array, one for all that share it."""
        if held not in self._made:
            tensor = self._torch.tensor(held.data)
            if isinstance(held, Parameter):
                tensor = self._torch.nn.Parameter(tensor, held.requires_grad)
            self._made[held] = tensor
        return self._made[held]


def _pads_as_pytorch(layer: Any) -> bool:
    """Whether PyTorch's layer has such a padding: as much on opposite sides; of a convolution "same", too, by ones."""
    if isinstance(layer.padding, str):
        return isinstance(layer, nn.Conv1d | nn.Conv2d) and (layer.padding == "valid" or {*layer.stride} == {1})
    return not isinstance(layer.padding, tuple) or len(layer.padding) == len(layer.kernel_size)


def _dotted(place: str, name: str) -> str:
    return f"{place}.{name}".lstrip(".")
