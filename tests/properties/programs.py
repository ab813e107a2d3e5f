"""Programs that users may write with models that share layers, and the expected result of each call.

The reference has no layers with state: `answer` computes a module with `fastcnn.functional` on plain arrays, and
returns the output and a function for the backward pass of just this call.
"""

import copy
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from fastcnn import functional as F
from fastcnn import nn

CHANNELS = 2
DTYPE = np.float64


class Broken(Exception):
    """The error that `Breaks` raises."""


class Breaks(nn.Module):
    """The identity, until ``armed`` is set; then it raises."""

    armed = False

    def forward_native(self, x, backend):
        if type(self).armed:
            raise Broken
        return x

    def backward_native(self, dy, backend, input_grad):
        return dy


class Sine(nn.Module):
    """sin(2 x) in NumPy, with private attributes that do not belong to a call."""

    def __init__(self):
        self._factor = 2
        self._calls = 0

    def forward_native(self, x, backend):
        self._calls += 1
        self._x = backend.unpack(x)
        return backend.pack(np.sin(self._factor * self._x))

    def backward_native(self, dy, backend, input_grad):
        return backend.pack(backend.unpack(dy) * self._factor * np.cos(self._factor * self._x))


class Twice(nn.Module):
    """inner(inner(x)), which calls the inner layer twice in one pass."""

    def __init__(self, inner):
        self.inner = inner

    def forward_native(self, x, backend):
        y = self.inner.forward_native(x, backend)
        self._first = nn.last_call(self.inner)
        y = self.inner.forward_native(y, backend)
        self._second = nn.last_call(self.inner)
        return y

    def backward_native(self, dy, backend, input_grad):
        return self._first.backward(self._second.backward(dy, backend, True), backend, input_grad)


class Around(nn.Module):
    """Calls its inner layer's native methods directly."""

    def __init__(self, inner):
        self.inner = inner

    def forward_native(self, x, backend):
        return self.inner.forward_native(x, backend)

    def backward_native(self, dy, backend, input_grad):
        return self.inner.backward_native(dy, backend, input_grad)


class Doubled(nn.Tanh):
    """A built-in layer whose methods are overridden: 2 tanh(x)."""

    def forward_native(self, x, backend):
        y = super().forward_native(x, backend)
        return backend.add(y, y)

    def backward_native(self, dy, backend, input_grad):
        return super().backward_native(backend.add(dy, dy), backend, input_grad)


LEAVES: dict[str, Callable] = {
    "relu": lambda rng: nn.ReLU(),
    "tanh": lambda rng: nn.Tanh(),
    "leaky": lambda rng: nn.LeakyReLU(0.3),
    "norm": lambda rng: nn.BatchNorm2d(CHANNELS, dtype=DTYPE),
    "conv": lambda rng: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, rng=rng, dtype=DTYPE),
    "bare conv": lambda rng: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, rng=rng, dtype=DTYPE),
    "dropout": lambda rng: nn.Dropout(0.4, rng=rng),
    "pool": lambda rng: nn.MaxPool2d(2),
    "mean": lambda rng: nn.AvgPool2d(2),
    "breaks": lambda rng: Breaks(),
    "sine": lambda rng: Sine(),
    "doubled": lambda rng: Doubled(),
}
SHRINK = {"pool", "mean"}


def structures(leaves: list[str], depth: int = 3) -> st.SearchStrategy:
    """Draw nested tuples ("chain" or "residual" or "twice" or "around", parts) with indices of ``leaves`` as leaves."""
    kept = [i for i, leaf in enumerate(leaves) if leaf not in SHRINK]
    flat = st.sampled_from(kept)
    inside: st.SearchStrategy = flat  # structures that keep the size of images
    for _ in range(depth - 1):
        inside = st.one_of(
            flat,
            st.tuples(st.sampled_from(["chain", "residual"]), st.lists(inside, min_size=1, max_size=3).map(tuple)),
            st.tuples(st.sampled_from(["twice", "around"]), st.tuples(inside)),
        )
    outside = st.one_of(inside, st.sampled_from(range(len(leaves))))
    return st.tuples(st.just("chain"), st.lists(outside, min_size=1, max_size=4).map(tuple))


def build(structure, leaves: list[nn.Module]) -> nn.Module:
    """Build the model; a leaf that occurs several times is shared."""
    if isinstance(structure, int):
        return leaves[structure]
    kind, parts = structure
    modules = [build(part, leaves) for part in parts]
    if kind == "twice":
        return Twice(modules[0])
    if kind == "around":
        return Around(modules[0])
    if kind == "residual":
        return nn.Residual(nn.Sequential(*modules))
    return nn.Sequential(*modules)


