"""Training on several processes and machines by MPI, which clusters have, through mpi4py.

Processes are called ranks. ``Trainer(..., distributed=MPI.COMM_WORLD)`` does the rest; see `fastcnn.training.Trainer`.
What it is made of is here: sums in the order of the ranks, processors shared out among the ranks of a machine, random
streams, batch normalization over all ranks, and an end of all when one fails.
"""

from fastcnn.distributed.batch_norm import convert_sync_batch_norm
from fastcnn.distributed.ending import abort_on_error
from fastcnn.distributed.processors import share_processors
from fastcnn.distributed.ranks import Ranks, world

__all__ = ["Ranks", "abort_on_error", "convert_sync_batch_norm", "share_processors", "world"]
