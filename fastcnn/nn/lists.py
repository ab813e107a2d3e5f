"""Lists and dictionaries of modules, for custom layers that call the modules themselves."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastcnn import _validate
from fastcnn.nn.module import Module


def _checked(module, name: str, where: str) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{where} {name} must be a Module, not {type(module).__name__}.")
    return module


class _Held(Module):
    """Base of both: it holds modules and computes nothing itself."""

    def forward_native(self, x, backend):
        """Raise an error, as it does not define how its modules are called."""
        raise NotImplementedError(
            f"A {type(self).__name__} only holds modules: call them in the forward_native of the layer that contains "
            "it, or use a Sequential, which calls one after the other, or a Concat, which calls all on the same input."
        )


class ModuleList(_Held):
    """A list of modules, as ``torch.nn.ModuleList``: a layer with such an attribute contains all of them.

    Names of their parameters contain the attribute and the index: "blocks.0.weight". It computes nothing itself.

    Parameters
    ----------
    modules : iterable of Module, optional

    Raises
    ------
    TypeError
        If an item is not a `Module`.

    Examples
    --------
    >>> from fastcnn import nn
    >>> class Stages(nn.Module):
    ...     def __init__(self):
    ...         self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    ...
    ...     def forward_native(self, x, backend):
    ...         self._calls = []
    ...         for block in self.blocks:
    ...             x = block.forward_native(x, backend)
    ...             self._calls.append(nn.last_call(block))
    ...         return x
    ...
    ...     def backward_native(self, dy, backend, input_grad):
    ...         for call in reversed(self._calls):
    ...             dy = call.backward(dy, backend, True)
    ...         return dy
    >>> list(Stages().state_dict())[:2]
    ['blocks.0.weight', 'blocks.0.bias']
    """

    def __init__(self, modules: Iterable[Module] = ()):
        self._set(modules)

    def _set(self, modules: Iterable[Module]) -> None:
        self._held = tuple(_checked(module, str(i), "Module") for i, module in enumerate(modules))
        self.count = len(self._held)  # public, so that recordings notice the change

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules; the names are indices: "0", "1", ..."""
        return ((str(i), module) for i, module in enumerate(self._held))

    def append(self, module: Module) -> "ModuleList":
        """Add a module at the end; return the list."""
        self._set((*self._held, module))
        return self

    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        """Add modules at the end; return the list."""
        self._set((*self._held, *modules))
        return self

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before the one at ``index``."""
        modules = list(self._held)
        modules.insert(_validate.whole("index", index), module)
        self._set(modules)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._held)

    def __getitem__(self, index: int | slice) -> Any:  # a module may be of any class
        return ModuleList(self._held[index]) if isinstance(index, slice) else self._held[index]

    def __setitem__(self, index: int, module: Module) -> None:
        modules = list(self._held)
        modules[index] = module
        self._set(modules)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._held)
        del modules[index]
        self._set(modules)


class ModuleDict(_Held):
    """A dictionary of modules, as ``torch.nn.ModuleDict``: a layer with such an attribute contains all of them.

    Names of their parameters contain the attribute and the key: "heads.colour.weight". It computes nothing itself.

    Parameters
    ----------
    modules : mapping of str to Module, optional

    Raises
    ------
    TypeError, ValueError
        If a value is not a `Module`, or a name is not a string, is empty or contains a dot.

    Examples
    --------
    >>> from fastcnn import nn
    >>> heads = nn.ModuleDict({"colour": nn.Linear(4, 3), "shape": nn.Linear(4, 2)})
    >>> list(heads.state_dict())
    ['colour.weight', 'colour.bias', 'shape.weight', 'shape.bias']
    >>> heads["shape"]
    Linear(in_features=4, out_features=2)
    """

    def __init__(self, modules: Mapping[str, Module] | None = None):
        self._set(modules or {})

    def _set(self, modules: Mapping[str, Module]) -> None:
        for name in modules:
            if not isinstance(name, str):
                raise TypeError(f"Names in a ModuleDict must be strings, not {name!r}.")
            if not name or "." in name:
                raise ValueError(f"The name {name!r} in a ModuleDict must not be empty or contain a dot.")
        self._held = {name: _checked(module, repr(name), "Module") for name, module in modules.items()}
        self.names = tuple(self._held)  # public, so that recordings notice the change

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules."""
        return iter(self._held.items())

    def keys(self) -> Iterable[str]:
        """Names."""
        return self._held.keys()

    def values(self) -> Iterable[Module]:
        """Modules."""
        return self._held.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._held.items()

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules; replace those with the same names."""
        self._set({**self._held, **modules})

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __getitem__(self, name: str) -> Any:  # a module may be of any class
        return self._held[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __delitem__(self, name: str) -> None:
        rest = dict(self._held)
        del rest[name]
        self._set(rest)
