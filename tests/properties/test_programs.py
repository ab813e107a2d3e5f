"""Random programs with models that share layers: they are called, inspected, copied and interrupted.

Every gradient must belong to its call. `tests.properties.programs.answer`, which uses no state of layers, computes the
expected result of each step.
"""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcnn
from fastcnn import nn
from tests.properties.programs import CHANNELS, DTYPE, LEAVES, Breaks, Broken, State, answer, build, structures

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def programs(draw):
    """Draw leaves, models made of them, and steps."""
    leaves = ["tanh", *draw(st.lists(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=5))]
    models = draw(st.lists(structures(leaves), min_size=1, max_size=2))
    which = st.integers(0, len(models) - 1)
    forward = st.tuples(st.just("forward"), which, st.sampled_from([1, 2, 3, 9]), st.sampled_from([4, 8]), SEEDS)
    backward = st.tuples(st.just("backward"), which, st.booleans(), SEEDS)
    step = st.one_of(
        forward,
        backward,
        st.tuples(st.just("look"), which, st.integers(0, 30), st.sampled_from([2, 3]), SEEDS),
        st.tuples(st.just("mode"), which, st.integers(0, 30), st.booleans()),
        st.tuples(st.just("copy"), which),
        st.tuples(st.just("fail"), which, st.sampled_from(["dtype", "channels", "raise"]), SEEDS),
        st.tuples(st.just("exchange"), which),
        st.tuples(st.just("zero_grad"), which),
    )
    between = st.lists(step, max_size=3)  # steps between a forward and a backward pass
    steps = draw(st.lists(st.tuples(forward, between, backward), min_size=1, max_size=5))
    return leaves, models, [step for start, others, end in steps for step in (start, *others, end)], draw(SEEDS)


class Run:
    """A running program and its reference."""

    def __init__(self, leaves, structures, seed):
        rng = np.random.default_rng(seed)
        shared = [LEAVES[leaf](rng) for leaf in leaves]
        self.models = [build(structure, shared) for structure in structures]
        self.state = State()
        for model in self.models:
            self.state.see(model)
        self.backs = [None] * len(self.models)  # the reference's backward of the last call of each model

    def forward(self, k, N, size, seed):
        x = np.random.default_rng(seed).standard_normal((N, CHANNELS, size, size)).astype(DTYPE)
        self._call(k, self.models[k], x)

    def look(self, k, at, N, seed):
        """Call a module inside the model directly."""
        modules = list(self.models[k].modules())[1:]
        if modules:
            x = np.random.default_rng(seed).standard_normal((N, CHANNELS, 4, 4)).astype(DTYPE)
            self._call(None, modules[at % len(modules)], x)

    def backward(self, k, input_grad, seed):
        model, back = self.models[k], self.backs[k]
        if back is None:
            with pytest.raises(RuntimeError, match="needs the output of a batch"):
                model.backward(np.ones((1, CHANNELS, 1, 1)))
            return
        shape, through = back
        dy = np.random.default_rng(seed).standard_normal(shape)
        with pytest.raises(ValueError, match="`dy` has shape"):
            model.backward(np.ones((shape[0] + 1, *shape[1:])), input_grad=input_grad)
        dx = model.backward(dy, input_grad=input_grad)
        expected = through(dy)
        if input_grad:
            close("dx", dx, expected)
        else:
            assert dx is None
        for parameter in model.parameters():
            if parameter.grad is not None or np.any(self.state.grads.get(parameter, 0)):
                close("grad", parameter.grad, self.state.grads[parameter])

    def mode(self, k, at, training):
        modules = list(self.models[k].modules())
        modules[at % len(modules)].train(training)

    def copy(self, k):
        """Continue with a copy, which has no state of the last batch and no longer shares layers with other models."""
        twin = copy.deepcopy(self.models[k])
        for (_, mine), (_, other) in zip(self.models[k].named_buffers(), twin.named_buffers(), strict=True):
            self.state.buffers[other] = self.state.buffers[mine].copy()
        for mine, other in zip(self.models[k].parameters(), twin.parameters(), strict=True):
            if mine in self.state.grads:
                self.state.grads[other] = self.state.grads[mine]
        self.models[k], self.backs[k] = twin, None
        self.state.see(twin)

    def fail(self, k, how, seed):
        """Make a forward pass fail before or within its layers; afterwards there must be no gradient."""
        x = np.random.default_rng(seed).standard_normal((2, CHANNELS, 8, 8)).astype(DTYPE)
        if how == "raise":
            Breaks.armed = True
            try:
                self._call(k, self.models[k], x)
            finally:
                Breaks.armed = False
        else:
            with pytest.raises((TypeError, ValueError)):
                self.models[k](x[..., 0, 0, 0] if how == "channels" else x.astype(int))
            self.backs[k] = None

    def exchange(self, k):
        """Replace the arrays of all parameters."""
        for parameter in self.models[k].parameters():
            parameter.data = parameter.data[::-1] * 0.9

    def zero_grad(self, k):
        self.models[k].zero_grad()
        for parameter in self.models[k].parameters():
            self.state.grads.pop(parameter, None)

    def _call(self, k, module, x):
        try:
            expected, back = answer(module, x, self.state)
        except (ValueError, Broken) as error:  # an image too small to pool, or a single value to normalize
            with pytest.raises(type(error)):
                module(x)
            back = None
        else:
            y = module(x)
            close("y", y, expected)
            back = y.shape, back
        for other, model in enumerate(self.models):
            if model is module:
                self.backs[other] = back
        for _, buffer in module.named_buffers():
            close("buffer", buffer.data, self.state.buffers[buffer])


def close(what, found, expected):
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-7, err_msg=what)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@given(programs())
def test_every_gradient_belongs_to_its_call(backend, program):
    leaves, models, steps, seed = program
    with fastcnn.use_backend(backend):
        run = Run(leaves, models, seed)
        for name, *arguments in steps:
            getattr(run, name)(*arguments)


def test_the_reference_is_the_derivative():
    """Check it for a model with all leaves, along one direction."""
    rng, state = np.random.default_rng(0), State()
    layers = [LEAVES[leaf](rng) for leaf in sorted(LEAVES) if leaf != "relu"]
    model = nn.Sequential(nn.Residual(layers[2]), *layers)
    state.see(model)
    x, direction = rng.standard_normal((2, 3, CHANNELS, 8, 8))
    buffers = {buffer: array.copy() for buffer, array in state.buffers.items()}
    generators = copy.deepcopy([rng.bit_generator.state for rng in state.generators.values()])

    def output(x):
        for buffer, array in buffers.items():
            state.buffers[buffer][...] = array
        for generator, start in zip(state.generators.values(), generators, strict=True):
            generator.bit_generator.state = start
        return answer(model, x, state)

    y, back = output(x)
    dy = rng.standard_normal(y.shape)
    slope = ((output(x + 1e-6 * direction)[0] - output(x - 1e-6 * direction)[0]) * dy).sum() / 2e-6
    assert (back(dy) * direction).sum() == pytest.approx(slope, rel=1e-5)
