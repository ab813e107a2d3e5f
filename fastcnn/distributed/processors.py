"""Sharing the processors of a machine among its ranks."""

import math
from collections import Counter

from fastcnn import _processors, _threads
from fastcnn.distributed.ranks import Ranks, mpi


def share_processors(ranks: Ranks) -> int:
    """Set the number of threads of each rank to its share of the machine's processors, and return it.

    If n ranks may run on a processor, it counts as 1 / n for each of them. So ranks that ``mpiexec`` bound to their own
    processors keep these. A number set by `fastcnn.set_num_threads` or ``FASTCNN_NUM_THREADS`` is kept. The results of
    the "numba" backend do not depend on it.

    Parameters
    ----------
    ranks : Ranks
        All ranks must call this function.

    Returns
    -------
    int
    """
    machine = ranks.comm.Split_type(mpi().COMM_TYPE_SHARED)  # the ranks that share memory
    try:
        allowed = machine.allgather(_processors.allowed())
        quota = min(machine.allgather(_processors.quota())) / machine.Get_size()
    finally:
        machine.Free()
    if not _threads.are_chosen():
        _threads.set_num_threads(int(min(threads(_processors.allowed(), allowed, quota), _threads.most())))
    return _threads.get_num_threads()


def threads(own: frozenset[int], of_all: list[frozenset[int]], quota: float) -> int:
    """Number of threads of a rank that may run on ``own`` processors; ``of_all`` lists those of each rank.

    Examples
    --------
    >>> from fastcnn.distributed.processors import threads
    >>> threads({0, 1, 2, 3}, [{0, 1, 2, 3}, {0, 1, 2, 3}], quota=8)
    2
    >>> threads({0, 1}, [{0, 1}, {2, 3}], quota=8)
    2
    """
    sharing = Counter(processor for allowed in of_all for processor in allowed)
    share = sum(1 / sharing[processor] for processor in own)
    return max(1, math.floor(min(share, quota) + 1e-9))
