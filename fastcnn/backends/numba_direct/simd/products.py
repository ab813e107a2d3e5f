"""Sums of products in tiles, for convolutions and matrix products."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.simd.tile import I32, Code


@intrinsic
def tile_fma(
    typingctx, tile, scalars, scalar_offset, scalar_step, scalar_tap, vectors, vector_offset, vector_step, vector_tap
):
    """tile[r, c] += scalars[scalar_offset + r * scalar_step + scalar_tap] * vectors[vector_offset + ... : + lanes].

    The offsets of a tap are separate arguments, so that all else is computed before a loop over taps. ``vector_step``
    is the step from column to column, or a table with the offset of each column.
    """
    at = types.intp
    signature = tile(tile, scalars, at, at, at, vectors, at, vector_step, at)

    def codegen(context, builder, signature, args):
        acc, scalars, scalar_offset, scalar_step, scalar_tap, vectors, vector_offset, step, vector_tap = args
        code = Code(context, builder, tile)
        base = code.data(signature.args[5], vectors)
        places = code.column_offsets(vector_offset, vector_step, step)
        columns = [code.load(base.after(place), vector_tap) for place in places]
        return code.products(acc, signature.args[1], scalars, scalar_offset, scalar_step, scalar_tap, columns)

    return signature, codegen


@intrinsic
def tile_outer(typingctx, tile, a, a_offset, a_step, b, b_offset, steps, first):
    """tile[r, c] += a[a_offset + r * a_step : + lanes] * b[b_offset + steps[first + c] : + lanes], lane by lane."""
    signature = tile(tile, a, types.intp, types.intp, b, types.intp, steps, types.intp)

    def codegen(context, builder, signature, args):
        acc, a, a_offset, a_step, b, b_offset, steps, first = args
        code = Code(context, builder, tile)
        base = code.data(signature.args[4], b)
        columns = [code.load(base, builder.add(b_offset, step)) for step in code.table(signature.args[6], steps, first)]
        base = code.data(signature.args[1], a)
        rows = (code.load(base, at) for at in code.steps(a_offset, a_step, tile.rows))
        return code.outer_product(acc, rows, columns)

    return signature, codegen


@intrinsic
def tile_sums(typingctx, tile, out, offset, row_step, first_row, first_column):
    """out[offset + r * row_step + c] = sum of the lanes of tile[r, c], for r >= first_row and c >= first_column."""
    signature = types.void(tile, out, types.intp, types.intp, types.intp, types.intp)

    def codegen(context, builder, signature, args):
        acc, out, offset, row_step, first_row, first_column = args
        code = Code(context, builder, tile)
        base = code.data(signature.args[1], out)
        rows = code.lane_sums(acc)
        for r, (at, row) in enumerate(zip(code.steps(offset, row_step, tile.rows), rows, strict=True)):
            with builder.if_then(builder.icmp_signed(">=", code.constant(first_row, r), first_row)):
                if tile.columns == 1:
                    builder.store(row, base.at(at))
                    continue
                whole = builder.icmp_signed("==", first_column, code.constant(first_column, 0))
                with builder.if_else(whole) as (then, otherwise):
                    with then:
                        builder.store(row, code.pointer(base, at, row.type), align=code.align)
                    with otherwise:
                        for c in range(tile.columns):
                            stored = builder.icmp_signed("<=", first_column, code.constant(first_column, c))
                            with builder.if_then(stored):
                                number = builder.extract_element(row, ir.Constant(I32, c))
                                builder.store(number, base.at(builder.add(at, code.constant(at, c))))
        return context.get_dummy_value()

    return signature, codegen
