"""Ending all ranks when one fails, as the others would wait for it forever."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.distributed import last_words
from fastcnn.distributed.ranks import mpi


@contextmanager
def abort_on_error(comm=None) -> Iterator[None]:
    """Context manager: an exception on one rank prints its traceback and ends all ranks.

    `fastcnn.training.Trainer.fit` does this by itself. Put it around a whole program to handle errors outside of `fit`
    too, such as a rank that cannot read its data, and ``sys.exit`` with an exit code, which ``mpiexec`` then returns.
    After Ctrl-C there is no traceback, and the exit code is 130.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        The ranks; by default all.

    Raises
    ------
    ImportError
        If mpi4py or its MPI library is missing.

    Examples
    --------
    A program for ``mpiexec -n 4 python program.py``::

        if __name__ == "__main__":
            with fastcnn.distributed.abort_on_error():
                main()
    """
    comm = mpi().COMM_WORLD if comm is None else comm
    try:
        yield
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        abort(comm, error)


def abort(comm, error: BaseException) -> None:
    """Print the error and end all ranks; if there is only one rank, raise it."""
    if comm.Get_size() == 1:
        raise error
    code = 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        text = "" if isinstance(error.code, int) else f"{error.code}\n"
    elif isinstance(error, KeyboardInterrupt):
        code, text = 130, f"Rank {comm.Get_rank()} of {comm.Get_size()} was interrupted.\n"
    else:
        said = "".join(traceback.format_exception(error))
        text = f"Rank {comm.Get_rank()} of {comm.Get_size()} failed, which ends all ranks:\n{said}"
    last_words.say(text)
    comm.Abort(code)
