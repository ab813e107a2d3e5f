"""Training on several processes and machines by MPI, which clusters have, through mpi4py.

Processes are called ranks. ``Trainer(..., distributed=MPI.COMM_WORLD)`` does the rest; see `DataParallel`. What it is
made of is here: sums in the order of the ranks, processors shared out among the ranks of a machine, random streams,
batch normalization over all ranks, and an end of all when one fails. A program for ``mpiexec -n 4 python program.py``::

    from fastcnn import distributed, training

    def main(comm):
        ...  # model, optimizer, loss and loader as ever, the loader with the size of the whole batch
        distributed.convert_sync_batch_norm(model, comm)  # if it is to be so
        trainer = training.Trainer(model, optimizer, loss, distributed=comm)
        trainer.fit(loader, validation, epochs=5)

    with distributed.abort_on_error():
        main(distributed.world())
"""

from fastcnn.distributed.batch_norm import convert_sync_batch_norm
from fastcnn.distributed.data_parallel import DataParallel
from fastcnn.distributed.ending import abort_on_error
from fastcnn.distributed.processors import share_processors
from fastcnn.distributed.ranks import Ranks, world

__all__ = ["DataParallel", "Ranks", "abort_on_error", "convert_sync_batch_norm", "share_processors", "world"]
