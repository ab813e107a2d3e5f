"""Convert models from PyTorch."""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcnn import nn
from fastcnn.nn import Module, Sequential, init

if TYPE_CHECKING:
    import torch

# Options that only PyTorch has, with the value that fastcnn's layers correspond to.
FIXED: dict[str, dict[str, Any]] = {
    "AdaptiveMaxPool1d": {"return_indices": False},
    "AdaptiveMaxPool2d": {"return_indices": False},
    "ConvTranspose1d": {"padding_mode": "zeros"},
    "ConvTranspose2d": {"padding_mode": "zeros"},
    "InstanceNorm2d": {"track_running_stats": False},
    "MaxPool1d": {"return_indices": False},
    "MaxPool2d": {"return_indices": False},
    "Upsample": {"recompute_scale_factor": None},
}


def from_torch(module: "torch.nn.Module", *, rng: np.random.Generator | None = None) -> Module:
    """Convert a `torch.nn.Sequential` to a model with the same weights: the inverse of `to_torch`.

    Parameters
    ----------
    module : torch.nn.Sequential, or one of its layers
        A module of layers that fastcnn has under the same name, and of nested Sequentials, in float32 or float64. It is
        not changed.
    rng : numpy.random.Generator, optional
        Generator for the masks of `Dropout`; by default a new one.

    Returns
    -------
    Module
        The model, a `Sequential` if `module` is one. Its arrays are copies. Names of layers and of ``state_dict``,
        training or evaluation mode and ``requires_grad`` are those of `module`.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If fastcnn lacks a layer, or weights are neither float32 nor float64.
    ValueError
        If a layer has an option that fastcnn's layer lacks, has forward hooks, or shares a parameter or buffer with
        another layer. Errors start with the place in `module`: "2.conv1: ...".

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from fastcnn import interop  # doctest: +SKIP
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).eval()  # doctest: +SKIP
    >>> interop.from_torch(net)  # doctest: +SKIP
    Sequential(
      (0): Flatten()
      (1): Linear(in_features=784, out_features=10)
    )
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("Converting a model from PyTorch needs PyTorch: pip install torch.") from error

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Sequential, not {type(module).__name__}.")
    return _Reader(torch, _dtype(torch, module), init.generator(rng)).read(module, "")


def layers(torch) -> list[str]:
    """Return the names of layers that both have, if PyTorch's layer has all options of fastcnn's."""

    def is_twin(name: str) -> bool:
        own, theirs = (inspect.signature(getattr(module, name)).parameters.keys() for module in (nn, torch.nn))
        return own - {"rng", "dtype"} <= theirs

    both = [name for name in nn.LAYERS if name != "Sequential" and hasattr(torch.nn, name)]
    return sorted(filter(is_twin, both))


class _Reader:
    """Convert modules to layers, and check that no two of them share parameters or buffers."""

    def __init__(self, torch, dtype, rng: np.random.Generator):
        from fastcnn.interop.pytorch import modules

        self.own = modules
        self.kinds = {getattr(torch.nn, name): name for name in layers(torch)}
        self.kinds |= {kind: name for own in (modules.OWN, modules.PADDED) for name, kind in own.items()}
        self.chain = torch.nn.Sequential
        self.given = {"dtype": dtype, "rng": rng}
        self.owners: dict[int, str] = {}  # id of a parameter or buffer -> its name

    def read(self, module, place: str) -> Module:
        """Convert a module; ``place`` is its dotted name."""
        ways = self.own.Residual, self.own.Concat, self.own.Parallel
        kind: Any = getattr(nn, type(module).__name__) if type(module) in ways else None
        try:
            if module._forward_hooks or module._forward_pre_hooks:
                raise ValueError("it has forward hooks, which fastcnn would not call.")
            chain = isinstance(module, self.chain) and type(module).forward is self.chain.forward
            model = None if chain or kind else self._layer(module, place)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{place or '`module`'}: {error}") from None
        if model is None:
            parts = {name: self.read(part, f"{place}.{name}".lstrip(".")) for name, part in module._modules.items()}
            options = {"dim": module.dim} if isinstance(module, self.own.Concat) else {}
            try:
                model = kind(*parts.values(), **options) if kind else Sequential(parts)
            except ValueError as error:  # the name of a child is an attribute of Sequential
                raise ValueError(f"{place or '`module`'}: {error}") from None
        model.training = module.training
        return model

    def _layer(self, module, place: str) -> Module:
        """Convert a module that is a single layer."""
        name = self.kinds.get(type(module))
        if name is None:
            known = ", ".join(sorted(set(self.kinds.values())))
            raise TypeError(f"fastcnn has no layer for {_full_name(module)}; it has {known}.")
        for option, value in FIXED.get(name, {}).items():
            if getattr(module, option) != value:
                raise ValueError(f"{name} has {option}={getattr(module, option)!r}, but fastcnn's has {value!r} only.")
        for own, tensor in (*module.named_parameters(), *module.named_buffers()):
            owner = self.owners.setdefault(id(tensor), f"{place}.{own}")
            if owner != f"{place}.{own}":
                raise ValueError(f"it shares `{own}` with {owner}, but in fastcnn each layer has its own arrays.")
        kind = getattr(nn, name)
        options = {
            option: self.given[option] if option in self.given else getattr(module, option)
            for option in inspect.signature(kind).parameters
        }
        if "bias" in options:
            options["bias"] = module.bias is not None
        if type(module) in self.own.PADDED.values():
            options["padding"] = module.pads
        layer = kind(**options)
        layer.load_state_dict({own: tensor.detach().cpu().numpy() for own, tensor in module.state_dict().items()})
        for own, parameter in layer.named_parameters():
            parameter.requires_grad = module.get_parameter(own).requires_grad
        return layer


def _dtype(torch, module) -> np.dtype:
    """Return the dtype of the weights; float32 if there are none."""
    dtypes: dict[Any, np.dtype] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
    found = None
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            if tensor.dtype not in dtypes:
                raise TypeError(
                    f"{name}: it is {tensor.dtype}, but fastcnn has float32 and float64; convert with module.float()."
                )
            found = found or dtypes[tensor.dtype]
    return found or np.dtype(np.float32)


def _full_name(module) -> str:
    """Return the name of a module's class with its package."""
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"
