"""Max-pooling in tiles: the maximum of several vectors, lane by lane, and its index."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.simd.tile import Code, TileType


@intrinsic
def tile_max(typingctx, best, taps, x, offset, step, tap):
    """Update the maxima in ``best``, a tile of one row, with the vectors ``x[offset + c * step : + lanes]``.

    A value wins if it is greater or NaN. Then it replaces the maximum, and ``tap`` replaces the number in the tile
    ``taps``. Returns both tiles.
    """
    pair = types.Tuple((best, taps))
    signature = pair(best, taps, x, types.intp, types.intp, types.intp)

    def codegen(context, builder, signature, args):
        best_in, taps_in, x, offset, step, tap = args
        code, index = Code(context, builder, best), Code(context, builder, taps)
        base, number = code.data(signature.args[2], x), index.splat(context.cast(builder, tap, types.intp, taps.dtype))
        new_best, new_taps = [], []
        for c, at in enumerate(code.steps(offset, step, best.columns)):
            value = code.load(base, at)
            wins = code.wins(value, code.at(best_in, 0, c))
            new_best.append(builder.select(wins, value, code.at(best_in, 0, c)))
            new_taps.append(builder.select(wins, number, index.at(taps_in, 0, c)))
        return context.make_tuple(builder, signature.return_type, [code.build(new_best), index.build(new_taps)])

    return signature, codegen


@intrinsic
def tile_max_columns(typingctx, columns, tile):
    """The maxima of the columns c, c + C, c + 2 * C, ... of a tile, where C is the length of the tuple ``columns``.

    Returns two tiles of C columns: the maxima, and their indices 0, 1, ... The first of equal values wins, and the last
    NaN.
    """
    integer = types.int32 if tile.dtype == types.float32 else types.int64
    best, which = TileType(tile.rows, columns.count, tile.dtype), TileType(tile.rows, columns.count, integer)
    pair = types.Tuple((best, which))

    def codegen(context, builder, signature, args):
        code, index = Code(context, builder, tile), Code(context, builder, which)
        names = [index.splat(ir.Constant(index.vector.element, i)) for i in range(tile.columns // best.columns)]
        new_best, new_which = [], []
        for r in range(tile.rows):
            for c in range(best.columns):
                winner, name = code.at(args[1], r, c), names[0]
                for i in range(1, len(names)):
                    value = code.at(args[1], r, c + i * best.columns)
                    wins = code.wins(value, winner)
                    winner, name = builder.select(wins, value, winner), builder.select(wins, names[i], name)
                new_best.append(winner)
                new_which.append(name)
        tiles = Code(context, builder, best).build(new_best), index.build(new_which)
        return context.make_tuple(builder, signature.return_type, tiles)

    return pair(columns, tile), codegen


@intrinsic
def tile_relu_winners(typingctx, best, places):
    """ReLU of the tile ``best``, and the tile ``places`` with -1 (no winner) where ReLU is zero."""
    pair = types.Tuple((best, places))

    def codegen(context, builder, signature, args):
        code, index = Code(context, builder, best), Code(context, builder, places)
        nobody = index.splat(ir.Constant(index.vector.element, -1))
        new_best, new_places = [], []
        for i in range(best.rows * best.columns):
            value, negative = code.relu(builder.extract_value(args[0], i))
            new_best.append(value)
            new_places.append(builder.select(negative, nobody, builder.extract_value(args[1], i)))
        return context.make_tuple(builder, signature.return_type, [code.build(new_best), index.build(new_places)])

    return pair(best, places), codegen


@intrinsic
def tile_won(typingctx, tile, winners, number):
    """The tile, with zeros in the lanes where the tile of integers ``winners`` is not ``number``."""

    def codegen(context, builder, signature, args):
        code, index = Code(context, builder, tile), Code(context, builder, winners)
        number, zero = (
            index.splat(context.cast(builder, args[2], types.intp, winners.dtype)),
            ir.Constant(code.vector, None),
        )
        vectors = []
        for i in range(tile.rows * tile.columns):
            won = builder.icmp_signed("==", builder.extract_value(args[1], i), number)
            vectors.append(builder.select(won, builder.extract_value(args[0], i), zero))
        return code.build(vectors)

    return tile(tile, winners, types.intp), codegen
