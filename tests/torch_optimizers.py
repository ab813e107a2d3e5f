"""PyTorch's optimizers beside ours."""

import numpy as np
import pytest

from fastcnn import nn

torch = pytest.importorskip("torch")


def twins(parameters: list[nn.Parameter]) -> list:
    """Return copies as PyTorch's parameters: matrices, as its Muon takes no others; other optimizers do not care."""
    return [torch.nn.Parameter(torch.tensor(rows(parameter.data))) for parameter in parameters]


def rows(array: np.ndarray) -> np.ndarray:
    """Reshape an array to a matrix."""
    return array.reshape(len(array), -1)


def step(optimizer, twin, parameters: list[nn.Parameter], copies: list, monkeypatch) -> None:
    """Take a step with the gradients of the parameters; PyTorch's Muon keeps the dtype, where it would use bfloat16."""
    for parameter, copy in zip(parameters, copies, strict=True):
        copy.grad = None if parameter.grad is None else torch.tensor(rows(parameter.grad))
    optimizer.step()
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
        twin.step()


def assert_same(parameters: list[nn.Parameter], copies: list, rtol: float) -> None:
    """Check that both have the same values."""
    for parameter, copy in zip(parameters, copies, strict=True):
        np.testing.assert_allclose(rows(parameter.data), copy.detach().numpy(), rtol=rtol, atol=rtol)
