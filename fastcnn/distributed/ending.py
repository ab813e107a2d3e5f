"""One rank that fails ends them all: the others would wait for it for ever."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from fastcnn.distributed import last_words
from fastcnn.distributed.ranks import mpi


@contextmanager
def abort_on_error(comm=None) -> Iterator[None]:
    """Around what ranks do together: an exception on one of them prints its traceback there and ends all ranks.

    `fastcnn.training.Trainer.fit` does this by itself. Around a whole program it does so for the rest, too, as for a
    rank that cannot read its data, and for ``sys.exit`` with an exit code, which ``mpiexec`` then has. After Ctrl-C
    there is no traceback, and the exit code is 130.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        The ranks; by default all.

    Raises
    ------
    ImportError
        If there is no mpi4py, or no MPI library for it.

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
    """Say what happened and end all ranks; alone, raise it."""
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
        text = f"Rank {comm.Get_rank()} of {comm.Get_size()} failed, which ends them all:\n{said}"
    last_words.say(text)
    comm.Abort(code)
