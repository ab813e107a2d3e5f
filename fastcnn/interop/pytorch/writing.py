"""Convert models to PyTorch."""

import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from fastcnn import nn
from fastcnn._names import dotted
from fastcnn.interop.kinds import kind_of
from fastcnn.interop.pytorch.reading import layers
from fastcnn.nn import Buffer, Module, Parameter

if TYPE_CHECKING:
    import torch


def to_torch(model: Module) -> "torch.nn.Module":
    """Convert a model to PyTorch, with the same weights: the inverse of `from_torch`.

    Layers become PyTorch's classes and keep their names, so both models have the same ``state_dict``. Layers that
    PyTorch lacks (`Residual`, `Concat`, `ResizeChannels`, padding that differs by side) become modules of
    ``fastcnn.interop.pytorch.modules``. A `Sequential` of PyTorch takes several inputs as a tuple: ``net((a, b))``.

    Parameters
    ----------
    model : Module
        A model of fastcnn's own layers. It is not changed.

    Returns
    -------
    torch.nn.Module
        The same model in PyTorch. Its tensors are copies. Training or evaluation mode and ``requires_grad`` are those
        of `model`, and shared layers stay shared. Its `Dropout` draws from PyTorch's generator.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If a layer is not one of fastcnn's own; the error starts with its place in `model`.
    ValueError
        If a layer has an option that PyTorch's layer lacks.

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
        raise ImportError("Converting a model to PyTorch needs PyTorch: pip install torch.") from error
    if not isinstance(model, Module):
        raise TypeError(f"`model` must be a Module, not {type(model).__name__}.")
    return _Writer(torch).write(model, "")


class _Writer:
    """Convert layers to modules of PyTorch, each layer and array only once."""

    def __init__(self, torch) -> None:
        from fastcnn.interop.pytorch import modules

        self._torch, self._modules = torch, modules
        self._names = {*layers(torch), *modules.OWN}
        self._kinds = {nn.Sequential, nn.Residual, nn.Concat, nn.Parallel, *(nn.LAYERS[name] for name in self._names)}
        self._made: dict[Any, Any] = {}

    def write(self, layer: Any, place: str):
        """Convert a layer, or return the module it was converted to before; ``place`` is its dotted name."""
        if layer not in self._made:
            made = self._made[layer] = self._new(layer, place)
            for name, held in vars(layer).items():
                if isinstance(held, Parameter | Buffer):
                    setattr(made, name, self._tensor(held))
            made.training = layer.training
        return self._made[layer]

    def _new(self, layer: Any, place: str):
        """Make the module of a layer and its children, without the layer's own arrays."""
        kind = kind_of(layer, self._kinds)
        if kind is None:
            known = ", ".join(sorted(kind.__name__ for kind in self._kinds))
            raise TypeError(
                f"{place or '`model`'}: {type(layer).__name__} cannot be converted to PyTorch. Supported are {known}."
            )
        inside = OrderedDict((name, self.write(child, dotted(place, name))) for name, child in layer.named_children())
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
        """Return the arguments of a layer by name; its arrays are set afterwards."""
        names = inspect.signature(kind).parameters.keys()
        options = {name: getattr(layer, name) for name in names if name not in ("rng", "dtype", "bias")}
        return options | {"bias": layer.bias is not None} if "bias" in names else options

    def _tensor(self, held: Parameter | Buffer):
        """Copy a parameter or buffer to a tensor, once for all layers that share it."""
        if held not in self._made:
            tensor = self._torch.tensor(held.data)
            if isinstance(held, Parameter):
                tensor = self._torch.nn.Parameter(tensor, held.requires_grad)
            self._made[held] = tensor
        return self._made[held]


def _pads_as_pytorch(layer: Any) -> bool:
    """Whether PyTorch has the padding of a layer: equal on opposite sides, or "same" with stride 1 in a convolution."""
    if isinstance(layer.padding, str):
        return isinstance(layer, nn.Conv1d | nn.Conv2d) and (layer.padding == "valid" or {*layer.stride} == {1})
    return not isinstance(layer.padding, tuple) or len(layer.padding) == len(layer.kernel_size)
