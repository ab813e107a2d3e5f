"""Windows of a max-pooling that cover every pixel exactly once."""

from fastcnn.backends.numba_direct.runtime.compile import inlined
from fastcnn.backends.numba_direct.simd import tile_store, tile_won


def pool_columns(outputs: int) -> tuple[int, ...]:
    """The longest row of at most 8 vectors into which the outputs can be divided."""
    return (0,) * next(columns for columns in range(8, 0, -1) if outputs % columns == 0)


@inlined
def put_windows(dy, pixels, dx, to, PH, PW, W, L):
    """Store a tile of one row to windows of (PH, PW) pixels from ``dx[to]`` on: to the winners, and 0 elsewhere."""
    for ky in range(PH):
        for kx in range(PW):
            tile_store(tile_won(dy, pixels, ky * PW + kx), dx, to + (ky * W + kx) * L, 0, PW * L, 0, 0)