class State:
    """State of the reference besides the arrays of parameters: gradients, running statistics, generators."""

    def __init__(self) -> None:
        self.grads: dict[nn.Parameter, np.ndarray] = {}
        self.buffers: dict[nn.Buffer, np.ndarray] = {}
        self.generators: dict[nn.Dropout, np.random.Generator] = {}

    def see(self, model: nn.Module) -> None:
        """Copy the buffers and generators of a model that are new."""
        for _, buffer in model.named_buffers():
            self.buffers.setdefault(buffer, buffer.data.copy())
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                shared = next((g for d, g in self.generators.items() if d.rng is module.rng), None)
                self.generators.setdefault(module, shared or copy.deepcopy(module.rng))

    def add(self, parameter: nn.Parameter, grad: np.ndarray) -> None:
        """Accumulate a gradient."""
        self.grads[parameter] = self.grads.get(parameter, 0) + grad


def answer(module: nn.Module, x: np.ndarray, state: State) -> tuple[np.ndarray, Callable]:
    """Return the output of a module, and a function that computes dx from dy and adds the gradients of this call."""
    if isinstance(module, nn.Sequential):
        return _chain(list(module), x, state)
    if isinstance(module, Twice):
        return _chain([module.inner] * 2, x, state)
    if isinstance(module, Around):
        return answer(module.inner, x, state)
    if isinstance(module, nn.Residual):
        y, back = answer(module.body, x, state)
        past, back_past = answer(module.shortcut, x, state)
        return y + past, lambda dy: back(dy) + back_past(dy)
    return _leaf(module, x, state)


def _chain(modules, x, state):
    backs = []
    for module in modules:
        x, back = answer(module, x, state)
        backs.append(back)

    def back_through(dy):
        for back in reversed(backs):
            dy = back(dy)
        return dy

    return x, back_through


def _leaf(module, x, state):
    with_numpy = {"backend": "numpy"}
    if isinstance(module, Breaks):
        if Breaks.armed:
            raise Broken
        return x, lambda dy: dy
    if isinstance(module, nn.Identity):
        return x, lambda dy: dy
    if isinstance(module, Sine):
        return np.sin(2 * x), lambda dy: dy * 2 * np.cos(2 * x)
    if isinstance(module, Doubled):
        return 2 * np.tanh(x), lambda dy: dy * 2 * (1 - np.tanh(x) ** 2)
    if isinstance(module, nn.ReLU):
        return np.maximum(x, 0), lambda dy: dy * (x > 0)
    if isinstance(module, nn.Tanh):
        return np.tanh(x), lambda dy: dy * (1 - np.tanh(x) ** 2)
    if isinstance(module, nn.LeakyReLU):
        return np.where(x < 0, 0.3 * x, x), lambda dy: np.where(x < 0, 0.3 * dy, dy)
    if isinstance(module, nn.MaxPool2d):
        y, indices = F.max_pool2d(x, 2, return_indices=True, **with_numpy)
        return y, lambda dy: F.max_pool2d_backward(dy, indices, x.shape, **with_numpy)
    if isinstance(module, nn.AvgPool2d):
        return F.avg_pool2d(x, 2, **with_numpy), lambda dy: F.avg_pool2d_backward(dy, x.shape, 2, **with_numpy)
    if isinstance(module, nn.Dropout):
        if not module.training:
            return x, lambda dy: dy
        _, mask = F.dropout(np.ones_like(x), 0.4, rng=state.generators[module], **with_numpy)
        return x * mask, lambda dy: dy * mask
    if isinstance(module, nn.Conv2d):
        bias = module.bias and module.bias.data

        def back(dy):
            dx, dweight, dbias = F.conv2d_backward(dy, x, module.weight.data, padding=1, **with_numpy)
            state.add(module.weight, dweight)
            if module.bias:
                state.add(module.bias, dbias)
            return dx

        return F.conv2d(x, module.weight.data, bias, padding=1, **with_numpy), back
    assert isinstance(module, nn.BatchNorm2d)
    return _norm(module, x, state)


def _norm(module, x, state):
    training = module.training
    mean, var = state.buffers[module.running_mean], state.buffers[module.running_var]
    y, saved_mean, invstd = F.batch_norm(
        x, mean, var, module.weight.data, module.bias.data, training=training, return_statistics=True, backend="numpy"
    )
    if training:
        state.buffers[module.num_batches_tracked] += 1

    def back(dy):
        dx, dweight, dbias = F.batch_norm_backward(
            dy, x, saved_mean, invstd, module.weight.data, training=training, backend="numpy"
        )
        state.add(module.weight, dweight)
        state.add(module.bias, dbias)
        return dx

    return y, back
