"""The ranks of a communicator, and what they say to each other."""

import numpy as np


def mpi():
    """The module ``mpi4py.MPI``; the first import starts MPI.

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # without a library, mpi4py raises a RuntimeError
        raise ImportError(
            'Training on several ranks needs mpi4py and an MPI library: pip install "fastcnn[mpi]", and where the '
            f"machine has no MPI of its own, pip install mpich. ({error})"
        ) from error
    return MPI


def world():
    """The communicator of all ranks that ``mpiexec`` started, ``mpi4py.MPI.COMM_WORLD``; without it, of this one.

    Returns
    -------
    mpi4py.MPI.Intracomm

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it; it says what to install.
    """
    return mpi().COMM_WORLD


class Ranks:
    """All ranks of a communicator; what one of them is told, all are told in the same order.

    Every method is for all ranks at once: where one does not call it, the others wait.

    Sums do not come from ``Allreduce``, because the MPI standard (version 4.1, section 6.9.1) only recommends that it
    give the same sum each time, and libraries choose the order of a sum by message size, machine and who came first.
    Here a sum has one owner that adds in the order of the ranks, so that it is the same, bit for bit, in every run on
    so many ranks, with any library, however they lie on the machines. `sum` moves as many bytes as the best Allreduce,
    ``2 (n - 1) / n`` of the array to and from each of n ranks (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of
    collective communication operations in MPICH", IJHPCA 19, 2005), in more messages. Of LeNet-5's gradients it took
    0.06 ms where MPICH's Allreduce took 0.05, two ranks on one machine.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Such as ``MPI.COMM_WORLD``.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
    rank, size : int
        The number of this rank, from 0, and how many there are.

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.
    TypeError
        If `comm` is not a communicator.
    """

    def __init__(self, comm):
        if not isinstance(comm, mpi().Intracomm):
            raise TypeError(
                f"`distributed` must be a communicator of mpi4py, such as MPI.COMM_WORLD, not {type(comm).__name__}."
            )
        self.comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()

    def allgather_numbers(self, values) -> np.ndarray:
        """The numbers of each rank, which all have as many: float64 of shape (ranks, numbers), the same on all."""
        own = np.ascontiguousarray(values, np.float64)
        table = np.empty((self.size, len(own)))
        self.comm.Allgather(own, table)
        return table

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Sum of the ranks' arrays, of one axis, added in the order of the ranks: the same on all.

        Each rank owns a part of the sum: it is sent this part by all, adds, and sends the sum to all.
        """
        part = -(-len(array) // self.size)
        own = np.zeros((self.size, part), array.dtype)  # row r is what rank r adds
        own.reshape(-1)[: len(array)] = array
        parts, total = np.empty_like(own), np.empty_like(own)
        self.comm.Alltoall(own, parts)
        summed = parts[0]
        for other in parts[1:]:
            summed += other
        self.comm.Allgather(summed, total)
        return total.reshape(-1)[: len(array)]

    def broadcast(self, thing):
        """What rank 0 has, anything that can be pickled."""
        return self.comm.bcast(thing)

    def allgather(self, thing) -> list:
        """What each rank has, anything that can be pickled."""
        return self.comm.allgather(thing)

    def slice(self, count: int) -> slice:
        """Which of ``count`` things in a row are for this rank: parts as even as can be."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def __repr__(self) -> str:
        return f"Ranks(rank={self.rank}, size={self.size})"
