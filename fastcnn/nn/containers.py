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

    It is changed as a list is: ``model[-1] = layer``, ``del model[0]``, ``append``, ``insert``. A slice is a chain of
    the same layers. A layer that was given a name is an attribute, too: ``model.conv1``.

    Parameters
    ----------
    *layers : Module, or one mapping of str to Module
        A mapping gives layers names, as an ``OrderedDict`` does in PyTorch; else they are named by their places, "0",
        "1", ... A layer may stand there several times: its parameters are shared, and their gradients add up.

    Attributes
    ----------
    layers : tuple of Module
        Others, or a mapping, may be assigned: ``model.layers = (*model.layers[:-1], nn.Linear(84, 3))``. Layers keep
        the names that they were given.

    Raises
    ------
    TypeError
        If a layer is not a `Module`, or a name is not a string.
    ValueError
        If a name is empty, has a dot, or is that of something else that a Sequential has.
    AttributeError
        If a layer is assigned to another attribute and is none of `layers`, so that it would be no part of the chain.

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

    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]  # of one image or of each input: see `Module.summary`

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

    def __getattr__(self, name: str) -> Any:  # of what is no attribute otherwise
        if name in self._named():
            return self.layers[self._names.index(name)]
        return super().__getattr__(name)  # type: ignore[misc]  # mypy is not told of it

    def __delattr__(self, name: str) -> None:
        if name in self._named():
            del self[self._names.index(name)]
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._named()]

    @property
    def layers(self) -> tuple[Module, ...]:
        """What the chain consists of."""
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
        """Call all layers, the first first; those that can be recorded together, where not all can."""
        self._calls = []
        for unit in self._units(backend):
            x = unit.forward_native(x, backend)
            self._calls.append(last_call(unit))
        return x

    def backward_native(self, dy, backend, input_grad: bool):
        """Go back through all calls, the last first; without ``input_grad``, none before the first that learns."""
        count = len(self._calls)
        first = 0 if input_grad else next((i for i, call in enumerate(self._calls) if call.learns()), count)
        for i in range(count - 1, first - 1, -1):
            dy = self._calls[i].backward(dy, backend, input_grad or i > first)
        return dy if input_grad else None

    def _units(self, backend) -> list[Module]:
        """What computes in the place of the layers."""
        if calls.is_observed():
            return list(self.layers)
        return self._groups.units(self) if can_record(backend) else self._fused.units()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Layers by their names: those that they were given, or their places, "0", "1", ..."""
        return zip(self._names, self.layers, strict=True)

    def append(self, layer: Module) -> Self:
        """Put a layer behind the last one; return the model."""
        return self.extend([layer])

    def extend(self, layers: Iterable[Module]) -> Self:
        """Put layers behind the last one; return the model."""
        self.layers = (*self.layers, *layers)
        return self

    def insert(self, index: int, layer: Module) -> Self:
        """Put a layer before the one at a place, as `list.insert` does; return the model."""
        layers = list(self.layers)
        layers.insert(_validate.whole("index", index), layer)
        self.layers = layers
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the layer at a place out of the chain; return the layer."""
        layer = self[_validate.whole("index", index)]
        del self[index]
        return layer

    def add_module(self, name: str, module: Module | None) -> None:
        """Put a layer behind the last one, by a name; in the place of the one that has this name, if one has."""
        self.layers = {**dict(self.named_children()), name: module}  # type: ignore[assignment]  # or refused

    def _check_part(self, name: str, module: Module) -> None:
        """Refuse a module that an attribute has and the chain has not, where nothing but the chain is computed."""
        chain = type(self).forward_native is Sequential.forward_native
        if chain and not any(module is part for layer in self.layers for part in layer.modules()):
            raise AttributeError(
                f"`{name}` is none of the layers of this {type(self).__name__}, and would not be computed; assign all "
                "layers, as `model.layers = (*model.layers, layer)`."
            )

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Any:  # a layer, of whatever class it is; or a chain
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
        """A place from 0 on."""
        place = _validate.whole("index", index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"`index` is {place}, but this {type(self).__name__} has {len(self)} layers.")
        return place % len(self)

    def _named(self) -> tuple[str, ...]:
        """Names that are attributes: those that layers were given."""
        return tuple(name for name in vars(self).get("_names", ()) if not name.isdigit())

    def _kept_names(self, layers: tuple[Module, ...]) -> tuple[str, ...]:
        """Names that layers were given before, each once; for all others, their places."""
        given = [(name, self.layers[self._names.index(name)]) for name in self._named()]
        names = []
        for i, layer in enumerate(layers):
            pair = next((pair for pair in given if pair[1] is layer), (str(i), layer))
            given = [other for other in given if other is not pair]
            names.append(pair[0])
        return tuple(names)

    def _checked_name(self, name) -> str:
        """A name, if no layer of its name would hide something or be hidden."""
        if not isinstance(name, str):
            raise TypeError(f"The name of a layer must be a string, not {name!r}.")
        if not name or "." in name or name.startswith("_"):
            raise ValueError(f"The name {name!r} of a layer must not be empty, have a dot or begin with an underscore.")
        if hasattr(type(self), name) or name in vars(self):
            raise ValueError(f"{name!r} cannot be the name of a layer: {type(self).__name__}.{name} is something else.")
        return name

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class _Recorded(Unit):
    """Neighbours in a chain whose passes are recorded together, since those of the whole model cannot be.

    Parameters
    ----------
    chain : Sequential
    """

    def __init__(self, chain: "Sequential"):
        self.chain, self.recordings = chain, Recordings(native=True)

    def forward_native(self, x, backend):
        """Run the program of a recording that nobody uses."""
        use: Any = self.recordings.take(self.chain, backend, x)
        self._use = use
        return use.forward(self.chain, x)

    def backward_native(self, dy, backend, input_grad: bool):
        """Run the program, if the layers are still those of the forward pass."""
        if self._use.is_current(self.chain):
            return self._use.backward(dy, input_grad)
        return self._use.call.backward(dy, backend, input_grad)


class _Groups:
    """What computes in the place of a chain's layers where each stretch of layers is recorded that can be."""

    def __init__(self) -> None:
        self._state: State | None = None

    def units(self, chain: Sequential) -> list[Module]:
        """As those of `Fused`."""
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
