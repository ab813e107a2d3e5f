"""Chains of steps that process one block of images after the other, with bit-identical results."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim, training
from fastcnn.backends.numba_direct import branches
from fastcnn.backends.numba_direct.runtime import launch, memory
from fastcnn.backends.numba_direct.runtime.chains import Use, chains
from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES

CLASSES, BLOCKS = 3, 3
N = BLOCKS * VECTOR_BYTES // 4 - 2  # the last block is not full
NETS = {
    "residual": lambda rng: [
        nn.Conv2d(2, 16, 3, padding=1, rng=rng), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, rng=rng), nn.BatchNorm2d(16))), nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1, rng=rng), nn.BatchNorm2d(24), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES, rng=rng),
    ],
    "separable": lambda rng: [
        nn.Conv2d(2, 8, 1, rng=rng), nn.GELU(), nn.Conv2d(8, 8, 3, padding=1, groups=8, rng=rng), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Conv2d(8, 5, 1, rng=rng), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(80, CLASSES, rng=rng),
    ],
    "pooled": lambda rng: [
        nn.Conv2d(2, 5, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3, rng=rng),
        nn.Conv2d(5, 6, 3, padding=1, rng=rng), nn.MaxPool2d(3, stride=2, padding=1), nn.Tanh(), nn.Flatten(),
        nn.Linear(24, 8, rng=rng), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES, rng=rng),
    ],
    "joined": lambda rng: [
        nn.Conv2d(2, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Concat(nn.Identity(), nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, rng=rng), nn.BatchNorm2d(6), nn.ReLU())),
        nn.Conv2d(10, 5, 1, rng=rng), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(80, CLASSES, rng=rng),
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def backend():
    with fastcnn.use_backend("numba"):
        yield


@contextmanager
def on(threads):
    before = fastcnn.get_num_threads()
    fastcnn.set_num_threads(threads)
    try:
        yield
    finally:
        fastcnn.set_num_threads(before)


def batch():
    rng = np.random.default_rng(1)
    return rng.standard_normal((N, 2, 8, 8), np.float32), rng.integers(0, CLASSES, N)


def net(name):
    return nn.Sequential(*NETS[name](np.random.default_rng(0)))


def trained(name, *threads):
    """Train a net for one step on each of these numbers of threads, as one program; return net and program."""
    model = net(name)
    step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1, momentum=0.9), nn.CrossEntropyLoss())
    for number in threads:
        with on(number):
            step(*batch())
    (program,) = step.programs
    return model, program


def lengths(program):
    return [len(part) for part in program.chains if isinstance(part, list)]


@pytest.mark.parametrize("threads", [1, 2, BLOCKS, 4])
@pytest.mark.parametrize("name", NETS)
def test_a_program_in_chains_has_the_bits_of_the_calls(name, threads):
    model, program = trained(name, BLOCKS, threads, threads, threads)
    assert max(lengths(program)) >= 3
    by_hand, loss = net(name), nn.CrossEntropyLoss()
    optimizer = optim.SGD(by_hand.parameters(), 0.1, momentum=0.9)
    x, labels = batch()
    for _ in range(4):
        loss(by_hand(x), labels)
        optimizer.zero_grad()
        by_hand.backward(loss.backward(), input_grad=False)
        optimizer.step()
    for key, value in by_hand.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[key], value, err_msg=key)


def test_a_concatenation_stands_in_chains():
    """The copies of the branches' outputs (forward) and gradients (backward) are part of chains."""
    _, program = trained("joined", BLOCKS)
    for kernel in (branches._put, branches._take):
        found = [len(part) for part in program.chains for step in part if step.kernel is kernel]
        assert len(found) == 2
        assert min(found) > 4


def test_there_are_none_where_threads_would_wait():
    assert max(lengths(trained("residual", 2)[1])) == 1


def steps_of_passes(name):
    """Return the steps of a forward and a backward pass in which no arrays share memory."""
    model, loss = net(name), nn.CrossEntropyLoss()
    x, labels = batch()
    loss(model(x), labels)
    model.backward(loss.backward(), input_grad=False)
    parts = [part for program in itertools.chain(*model.programs().values()) for part in program.chains]
    return [step for part in parts if isinstance(part, list) for step in part]


def arrays_of(step):
    return {key: value for key, value in step.arguments.items() if isinstance(value, np.ndarray)}


def copies(arrays):
    return {key: array.copy() for key, array in arrays.items()}


