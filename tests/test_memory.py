"""The numba backend's memory: aligned, used again, never while somebody still looks at it."""

import threading

import numpy as np

from fastcnn.backends.numba_direct import memory

FLOAT32 = np.dtype(np.float32)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_it_is_aligned_and_used_again():
    array = memory.aligned((3, 5, 16), FLOAT32)
    first = address(array)
    assert first % memory.VECTOR_BYTES == 0
    del array
    assert address(memory.aligned((3, 5, 16), FLOAT32)) == first
    assert address(memory.aligned((15, 2, 8), np.dtype(np.int32))) == first  # another shape of as many bytes


def test_it_is_not_used_again_while_a_view_of_a_view_lives():
    array = memory.aligned((7, 64), FLOAT32)
    view = array.reshape(-1)[10:20].view(np.int32)
    first = address(array)
    del array
    others = [memory.aligned((7, 64), FLOAT32) for _ in range(3)]
    assert first not in map(address, others)
    assert len(set(map(address, others))) == 3
    del view
    assert address(memory.aligned((7, 64), FLOAT32)) == first


def test_what_is_kept_has_a_limit(monkeypatch):
    monkeypatch.setattr(memory, "_KEPT_BYTES", 100_000)
    for n in range(1, 200):
        memory.aligned((n, 100), FLOAT32)
    assert sum(size * len(kept) for size, kept in memory._buffers.items()) <= 100_000


def test_threads_never_share_an_array():
    wrong = []

    def work(number):
        for _ in range(2000):
            array = memory.aligned((50,), FLOAT32)
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
