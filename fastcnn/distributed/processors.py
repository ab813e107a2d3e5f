"""The processors of a machine, shared out among its ranks."""

import math
from collections import Counter

from fastcnn import _processors, _threads
from fastcnn.distributed.ranks import Ranks, mpi


def share_processors(ranks: Ranks) -> int:
    """Let each rank compute on its share of the processors of its machine, and return how many threads it has now.

    A processor that several ranks may run on counts as that part of one for each of them; so ranks that ``mpiexec``
    bound to processors of their own keep these. What was set by `fastcnn.set_num_threads` or ``FASTCNN_NUM_THREADS``
    stays. Results of the "numba" backend do not depend on it.

    Parameters
    ----------
    ranks : Ranks
        All of them call this.

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
    """A rank's share of the processors it may run on, where ``of_all`` says which each rank of the machine may.

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
