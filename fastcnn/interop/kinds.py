"""Which of fastcnn's layers a layer is, whoever defined its class."""

from collections.abc import Container
from typing import Any

from fastcnn.nn import Module
from fastcnn.nn.calls import is_as_defined


def kind_of(layer: Module, kinds: Container[type[Module]]) -> Any:
    """The one of these classes that a layer is, or whose forward pass it has inherited; None if there is none."""
    kind: Any = next((kind for kind in type(layer).__mro__ if kind in kinds), None)
    inherited = kind and type(layer).forward_native is kind.forward_native and is_as_defined(layer)
    return kind if inherited else None
