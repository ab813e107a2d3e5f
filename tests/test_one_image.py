"""Operations on one image with channels as vector lanes equal those on a batch of one, bit for bit."""

from types import SimpleNamespace

import numpy as np
import pytest

from fastcnn import use_convolution
from fastcnn.backends import numba_direct
from tests import one_image
from tests.guards import Band, guarded, placed

CALLS = {}
for call in one_image.calls():
    CALLS.setdefault(call.operation, []).append(call)
BATCH_OF_ONE = SimpleNamespace(pack=lambda x: numba_direct.pack(x[:1]))


def result(call, backend, of, place=None) -> bytes:
    """Call an operation of ``of`` with arguments in the layout of ``backend``; of a max-pooling return the maxima."""
    given, copies = call.arguments(backend, np.random.default_rng(0), np.float32), []
    found = getattr(of, call.operation)(*placed(given, copies, place) if place else given)
    for copy in copies:
        copy.check(call.operation)
    return of.unpack(found[0] if isinstance(found, tuple) else found).tobytes()


@pytest.mark.parametrize("operation", one_image.OPERATIONS)
@pytest.mark.parametrize("kind", [one_image.FirstAsNumbers, one_image.FirstAsChannels])
def test_as_a_batch_of_one_bit_for_bit(operation, kind):
    """This also holds between guards and in memory full of NaN. Convolutions of one image are direct."""
    for call in CALLS[operation]:
        with use_convolution("direct"):
            expected, backend = result(call, BATCH_OF_ONE, numba_direct), kind()
        assert result(call, backend, backend) == expected, str(call)
        with guarded():
            assert result(call, backend, backend, Band) == expected, f"{call}, with guards"
