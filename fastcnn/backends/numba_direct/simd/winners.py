"""Max-pooling in tiles: the greatest of several vectors, lane by lane, and which it was."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.simd.tile import Code, TileType


@intrinsic
def tile_max(typingctx, best, taps, x, offset, step, tap):
    """Let the vectors ``x[offset + c * step : + lanes]`` compete with the tile ``best`` of one row; returns both tiles.

    Where a value wins, being greater or NaN, the tile ``taps`` gets the number ``tap``.
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
def tile_max_inside(typingctx, best, taps, x, offset, step, tap, pixel, pixel_step, extent):
    """`tile_max` whose column c is at pixel + c * pixel_step: it does not compete unless that is in 0 ... extent - 1.

    The first to compete, where ``taps`` is -1, wins.
    """
    at = types.intp
    pair = types.Tuple((best, taps))
    signature = pair(best, taps, x, at, at, at, at, at, at)

    def codegen(context, builder, signature, args):
        best_in, taps_in, x, offset, step, tap, pixel, pixel_step, extent = args
        code, index = Code(context, builder, best), Code(context, builder, taps)
        base, number = code.data(signature.args[2], x), index.splat(context.cast(builder, tap, types.intp, taps.dtype))
        none = index.splat(ir.Constant(index.vector.element, -1))
        new_best, new_taps = [], []
        for c, (at, inside) in enumerate(
            zip(code.steps(offset, step, best.columns), code.inside(pixel, pixel_step, extent), strict=True)
        ):
            # Outside there may be no memory: the first vector is read instead, and not used.
            at = builder.select(inside, at, code.constant(at, 0))
            value = code.load(base, at)
            wins = code.wins(value, code.at(best_in, 0, c))
            wins = builder.or_(wins, builder.icmp_signed("==", index.at(taps_in, 0, c), none))
            wins = builder.and_(wins, code.bits(inside))
            new_best.append(builder.select(wins, value, code.at(best_in, 0, c)))
            new_taps.append(builder.select(wins, number, index.at(taps_in, 0, c)))
        return context.make_tuple(builder, signature.return_type, [code.build(new_best), index.build(new_taps)])

    return signature, codegen


@intrinsic
def tile_max_columns(typingctx, columns, tile):
    """The winners among the columns c, c + C, c + 2 * C, ... of a tile, C being the length of the tuple ``columns``.

    Returns two tiles of C columns: the winners, the first being the greatest, or a NaN, and which they are: 0, 1, ...
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
    """ReLU of the tile ``best``, and ``places`` with -1, nobody, where it is zero."""
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


def _to_winners(accumulate: bool):
    """The intrinsic that hands ``dy`` on to one tap of each window: where the tap was the winner."""

    def to_winners(typingctx, dy, places, dx, offset, step, place, place_step, pixel, pixel_step, extent):
        at = types.intp
        signature = types.void(dy, places, dx, at, at, at, at, at, at, at)

        def codegen(context, builder, signature, args):
            dy_in, places_in, dx, offset, step, place, place_step, pixel, pixel_step, extent = args
            code, index = Code(context, builder, dy), Code(context, builder, places)
            base, zero = code.data(signature.args[2], dx), ir.Constant(code.vector, None)
            for c, (at, here, inside) in enumerate(
                zip(
                    code.steps(offset, step, dy.columns),
                    code.steps(place, place_step, dy.columns),
                    code.inside(pixel, pixel_step, extent),
                    strict=True,
                )
            ):
                with builder.if_then(inside):
                    number = here if places.dtype.bitwidth == 64 else builder.trunc(here, index.vector.element)
                    won = builder.icmp_signed("==", index.at(places_in, 0, c), index.splat(number))
                    value = builder.select(won, code.at(dy_in, 0, c), zero)
                    if accumulate:
                        value = builder.fadd(value, code.load(base, at))
                    code.store(value, base, at)
            return context.get_dummy_value()

        return signature, codegen

    return to_winners


tile_put_to_winners = intrinsic(_to_winners(accumulate=False))
"""dx[offset + c * step : + lanes] = the lanes of ``dy`` whose place is place + c * place_step, else 0; in the image."""

tile_add_to_winners = intrinsic(_to_winners(accumulate=True))
"""The same, added to what is there."""
