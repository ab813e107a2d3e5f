"""Kernels receive the arguments from Python, and each of their tasks runs exactly once, on any thread."""

import itertools

import numpy as np
import pytest

pytest.importorskip("numba")

import fastcnn
from fastcnn.backends.numba_direct.runtime.compile import kernel
from fastcnn.backends.numba_direct.runtime.memory import aligned
from fastcnn.backends.numba_direct.runtime.program import Program, record
from fastcnn.backends.numba_direct.runtime.recorder import Recorder, given
from tests.in_threads import in_threads


@kernel
def _count(first, last, a, scratch):
    counts = a.counts
    for i in range(first, last):
        counts[i] += 1


@kernel
def _copy(first, last, a, scratch):
    x, out = a.x, a.out
    for i in range(first, last):
        out[i] = x[i]


@kernel
def _gather(first, last, a, scratch):
    out = a.out
    out[0], out[1], out[2], out[3], out[4], out[5] = a.single, a.double, a.whole, a.flag, len(a.tile), a.none.size


@kernel
def _invert(first, last, a, scratch):
    flags, out = a.flags, a.out
    for i in range(first, last):
        out[i] = not flags[i]


@kernel
def _last(first, last, a, scratch):
    x = a.x
    x[x.size - 1] = last


def test_arguments_arrive():
    out = np.zeros(6)
    _gather(
        1, whole=-5, single=np.float32(0.1), tile=(0,) * 3, out=out, double=0.1, flag=True, none=np.empty((0, 3))
    )  # fmt: skip
    assert out.tolist() == [float(np.float32(0.1)), 0.1, -5, 1, 3, 0]


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "f4", "f8", "?"])
@pytest.mark.parametrize("other", ["f4", "f8"])
def test_numbers_of_every_type(kind, other):
    x, out = np.array([[1, 0], [1, 1]], kind), np.empty(4, other)
    x.flags.writeable = False
    _copy(4, x=x, out=out)
    assert out.tolist() == [1, 0, 1, 1]
    back = np.empty(4, kind)
    _copy(4, x=out, out=back)
    assert back.tolist() == [1, 0, 1, 1]


def test_flags():
    flags, out = np.array([True, False, True]), np.empty(3, bool)
    _invert(3, flags=flags, out=out)
    assert out.tolist() == [False, True, False]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 1000])
def test_every_task_is_done_once(tasks, threads):
    before, counts = fastcnn.get_num_threads(), np.zeros(1001, np.int64)
    fastcnn.set_num_threads(threads)
    for _ in range(3):
        _count(tasks, counts=counts)
    fastcnn.set_num_threads(before)
    assert counts[:tasks].tolist() == [3] * tasks
    assert not counts[tasks:].any()


def program_of(steps, known, results=()):
    """Make a program of the given steps."""
    recorder = Recorder()
    recorder.parts = steps
    return Program(recorder, [], results, known)


def test_a_program_does_its_steps_in_their_order():
    arrays = [np.full(300, n) for n in range(5)]
    steps = [
        step
        for x, out in itertools.pairwise(arrays)
        for step in (_count.step(300, 0, {"counts": x}), _copy.step(300, 0, {"x": x, "out": out}))
    ]
    program = program_of(steps, known=arrays)
    for turn in range(1, 100):
        program()
        assert (arrays[-1] == turn + 3).all()
    assert program_of([], known=[])() == []


def test_a_result_may_be_asked_for_twice():
    def function(x):
        y = aligned((4,), x.dtype)
        _copy(4, x=x, out=y)
        return y, y[2:], y

    program, _ = record(function, [np.arange(4)], [])
    for found, expected in zip(program(np.arange(10, 14)), ([10, 11, 12, 13], [12, 13], [10, 11, 12, 13]), strict=True):
        assert found.tolist() == expected


def test_a_program_refuses_what_numpy_computed():
    x, out = np.ones(4, np.int64), np.empty(4, np.int64)
    step = _copy.step(4, 0, {"x": x, "out": out})
    with pytest.raises(RuntimeError, match=r"_copy is given an array, `x`, that no step computes"):
        program_of([step], known=[out])
    x.flags.writeable = False  # makes it a constant
    program_of([step], known=[out])()
    with pytest.raises(RuntimeError, match=r"A result is an array that no step computes"):
        program_of([step], known=[out], results=[np.ones(3)])


def copies(x, out, order=((0, 1), (1, 2)), new=aligned):
    """Launch copies from x to ``out`` through arrays of their own."""
    arrays = x, new((4,), x.dtype), new((4,), x.dtype), out
    for source, target in (*order, (2, 3)):
        _copy(4, x=arrays[source], out=arrays[target])


@pytest.mark.parametrize("shared", [False, True], ids=["own memory", "shared memory"])
def test_a_program_is_renewed_by_the_same_launches_only(shared):
    """The function allocates arrays again; they must play the same parts as those of the program."""
    x, other, out = np.ones(4), np.full(4, 5.0), np.zeros(4)
    program, _ = record(lambda: copies(x, out) or [], [], [x, other, out])
    if shared:
        program.share(lambda size: np.zeros(size, np.uint8))
    assert program.renew(lambda: copies(x, out))
    assert not program.renew(lambda: copies(other, out))
    assert not program.renew(lambda: copies(x, out, order=[(0, 2), (2, 1)]))
    assert not program.renew(lambda: copies(x, out, order=[(0, 1), (0, 2)]))
    assert not program.renew(lambda: copies(x, out, new=np.empty))
    assert not program.renew(lambda: copies(aligned((4,), x.dtype), out))
    assert not program.renew(lambda: given(np.ones(1)))
    out[:] = 7
    program()
    assert (out == 1).all()


def test_python_threads_launch_at_once():
    wrong = []

    def work(number):
        counts = np.zeros(100 + number, np.int64)
        for _ in range(100):
            _count(len(counts), counts=counts)
        if not (counts == 100).all():
            wrong.append(number)

    in_threads(work, range(4))
    assert not wrong


def test_more_than_two_to_the_31():
    x = np.zeros((1 << 31) + 9, np.int8)  # only one page of it is ever in memory
    _last(1, x=x)
    assert x[-1] == 1
