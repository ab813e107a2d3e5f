"""How a `Trainer` makes a strategy of a communicator.

`fastcnn.distributed` stands on `fastcnn.training`, which therefore cannot import it. `fastcnn` itself knows both, and
sets here what a `Trainer` calls.
"""

from collections.abc import Callable
from typing import Any

from_communicator: Callable[[Any], Any]