@pytest.mark.parametrize("name", NETS)
def test_kernels_write_what_they_say(name):
    """A kernel that names the arrays it writes changes no others."""
    named = [step for step in steps_of_passes(name) if step.kernel.writes is not None]
    assert len(named) > 20
    for step in named:
        arrays = copies(arrays_of(step))
        step.kernel(step.tasks, step.scratch, **step.arguments | arrays)
        assert step.kernel.writes <= arrays.keys(), step.kernel
        for key in arrays.keys() - step.kernel.writes:
            assert arrays[key].tobytes() == step.arguments[key].tobytes(), (step.kernel, key)


@pytest.mark.parametrize("name", NETS)
def test_a_block_has_what_it_needs(name):
    """Tasks of one block do not depend on the other blocks and do not change them."""
    divided = [step for step in steps_of_passes(name) if step.blocks]
    assert len(divided) > 10
    for step in divided:
        whole = copies(arrays_of(step))
        step.kernel(step.tasks, step.scratch, **step.arguments | whole)
        for block in range(BLOCKS):
            arrays, others = copies(arrays_of(step)), np.arange(BLOCKS) != block
            blocked = {key: array for key, array in arrays.items() if array.ndim > 2 and len(array) == BLOCKS}
            for array in blocked.values():
                array[others] = np.nan if array.dtype.kind == "f" else 1
            before = copies(blocked)
            run_block(step, block, arrays)
            for key in step.kernel.writes & blocked.keys():
                np.testing.assert_array_equal(arrays[key][block], whole[key][block], err_msg=f"{step} {key}")
                assert arrays[key][others].tobytes() == before[key][others].tobytes(), (step, key)


def run_block(step, block, arrays):
    """Run the tasks of one block, as a chain on one thread with only this block."""
    each = step.tasks // step.blocks
    made = step.kernel.step((1, each), step.scratch, step.arguments | arrays)
    words = np.frombuffer(made.record, np.int64).copy()
    scratch = np.zeros(step.scratch + VECTOR_BYTES, np.uint8)
    at = memory.address(scratch) + -memory.address(scratch) % VECTOR_BYTES
    row = np.array([made.address, memory.address(words), made.tasks, step.kernel.flushes, 0, 1, 0], np.int64)
    assert launch._run_tasks(memory.address(row), row[1], block * each, (block + 1) * each, at) == 0


def use(reads, writes, blocks=2, stops=False):
    return Use(blocks, set(reads), set(writes), stops)


def test_what_depends_on_each_other_stays_in_order():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        steps = [
            use(rng.integers(0, 8, 2), rng.integers(0, 8, 1), int(rng.choice([0, 2, 2, 2, 3])))
            if rng.random() < 0.97
            else use("", "", 0, stops=True)
            for _ in range(12)
        ]
        found = list(chains(steps))
        order = [i for chain in found for i in chain]
        assert sorted(order) == list(range(12))
        for first, second in itertools.combinations(range(12), 2):
            one, two = steps[first], steps[second]
            if not one.is_apart(two) or one.stops or two.stops:
                assert order.index(first) < order.index(second)
        for chain in found:
            assert len(chain) == 1 or len({steps[i].blocks for i in chain} - {0}) == 1


def test_what_stands_in_the_way_is_moved():
    pixels, filters, sums = use("x", "y"), use("w", "t", 0), use("yt", "z")
    assert list(chains([pixels, filters, sums])) == [[1], [0, 2]]
    gradient, total, before = use("xz", "p"), use("p", "g", 0), use("z", "u")
    assert list(chains([gradient, total, before])) == [[0, 2], [1]]
    assert list(chains([gradient, total, use("g", "u")])) == [[0], [1], [2]]
    assert list(chains([pixels, use("", "", 0, stops=True), before])) == [[0], [1], [2]]


def test_what_a_chain_alone_needs_is_one_block_for_each_thread():
    """In the backward pass through convolutions and ReLU of any number; the forward pass keeps what backward needs."""

    def sizes(layers):
        rng = np.random.default_rng(0)
        body = [layer for _ in range(layers) for layer in (nn.Conv2d(4, 4, 3, padding=1, rng=rng), nn.ReLU())]
        model = nn.Sequential(*body, nn.Flatten(), nn.Linear(256, CLASSES, rng=rng))
        step = training.TrainStep(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
        with on(BLOCKS):
            step(rng.standard_normal((N, 4, 8, 8), np.float32), rng.integers(0, CLASSES, N))
        (launch,) = step.programs[0]._calls
        return step._memory.size, launch._scratch_bytes

    (few, few_scratch), (many, many_scratch) = sizes(4), sizes(10)
    activation = 4 * 64 * BLOCKS * VECTOR_BYTES
    assert 6 * activation <= many - few < 8 * activation
    assert abs(many_scratch - few_scratch) < activation / BLOCKS / 2  # a longer net has longer lists in the optimizer
