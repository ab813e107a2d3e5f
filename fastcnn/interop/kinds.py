"""Find which of fastcnn's layers a layer is, also if its class is a subclass."""

from collections.abc import Container
from typing import Any

from fastcnn.nn import Module
from fastcnn.nn.calls import is_as_defined


def kind_of(layer: Module, kinds: Container[type[Module]]) -> Any:
    """Return the class among ``kinds`` that a layer has, or whose forward pass it inherits unchanged, else None."""
    kind: Any = next((kind for kind in type(layer).__mro__ if kind in kinds), None)
    inherited = kind and type(layer).forward_native is kind.forward_native and is_as_defined(layer)
    return kind if inherited else None
