"""Sequential: a chain of layers."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from fastcnn import _validate
from fastcnn.nn import calls
from fastcnn.nn.calls import last_call
from fastcnn.nn.fusion import Fused, Unit, fuse
from fastcnn.nn.module import Module
from fastcnn.nn.recording import Recordings, State, can_record, is_recordable


class Sequential(Module):
    """A chain of layers: each takes the output of the one before.

    It can be changed like a list: ``model[-1] = layer``, ``del model[0]``, ``append``, ``insert``. A slice is a
    `Sequential` of the same layers. A layer with a name is also an attribute: ``model.conv1``.

    Parameters
    ----------
    *layers : Module, or one mapping of str to Module
        A mapping names the layers, as an ``OrderedDict`` does in PyTorch; otherwise their names are indices, "0",
        "1", ... The same layer may occur several times; its gradients then add up.

    Attributes
    ----------
    layers : tuple of Module
        Layers or a mapping may be assigned: ``model.layers = (*model.layers[:-1], nn.Linear(84, 3))``. Layers that
        were named before keep their names.

    Raises
    ------
    TypeError
        If a layer is not a `Module`, or a name is not a string.
    ValueError
        If a name is empty, contains a dot, or is that of another attribute of a Sequential.
    AttributeError
        If a module is assigned to another attribute and is not in `layers`: it would not be computed.

    Examples
    --------
    >>> from fastcnn import nn
    >>> nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    Sequential(
      (0): Flatten()
      (1): Linear(in_features=784, out_features=10)
    )
    >>> model = nn.Sequential({"flat": nn.Flatten(), "fc": nn.Linear(784, 10)})
    >>> model.fc = nn.Linear(784, 3)
    >>> list(model.state_dict()), model[-1].out_features
    (['fc.weight', 'fc.bias'], 3)
    """

    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]  # of one image, or of each input; see `Module.summary`

    def __init__(self, *layers: Module | Mapping[str, Module]):
        given: Any = layers
        self.layers = layers[0] if len(layers) == 1 and isinstance(layers[0], Mapping) else given

    def __setattr__(self, name: str, value) -> None:
        if not name.startswith("_") and name in self._named():
            self[self._names.index(name)] = value
            return
        if isinstance(value, Module) and "_fused" in vars(self):
            self._check_part(name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:  # called only if there is no such attribute
        if name in self._named():
            return self.layers[self._names.index(name)]
        return super().__getattr__(name)  # type: ignore[misc]  # hidden from type checkers

    def __delattr__(self, name: str) -> None:
        if name in self._named():
            del self[self._names.index(name)]
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._named()]

    @property
    def layers(self) -> tuple[Module, ...]:
        """The layers, in order."""
        return self._fused.layers

    @layers.setter
    def layers(self, layers: Iterable[Module] | Mapping[str, Module]) -> None:
        names = tuple(layers) if isinstance(layers, Mapping) else None
        layers = tuple(layers.values() if isinstance(layers, Mapping) else layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Layer {i} of {type(self).__name__} must be a Module, not {type(layer).__name__}.")
        before: Any = vars(self).get("_fused"), vars(self).get("_names")
        names = self._kept_names(layers) if names is None else tuple(map(self._checked_name, names))
        self._fused, self._names, self._groups = Fused(layers), names, _Groups()
        try:
            for name, value in vars(self).items():
                if isinstance(value, Module):
                    self._check_part(name, value)
        except AttributeError:
            self._fused, self._names = before
            raise

    @property
    def several_inputs(self) -> bool:  # type: ignore[override]
        """Whether the first layer takes several inputs."""
        return bool(self.layers) and self.layers[0].several_inputs

    def forward_native(self, x, backend):
        """Call all layers in order; stretches that can be recorded run as one if the whole model cannot."""
        self._calls = []
        for unit in self._units(backend):
            x = unit.forward_native(x, backend)
            self._calls.append(last_call(unit))
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Go back through the calls in reverse; without ``input_grad``, stop at the first one with a gradient."""
        count = len(self._calls)
        first = 0 if input_grad else next((i for i, call in enumerate(self._calls) if call.learns()), count)
        for i in range(count - 1, first - 1, -1):
            dy = self._calls[i].backward(dy, backend, input_grad or i > first)
        return dy if input_grad else None

    def _units(self, backend) -> list[Module]:
        """Return the modules that compute in place of the layers."""
        if calls.is_observed():
            return list(self.layers)
        return self._groups.units(self) if can_record(backend) else self._fused.units()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and layers; a layer without a given name has its index: "0", "1", ..."""
        return zip(self._names, self.layers, strict=True)

    def append(self, layer: Module) -> Self:
        """Add a layer at the end; return the model."""
        return self.extend([layer])

    def extend(self, layers: Iterable[Module]) -> Self:
        """Add layers at the end; return the model."""
        self.layers = (*self.layers, *layers)
        return self

    def insert(self, index: int, layer: Module) -> Self:
        """Insert a layer before the one at ``index``, as `list.insert` does; return the model."""
        layers = list(self.layers)
        layers.insert(_validate.whole("index", index), layer)
        self.layers = layers
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove the layer at ``index`` and return it."""
        layer = self[_validate.whole("index", index)]
        del self[index]
        return layer

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a named layer at the end, or replace the layer of that name."""
        self.layers = {**dict(self.named_children()), name: module}  # type: ignore[assignment]  # None is an error

    def _check_part(self, name: str, module: Module) -> None:
        """Raise an error for a module in an attribute that a plain chain would never compute."""
        chain = type(self).forward_native is Sequential.forward_native
        if chain and not any(module is part for layer in self.layers for part in layer.modules()):
            raise AttributeError(
                f"`{name}` is none of the layers of this {type(self).__name__} and would not be computed; assign all "
                "layers, as in `model.layers = (*model.layers, layer)`."
            )

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Any:  # a layer may be of any class
        if not isinstance(index, slice):
            return self.layers[self._place(index)]
        part = Sequential(dict(list(self.named_children())[index]))
        part.training = self.training
        return part

    def __setitem__(self, index: int, layer: Module) -> None:
        place = self._place(index)
        layers = [*self.layers[:place], layer, *self.layers[place + 1 :]]
        self.layers = dict(zip(self._names, layers, strict=True))

    def __delitem__(self, index: int | slice) -> None:
        layers = list(self.layers)
        del layers[index if isinstance(index, slice) else self._place(index)]
        self.layers = layers

    def _place(self, index: int) -> int:
        """Return an index as a number from 0 up."""
        place = _validate.whole("index", index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"`index` is {place}, but this {type(self).__name__} has {len(self)} layers.")
        return place % len(self)

    def _named(self) -> tuple[str, ...]:
        """Return the names that are attributes: those that are not indices."""
        return tuple(name for name in vars(self).get("_names", ()) if not name.isdigit())

    def _kept_names(self, layers: tuple[Module, ...]) -> tuple[str, ...]:
        """Return the names that layers had before, each at most once, and indices for all other layers."""
        given = [(name, self.layers[self._names.index(name)]) for name in self._named()]
        names = []
        for i, layer in enumerate(layers):
            pair = next((pair for pair in given if pair[1] is layer), (str(i), layer))
            given = [other for other in given if other is not pair]
            names.append(pair[0])
        return tuple(names)

    def _checked_name(self, name) -> str:
        """Return a name that does not clash with another attribute."""
        if not isinstance(name, str):
            raise TypeError(f"The name of a layer must be a string, not {name!r}.")
        if not name or "." in name or name.startswith("_"):
            raise ValueError(
                f"The name {name!r} of a layer must not be empty, contain a dot or begin with an underscore."
            )
        if hasattr(type(self), name) or name in vars(self):
            raise ValueError(f"{name!r} cannot be the name of a layer: {type(self).__name__}.{name} exists already.")
        return name

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class _Recorded(Unit):
    """Consecutive layers that are recorded together because the whole model cannot be recorded.

    Parameters
    ----------
    chain : Sequential
    """

    def __init__(self, chain: "Sequential"):
        self.chain, self.recordings = chain, Recordings(native=True)

    def forward_native(self, x, backend):
        """Run the program of a recording that is not in use."""
        use: Any = self.recordings.take(self.chain, backend, x)
        self._use = use
        return use.forward(self.chain, x)

    def backward_native(self, dy, backend, input_grad: bool):
        """Run the program if the layers have not changed since the forward pass."""
        if self._use.is_current(self.chain):
            return self._use.backward(dy, input_grad)
        return self._use.call.backward(dy, backend, input_grad)


class _Groups:
    """The modules that compute in place of a chain's layers: each stretch that can be recorded is one module."""

    def __init__(self) -> None:
        self._state: State | None = None

    def units(self, chain: Sequential) -> list[Module]:
        """Return these modules, as `Fused.units` does."""
        if self._state is None or not self._state.is_current(chain):
            self._state = State(chain)
            units: list[Module] = []
            for together, layers in itertools.groupby(chain.layers, is_recordable):
                stretch = Sequential(*layers)
                alone = len(stretch) == 1 and not any(stretch[0].children())
                recorded = together and not alone and is_recordable(stretch)
                units += [_Recorded(stretch)] if recorded else fuse(stretch.layers)
            self._units = units
        return self._units

    def __reduce__(self):
        return _Groups, ()
