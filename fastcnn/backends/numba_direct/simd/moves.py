"""Moving tiles between memory and registers."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.runtime.processor import VECTOR_BYTES
from fastcnn.backends.numba_direct.simd.tile import I32, Code, TileType, vector_type


@intrinsic
def lane_count(typingctx, array):
    """Number of lanes of a vector of the array's dtype, as a compile-time constant."""

    def codegen(context, builder, signature, args):
        return context.get_constant(types.intp, VECTOR_BYTES * 8 // array.dtype.bitwidth)

    return types.intp(array), codegen


@intrinsic
def tile_zeros(typingctx, rows, columns, like):
    """A tile of zeros, of the dtype of the array ``like``."""
    tile = TileType(rows.count, columns.count, like.dtype)

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.ArrayType(vector_type(tile.dtype), tile.rows * tile.columns), None)

    return tile(rows, columns, like), codegen


@intrinsic
def tile_full(typingctx, rows, columns, like, value):
    """A tile with ``value`` in every lane, in the dtype of the array ``like``."""
    tile = TileType(rows.count, columns.count, like.dtype)

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        return code.build([code.splat(context.cast(builder, args[3], value, tile.dtype))] * tile.rows * tile.columns)

    return tile(rows, columns, like, value), codegen


@intrinsic
def tile_splat(typingctx, rows, columns, values, offset, step):
    """A tile with ``values[offset + r * step]`` in every lane of every column of row r."""
    tile = TileType(rows.count, columns.count, values.dtype)

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        base = code.data(signature.args[2], args[2])
        vectors = []
        for at in code.steps(args[3], args[4], tile.rows):
            vectors += [code.splat(code.load_number(base, at))] * tile.columns
        return code.build(vectors)

    return tile(rows, columns, values, types.intp, types.intp), codegen


@intrinsic
def tile_reload(typingctx, rows, columns, array, offset):
    """Load the tile that `tile_spill` wrote."""
    tile = TileType(rows.count, columns.count, array.dtype)

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        base = code.data(signature.args[2], args[2])
        return code.build(code.load(base, at) for at in code.packed(args[3]))

    return tile(rows, columns, array, types.intp), codegen


@intrinsic
def tile_spill(typingctx, tile, array, offset):
    """Store the tile's vectors one after the other, row by row, from ``array[offset]`` on."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        base = code.data(signature.args[1], args[1])
        for i, at in enumerate(code.packed(args[2])):
            code.store(builder.extract_value(args[0], i), base, at)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp), codegen


@intrinsic
def tile_reload_lanes(typingctx, tile, lanes, array, offset):
    """The tile, with its lanes from ``lanes`` on replaced by those of the tile that `tile_spill` wrote."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        base = code.data(signature.args[2], args[2])
        kept, vectors = code.first_lanes(args[1]), []
        for i, at in enumerate(code.packed(args[3])):
            vectors.append(builder.select(kept, builder.extract_value(args[0], i), code.load(base, at)))
        return code.build(vectors)

    return tile(tile, types.intp, array, types.intp), codegen


@intrinsic
def tile_load(typingctx, rows, columns, array, offset, row_step, column_step):
    """Load the tile that `tile_store` writes with the same steps, with all of its rows and columns."""
    tile = TileType(rows.count, columns.count, array.dtype)

    def codegen(context, builder, signature, args):
        _, _, array, offset, row_step, column_step = args
        code = Code(context, builder, tile)
        base = code.data(signature.args[2], array)
        return code.build(
            code.load(base, at)
            for row in code.steps(offset, row_step, tile.rows)
            for at in code.steps(row, column_step, tile.columns)
        )

    return tile(rows, columns, array, types.intp, types.intp, types.intp), codegen


@intrinsic
def tile_load_bytes(typingctx, row, columns, like, array, offset, step):
    """Load the tile of one row that `tile_store_bytes` wrote, as integers of the size of the dtype of ``like``."""
    tile = TileType(row.count, columns.count, types.int32 if like.dtype == types.float32 else types.int64)

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        base = code.data(signature.args[3], args[3])
        return code.build(code.load_bytes(base, at) for at in code.steps(args[4], args[5], tile.columns))

    return tile(row, columns, like, array, types.intp, types.intp), codegen


def _store(narrow: bool):
    """Make the intrinsic that stores a tile, with its numbers unchanged or narrowed to bytes."""

    def store(typingctx, tile, out, offset, row_step, column_step, first_row, first_column):
        signature = types.void(tile, out, types.intp, types.intp, types.intp, types.intp, types.intp)

        def codegen(context, builder, signature, args):
            acc, out, offset, row_step, column_step, first_row, first_column = args
            code = Code(context, builder, tile)
            base = code.data(signature.args[1], out)
            put = code.store_bytes if narrow else code.store
            for r, row in enumerate(code.steps(offset, row_step, tile.rows)):
                with builder.if_then(builder.icmp_signed(">=", code.constant(first_row, r), first_row)):
                    places = code.steps(row, column_step, tile.columns)
                    whole = builder.icmp_signed("==", first_column, code.constant(first_column, 0))
                    with builder.if_else(whole) as (then, otherwise):
                        with then:
                            for c, at in enumerate(places):
                                put(code.at(acc, r, c), base, at)
                        with otherwise:
                            for c, at in enumerate(places):
                                with builder.if_then(
                                    builder.icmp_signed("<=", first_column, code.constant(first_column, c))
                                ):
                                    put(code.at(acc, r, c), base, at)
            return context.get_dummy_value()

        return signature, codegen

    return store


tile_store = intrinsic(_store(narrow=False))
"""out[offset + r * row_step + c * column_step : + lanes] = tile[r, c], for r >= first_row and c >= first_column."""

tile_store_bytes = intrinsic(_store(narrow=True))
"""The same for a tile of integers, stored in an array of int8."""


def _prefetch(write: bool):
    """Make the intrinsic that prefetches the memory of a tile, for reading or for writing."""

    def prefetch(typingctx, rows, columns, array, offset, row_step, column_step):
        tile = TileType(rows.count, columns.count, array.dtype)
        signature = types.void(rows, columns, array, types.intp, types.intp, types.intp)

        def codegen(context, builder, signature, args):
            _, _, array, offset, row_step, column_step = args
            code, kind = Code(context, builder, tile), ir.IntType(8).as_pointer()
            numbers = cgutils.create_struct_proxy(signature.args[2])(context, builder, array)
            kinds = ir.FunctionType(ir.VoidType(), [kind, I32, I32, I32])
            function = builder.module.declare_intrinsic("llvm.prefetch", (kind,), kinds)
            flags = [I32(int(write)), I32(3), I32(1)]  # into all levels of the data cache
            for row in code.steps(offset, row_step, tile.rows):
                for at in code.steps(row, column_step, tile.columns):
                    builder.call(function, [builder.bitcast(builder.gep(numbers.data, [at]), kind), *flags])
            return context.get_dummy_value()

        return signature, codegen

    return prefetch


tile_prefetch = intrinsic(_prefetch(write=False))
"""Prefetch the memory that `tile_load` will read; addresses outside the array do no harm."""

tile_prefetch_to_write = intrinsic(_prefetch(write=True))
"""Prefetch the memory that `tile_store` will write; addresses outside the array do no harm."""


@intrinsic
def tile_transpose(typingctx, tile):
    """Exchange rows and lanes of a tile of one column that has as many rows as lanes."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        return code.build(code.transposed([code.at(args[0], r, 0) for r in range(tile.rows)]))

    return tile(tile), codegen
