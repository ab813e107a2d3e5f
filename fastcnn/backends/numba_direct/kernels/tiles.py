"""Choice of the register tile for a layer."""

import functools

from fastcnn.backends.numba_direct.runtime.processor import VECTORS

# (rows, columns) by the number of vectors that the registers hold: few, because each is compiled when it is first used;
# 1 x 1 fits every layer. A tile too large for the registers spills and runs at half the speed: 32 vectors hold 6x4 and
# 8x3 beside the operands, 16 hold 3x4, 8 hold 6x1. 1x9 is for the filters' gradient of a depthwise 3x3 layer: 64
# channels of 32 images of 56x56 take 1.83 ms with 1x8, 1.19 with 1x9.
_MENU = {
    32: ((4, 6), (6, 4), (8, 3), (4, 5), (3, 7), (8, 2), (4, 4), (8, 1), (4, 2), (4, 1), (2, 8), (2, 4), (2, 1),
         (1, 9), (1, 8), (1, 4), (1, 1)),
    8: ((6, 1), (5, 1), (2, 2), (4, 1), (1, 4), (3, 1), (2, 1), (1, 2), (1, 1)),
    16: ((3, 4), (2, 5), (4, 3), (4, 2), (6, 1), (4, 1), (2, 4), (2, 2), (2, 1), (1, 9), (1, 8), (1, 4), (1, 1)),
}  # fmt: skip

Tile = tuple[tuple[int, ...], tuple[int, ...]]
ORDER = 32
"""Wherever a tile decides in which order numbers are summed, it is that for 32 vectors, on every processor."""


@functools.cache
def choose(rows: int, columns: int, slack: float = 1.0, vectors: int = VECTORS) -> Tile:
    """The cheapest tile for an output of these rows (filters) and columns, as the two tuples that kernels take.

    ``vectors`` is the number of vectors that fit the registers.

    With a ``slack`` above 1, it is the first tile of the menu that costs at most that many times as much. So fewer
    tiles are in use. Each tile is another kernel to compile, which takes two seconds for the filters' gradient.
    """
    fitting = [((0,) * tile[0], (0,) * tile[1]) for tile in _MENU[vectors] if tile[0] <= rows and tile[1] <= columns]
    best = min(cycles(tile, rows, columns) for tile in fitting)
    return next(tile for tile in fitting if cycles(tile, rows, columns) <= slack * best)


@functools.cache
def choose_windows(rows: int, outputs: int, pixels: int) -> Tile | None:
    """The cheapest tile of rows (filters) by outputs of a pooling, each a window of ``pixels`` pixels.

    None if no tile of the menu holds a window.
    """
    fitting = [
        ((0,) * R, (0,) * (C // pixels))
        for R, C in _MENU[VECTORS]
        if C % pixels == 0 and rows >= R and C // pixels <= outputs
    ]
    whole = {tile: -(-rows // len(tile[0])) * -(-outputs // len(tile[1])) for tile in fitting}
    return min(fitting, key=lambda tile: whole[tile] * _tap_cycles(len(tile[0]), len(tile[1]) * pixels), default=None)


def cycles(tile: Tile, rows: int, columns: int) -> float:
    """Cycles for one tap of a whole output; the last tiles overlap their neighbours."""
    R, C = len(tile[0]), len(tile[1])
    return -(-rows // R) * -(-columns // C) * _tap_cycles(R, C)


def _tap_cycles(R: int, C: int) -> float:
    """Cycles for one tap of a tile.

    Two fused multiply-adds and two loads start in a cycle. A multiply-add takes four cycles, so eight are in flight,
    and a smaller tile waits. The loop itself takes about one cycle.
    """
    return max(R * C, R + C, 8) / 2 + 1
