"""Training with several processes, on one or more machines, by MPI through mpi4py.

Processes are called ranks. ``Trainer(..., distributed=MPI.COMM_WORLD)`` trains on all of them; see `DataParallel`. This
module has its parts: sums in the order of the ranks, sharing of a machine's processors among its ranks, random streams,
synchronized batch normalization, and ending all ranks when one fails. A program for
``mpiexec -n 4 python program.py``::

    from fastcnn import distributed, training

    def main(comm):
        ...  # model, optimizer, loss and loader as usual; batch_size is that of the whole batch
        distributed.convert_sync_batch_norm(model, comm)  # optional
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
