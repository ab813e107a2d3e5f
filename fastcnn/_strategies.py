"""How a `Trainer` makes a strategy from a communicator.

`fastcnn.distributed` imports `fastcnn.training`, which therefore cannot import it. The package `fastcnn` imports both,
and sets the function that a `Trainer` calls.
"""

from collections.abc import Callable
from typing import Any

from_communicator: Callable[[Any], Any]
