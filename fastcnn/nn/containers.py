"""Sequential: a chain of layers."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from fastcnn.nn import calls
from fastcnn.nn.calls import last_call
from fastcnn.nn.fusion import Fused, Unit, fuse
from fastcnn.nn.module import Module
from fastcnn.nn.recording import Recordings, State, can_record, is_recordable


class Sequential(Module):
    """A chain of layers: each takes the output of the one before.

    Parameters
    ----------
    *layers : Module
        A layer may stand there several times: its parameters are shared, and their gradients add up.

    Attributes
    ----------
    layers : tuple of Module
        Others may be assigned: ``model.layers = (*model.layers[:-1], nn.Linear(84, 3))``.

    Raises
    ------
    TypeError
        If a layer is not a `Module`.
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
    """

    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]  # of one image or of each input: see `Module.summary`

    def __init__(self, *layers: Module):
        self.layers = layers

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, Module) and "_fused" in vars(self):
            self._check_part(name, value)
        super().__setattr__(name, value)

    @property
    def layers(self) -> tuple[Module, ...]:
        """What the chain consists of."""
        return self._fused.layers

    @layers.setter
    def layers(self, layers: Iterable[Module]) -> None:
        layers = tuple(layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Layer {i} of {type(self).__name__} must be a Module, not {type(layer).__name__}.")
        before: Any = vars(self).get("_fused")
        self._fused, self._groups = Fused(layers), _Groups()
        try:
            for name, value in vars(self).items():
                if isinstance(value, Module):
                    self._check_part(name, value)
        except AttributeError:
            self._fused = before
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
        """Layers, named by their places: "0", "1", ..."""
        return ((str(i), layer) for i, layer in enumerate(self.layers))

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

    def __getitem__(self, index: int) -> Any:  # a layer, of whatever class it is
        return self.layers[index]

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
