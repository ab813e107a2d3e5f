"""Tiles of SIMD vectors that stay in the processor's registers, for Numba kernels.

A `Tile` is R x C vectors; a vector holds one pixel of as many images as it has lanes. The size of a tile is part of its
type: kernels take two tuples of R and C zeros, ``rows`` and ``columns``, and are compiled once for each pair of
lengths. LLVM keeps the vectors of a tile in registers as long as R * C + C + 1 of them fit.

Vectors are read and written at offsets, in elements, into flat arrays. Nothing is checked: callers keep inside.
"""

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastcnn.backends.numba_direct._jit import VECTOR_BYTES, X86

_I32 = ir.IntType(32)
_NUMBER = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.int32: _I32,
    types.int64: ir.IntType(64),
}


def _vector_type(dtype) -> ir.VectorType:
    return ir.VectorType(_NUMBER[dtype], VECTOR_BYTES * 8 // dtype.bitwidth)


class TileType(types.Type):
    """R x C vectors of float32, float64, int32 or int64."""

    def __init__(self, rows: int, columns: int, dtype):
        self.rows, self.columns, self.dtype = rows, columns, dtype
        super().__init__(name=f"Tile({rows}, {columns}, {dtype}, {VECTOR_BYTES} bytes)")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(_vector_type(tile.dtype), tile.rows * tile.columns))


class _Code:
    """The few pieces of LLVM code that tiles are made of."""

    def __init__(self, context, builder, tile):
        self.context, self.builder, self.tile = context, builder, tile
        self.vector = _vector_type(tile.dtype)
        self.align = tile.dtype.bitwidth // 8

    def data(self, array_type, array):
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def constant(self, like, value: int):
        return ir.Constant(like.type, value)

    def steps(self, start, step, count: int):
        """Offsets start, start + step, ..."""
        offsets = [start]
        for _ in range(count - 1):
            offsets.append(self.builder.add(offsets[-1], step))
        return offsets

    def column_offsets(self, start, kind, step):
        """Offsets of the tile's columns: ``step`` apart, or from ``start`` as far as a tuple says."""
        if isinstance(kind, types.BaseTuple):
            return [self.builder.add(start, self.builder.extract_value(step, c)) for c in range(self.tile.columns)]
        return self.steps(start, step, self.tile.columns)

    def packed(self, start):
        """Offsets of the tile's vectors where they stand one after the other."""
        return self.steps(start, self.constant(start, self.vector.count), self.tile.rows * self.tile.columns)

    def pointer(self, base, offset):
        return self.builder.bitcast(self.builder.gep(base, [offset]), self.vector.as_pointer())

    def load(self, base, offset):
        return self.builder.load(self.pointer(base, offset), align=self.align)

    def store(self, vector, base, offset):
        self.builder.store(vector, self.pointer(base, offset), align=self.align)

    def store_bytes(self, vector, base, offset):
        """Store integers as bytes."""
        kind = ir.VectorType(ir.IntType(8), self.vector.count)
        pointer = self.builder.bitcast(self.builder.gep(base, [offset]), kind.as_pointer())
        self.builder.store(self.builder.trunc(vector, kind), pointer, align=1)

    def load_bytes(self, base, offset):
        """Load bytes as integers."""
        kind = ir.VectorType(ir.IntType(8), self.vector.count)
        pointer = self.builder.bitcast(self.builder.gep(base, [offset]), kind.as_pointer())
        return self.builder.sext(self.builder.load(pointer, align=1), self.vector)

    def splat(self, scalar):
        """The number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, a, b, c):
        """Sum ``a * b + c``: fused where the processor can, never a call of the C library as ``llvm.fma`` may be."""
        bits = "f32" if self.vector.element == ir.FloatType() else "f64"
        name = f"llvm.fmuladd.v{self.vector.count}{bits}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])

    def inside(self, pixel, pixel_step, extent):
        """For each column c, whether the pixel ``pixel + c * pixel_step`` lies in 0 ... extent - 1."""
        # A negative pixel is a huge unsigned number.
        return [self.builder.icmp_unsigned("<", at, extent) for at in self.steps(pixel, pixel_step, self.tile.columns)]

    def load_inside(self, array_type, array, offset, step, pixel, pixel_step, extent):
        """The vectors at offset + c * step, for each column c: zeros unless its pixel is inside."""
        base, zeros = self.data(array_type, array), self.zero_vector()
        vectors = []
        for at, inside in zip(
            self.steps(offset, step, self.tile.columns), self.inside(pixel, pixel_step, extent), strict=True
        ):
            pointer = self.builder.select(inside, self.pointer(base, at), zeros)
            vectors.append(self.builder.load(pointer, align=self.align))
        return vectors

    def bits(self, flag):
        """A flag in every lane."""
        lanes = ir.VectorType(ir.IntType(1), self.vector.count)
        undefined = ir.Constant(lanes, ir.Undefined)
        first = self.builder.insert_element(undefined, flag, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def zero_vector(self):
        """Address of a vector of zeros."""
        name = f"fastcnn.zeros.{self.vector.count}.{self.vector.element}"
        zeros = self.builder.module.globals.get(name)
        if zeros is None:
            zeros = cgutils.global_constant(self.builder, name, ir.Constant(self.vector, None))
        return zeros

    def table(self, array_type, array, first):
        """The integers array[first], array[first + 1], ... for the columns of the tile."""
        base = self.data(array_type, array)
        return [
            self.builder.load(self.builder.gep(base, [self.builder.add(first, self.constant(first, c))]))
            for c in range(self.tile.columns)
        ]

    def wins(self, value, best):
        """Where ``value`` wins over ``best``, being greater or NaN."""
        greater, nan = self.builder.fcmp_ordered(">", value, best), self.builder.fcmp_unordered("uno", value, value)
        return self.builder.or_(greater, nan)

    def relu(self, vector):
        """ReLU of a vector, and where that is zero."""
        zero = ir.Constant(self.vector, None)
        negative = self.builder.fcmp_ordered("<=", vector, zero)  # so compared, NaN stays NaN
        return self.builder.select(negative, zero, vector), negative

    def transposed(self, rows):
        """The lanes i of all rows as row i: in step ``s``, rows r and r ^ s exchange the lanes whose bit s differs."""
        count, step = self.vector.count, 1
        mask = ir.VectorType(_I32, count)
        while step < count:
            for r in (r for r in range(count) if not r & step):
                upper = [(i ^ step) + count if i & step else i for i in range(count)]
                lower = [i + count if i & step else i ^ step for i in range(count)]
                a, b = rows[r], rows[r + step]
                rows[r] = self.builder.shuffle_vector(a, b, ir.Constant(mask, upper))
                rows[r + step] = self.builder.shuffle_vector(a, b, ir.Constant(mask, lower))
            step *= 2
        return rows

    def lane_sums(self, tile):
        """For each row of the tile a short vector: the sums of the lanes of its vectors.

        As many vectors as there are lanes are added up together: in step ``s`` two become one, which holds sums of
        lanes i and i ^ s, of the first where the bit s of the lane's number is 0, of the second where it is 1. In the
        end lane i is the sum of vector i. That is 3 instructions a vector instead of 8 for one after the other.
        """
        count, size = self.vector.count, self.tile.rows * self.tile.columns
        zero = ir.Constant(self.vector, None)
        sums = []
        for start in range(0, size, count):
            level = [self.builder.extract_value(tile, i) if i < size else zero for i in range(start, start + count)]
            step = 1
            while len(level) > 1:
                level = [self._merge(a, b, step) for a, b in zip(level[::2], level[1::2], strict=True)]
                step *= 2
            sums.append(level[0])
        sums.append(zero)  # so that there is a next one
        return [self._cut(sums, first) for first in range(0, size, self.tile.columns)]

    def _cut(self, vectors, first: int):
        """A row of the tile's columns, from the lane ``first`` of all lanes of the vectors."""
        count, columns = self.vector.count, self.tile.columns
        at, lane = divmod(first, count)
        if lane + columns <= 2 * count:
            mask = ir.VectorType(_I32, columns)
            lanes = ir.Constant(mask, [lane + c for c in range(columns)])
            return self.builder.shuffle_vector(vectors[at], vectors[at + 1], lanes)
        row = ir.Constant(ir.VectorType(self.vector.element, columns), ir.Undefined)
        for c in range(columns):  # one by one: 128-bit vectors may be shorter than half a row
            at, lane = divmod(first + c, count)
            number = self.builder.extract_element(vectors[at], ir.Constant(_I32, lane))
            row = self.builder.insert_element(row, number, ir.Constant(_I32, c))
        return row

    def _merge(self, a, b, step: int):
        count = self.vector.count
        mask = ir.VectorType(_I32, count)
        kept = self.builder.shuffle_vector(a, b, ir.Constant(mask, [i + count * bool(i & step) for i in range(count)]))
        other = [(i ^ step) + count * bool(i & step) for i in range(count)]
        return self.builder.fadd(kept, self.builder.shuffle_vector(a, b, ir.Constant(mask, other)))

    def at(self, tile, row: int, column: int):
        return self.builder.extract_value(tile, row * self.tile.columns + column)

    def build(self, vectors):
        """A tile from its vectors, row by row."""
        out = ir.Constant(ir.ArrayType(self.vector, self.tile.rows * self.tile.columns), ir.Undefined)
        for i, vector in enumerate(vectors):
            out = self.builder.insert_value(out, vector, i)
        return out

    def outer_product(self, tile, rows, columns):
        """tile[r, c] += rows[r] * columns[c]."""
        return self.build(
            self.multiply_add(row, column, self.at(tile, r, c))
            for r, row in enumerate(rows)
            for c, column in enumerate(columns)
        )

    def products(self, tile, array_type, array, offset, step, tap, columns):
        """tile[r, c] += array[offset + r * step + tap] * columns[c], row after row."""
        base, vectors = self.data(array_type, array), []
        for r, place in enumerate(self.steps(offset, step, self.tile.rows)):
            if r:
                tap = self.after(vectors[-self.tile.columns :], tap)
            row = self.splat(self.builder.load(self.builder.gep(self.builder.gep(base, [place]), [tap])))
            vectors += [self.multiply_add(row, column, self.at(tile, r, c)) for c, column in enumerate(columns)]
        return self.build(vectors)

    def after(self, vectors, number):
        """The number, to be had only after the vectors: an empty piece of assembly takes them and hands it on.

        LLVM would load the numbers of all rows first, and then has too few registers for the tile: with 6 x 4 vectors
        a convolution ran at a third of the speed.
        """
        if not X86:
            return number
        kinds = [vector.type for vector in vectors]
        function = ir.FunctionType(number.type, [number.type, *kinds])
        taken = ",".join(["=r", "0", *["v"] * len(kinds)])
        return self.builder.asm(function, "", taken, [number, *vectors], False)


@intrinsic
def lane_count(typingctx, array):
    """Lanes of a vector of the array's numbers, a constant for the compiler."""

    def codegen(context, builder, signature, args):
        return context.get_constant(types.intp, VECTOR_BYTES * 8 // array.dtype.bitwidth)

    return types.intp(array), codegen


@intrinsic
def numbers_at(typingctx, address, like):
    """The numbers at an address, of the dtype of the array ``like``, to be indexed as an array."""
    pointer = types.CPointer(like.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(address, like), codegen


@intrinsic
def tile_zeros(typingctx, rows, columns, like):
    """A tile of zeros, of the dtype of the array ``like``."""
    tile = TileType(rows.count, columns.count, like.dtype)

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.ArrayType(_vector_type(tile.dtype), tile.rows * tile.columns), None)

    return tile(rows, columns, like), codegen


@intrinsic
def tile_load(typingctx, rows, columns, array, offset):
    """The tile that `tile_save` wrote: its vectors one after the other, row by row."""
    tile = TileType(rows.count, columns.count, array.dtype)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        base = code.data(signature.args[2], args[2])
        return code.build(code.load(base, at) for at in code.packed(args[3]))

    return tile(rows, columns, array, types.intp), codegen


@intrinsic
def tile_save(typingctx, tile, array, offset):
    """Write the tile's vectors one after the other, row by row, from ``array[offset]``."""

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        base = code.data(signature.args[1], args[1])
        for i, at in enumerate(code.packed(args[2])):
            code.store(builder.extract_value(args[0], i), base, at)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp), codegen


@intrinsic
def tile_splat(typingctx, rows, columns, values, offset, step):
    """A tile whose row r is ``values[offset + r * step]`` in every lane of every column."""
    tile = TileType(rows.count, columns.count, values.dtype)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        base = code.data(signature.args[2], args[2])
        vectors = []
        for at in code.steps(args[3], args[4], tile.rows):
            vectors += [code.splat(builder.load(builder.gep(base, [at])))] * tile.columns
        return code.build(vectors)

    return tile(rows, columns, values, types.intp, types.intp), codegen


@intrinsic
def entry(typingctx, table, i):
    """``table[i]``, without Python's rule for a negative ``i``, which takes two instructions in a loop."""

    def codegen(context, builder, signature, args):
        base = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(base, [args[1]]))

    return table.dtype(table, types.intp), codegen


@intrinsic
def tile_fma(
    typingctx, tile, scalars, scalar_offset, scalar_step, scalar_tap, vectors, vector_offset, vector_step, vector_tap
):
    """tile[r, c] += scalars[scalar_offset + r * scalar_step + scalar_tap] * vectors[vector_offset + ... : + lanes].

    What changes from tap to tap stands by itself, so that a loop finds all else worked out before it. The step of the
    vectors is that from column to column, or a tuple that says for each column how far it is from the first.
    """
    at = types.intp
    signature = tile(tile, scalars, at, at, at, vectors, at, vector_step, at)

    def codegen(context, builder, signature, args):
        acc, scalars, scalar_offset, scalar_step, scalar_tap, vectors, vector_offset, step, vector_tap = args
        code = _Code(context, builder, tile)
        base = code.data(signature.args[5], vectors)
        places = code.column_offsets(vector_offset, vector_step, step)
        columns = [code.load(builder.gep(base, [place]), vector_tap) for place in places]
        return code.products(acc, signature.args[1], scalars, scalar_offset, scalar_step, scalar_tap, columns)

    return signature, codegen


@intrinsic
def tile_fma_inside(
    typingctx, tile, scalars, scalar_offset, scalar_step, scalar_tap, vectors, vector_offset, vector_step, vector_tap,
    pixel, pixel_step, extent,
):  # fmt: skip
    """`tile_fma` whose column c is at pixel + c * pixel_step: a vector of zeros unless that is in 0 ... extent - 1."""
    at = types.intp
    signature = tile(tile, scalars, at, at, at, vectors, at, at, at, at, at, at)

    def codegen(context, builder, signature, args):
        acc, scalars, scalar_offset, scalar_step, scalar_tap, vectors, offset, step, tap, pixel, pixel_step, extent = (
            args
        )
        code = _Code(context, builder, tile)
        columns = code.load_inside(
            signature.args[5], vectors, builder.add(offset, tap), step, pixel, pixel_step, extent
        )  # fmt: skip
        return code.products(acc, signature.args[1], scalars, scalar_offset, scalar_step, scalar_tap, columns)

    return signature, codegen


@intrinsic
def tile_outer(typingctx, tile, a, a_offset, a_step, b, b_offset, steps, first):
    """tile[r, c] += a[a_offset + r * a_step : + lanes] * b[b_offset + steps[first + c] : + lanes], lane by lane."""
    signature = tile(tile, a, types.intp, types.intp, b, types.intp, steps, types.intp)

    def codegen(context, builder, signature, args):
        acc, a, a_offset, a_step, b, b_offset, steps, first = args
        code = _Code(context, builder, tile)
        base = code.data(signature.args[4], b)
        columns = [code.load(base, builder.add(b_offset, step)) for step in code.table(signature.args[6], steps, first)]
        base = code.data(signature.args[1], a)
        rows = (code.load(base, at) for at in code.steps(a_offset, a_step, tile.rows))
        return code.outer_product(acc, rows, columns)

    return signature, codegen


@intrinsic
def tile_outer_inside(
    typingctx, tile, a, a_offset, a_step, b, b_offset, steps, first, row, rows, height, column, columns, width
):
    """`tile_outer` whose column c reads the pixel (row + rows[first + c], column + columns[first + c]) of ``b``.

    It is a vector of zeros unless that lies in an image of (height, width) pixels.
    """
    at = types.intp
    signature = tile(tile, a, at, at, b, at, steps, at, at, rows, at, at, columns, at)

    def codegen(context, builder, signature, args):
        acc, a, a_offset, a_step, b, b_offset, steps, first, row, rows, height, column, columns, width = args
        code = _Code(context, builder, tile)
        base, zeros = code.data(signature.args[4], b), code.zero_vector()
        vectors = []
        for step, down, right in zip(
            code.table(signature.args[6], steps, first),
            code.table(signature.args[9], rows, first),
            code.table(signature.args[12], columns, first),
            strict=True,
        ):
            inside = builder.and_(
                builder.icmp_unsigned("<", builder.add(row, down), height),
                builder.icmp_unsigned("<", builder.add(column, right), width),
            )
            pointer = builder.select(inside, code.pointer(base, builder.add(b_offset, step)), zeros)
            vectors.append(builder.load(pointer, align=code.align))
        base = code.data(signature.args[1], a)
        return code.outer_product(acc, (code.load(base, o) for o in code.steps(a_offset, a_step, tile.rows)), vectors)

    return signature, codegen


@intrinsic
def tile_sums(typingctx, tile, out, offset, row_step, first_row, first_column):
    """out[offset + r * row_step + c] = sum of the lanes of tile[r, c], for r >= first_row and c >= first_column."""
    signature = types.void(tile, out, types.intp, types.intp, types.intp, types.intp)

    def codegen(context, builder, signature, args):
        acc, out, offset, row_step, first_row, first_column = args
        code = _Code(context, builder, tile)
        base = code.data(signature.args[1], out)
        rows = code.lane_sums(acc)
        for r, (at, row) in enumerate(zip(code.steps(offset, row_step, tile.rows), rows, strict=True)):
            with builder.if_then(builder.icmp_signed(">=", code.constant(first_row, r), first_row)):
                whole = builder.icmp_signed("==", first_column, code.constant(first_column, 0))
                with builder.if_else(whole) as (then, otherwise):
                    with then:
                        pointer = builder.bitcast(builder.gep(base, [at]), row.type.as_pointer())
                        builder.store(row, pointer, align=code.align)
                    with otherwise:
                        for c in range(tile.columns):
                            stored = builder.icmp_signed("<=", first_column, code.constant(first_column, c))
                            with builder.if_then(stored):
                                number = builder.extract_element(row, ir.Constant(_I32, c))
                                builder.store(number, builder.gep(base, [builder.add(at, code.constant(at, c))]))
        return context.get_dummy_value()

    return signature, codegen


def _store(narrow: bool):
    """The intrinsic that stores a tile, with the numbers as they are or as bytes."""

    def store(typingctx, tile, out, offset, row_step, column_step, first_row, first_column):
        signature = types.void(tile, out, types.intp, types.intp, types.intp, types.intp, types.intp)

        def codegen(context, builder, signature, args):
            acc, out, offset, row_step, column_step, first_row, first_column = args
            code = _Code(context, builder, tile)
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
"""The same of a tile of integers, into an array of int8."""


@intrinsic
def tile_read_bytes(typingctx, row, columns, like, array, offset, step):
    """The tile of one row that `tile_store_bytes` wrote, of integers as large as the numbers of the array ``like``."""
    tile = TileType(row.count, columns.count, types.int32 if like.dtype == types.float32 else types.int64)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        base = code.data(signature.args[3], args[3])
        return code.build(code.load_bytes(base, at) for at in code.steps(args[4], args[5], tile.columns))

    return tile(row, columns, like, array, types.intp, types.intp), codegen


@intrinsic
def tile_full(typingctx, rows, columns, like, value):
    """A tile whose every lane is ``value``, as a number of the type of the array ``like``."""
    tile = TileType(rows.count, columns.count, like.dtype)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        return code.build([code.splat(context.cast(builder, args[3], value, tile.dtype))] * tile.rows * tile.columns)

    return tile(rows, columns, like, value), codegen


@intrinsic
def tile_read(typingctx, rows, columns, array, offset, row_step, column_step):
    """The tile that `tile_store` writes, all of its rows."""
    tile = TileType(rows.count, columns.count, array.dtype)

    def codegen(context, builder, signature, args):
        _, _, array, offset, row_step, column_step = args
        code = _Code(context, builder, tile)
        base = code.data(signature.args[2], array)
        return code.build(
            code.load(base, at)
            for row in code.steps(offset, row_step, tile.rows)
            for at in code.steps(row, column_step, tile.columns)
        )

    return tile(rows, columns, array, types.intp, types.intp, types.intp), codegen


@intrinsic
def tile_read_inside(typingctx, row, columns, array, offset, step, pixel, pixel_step, extent):
    """`tile_read` of one row, whose column c is at pixel + c * pixel_step: zeros unless that is in 0 ... extent - 1."""
    tile = TileType(row.count, columns.count, array.dtype)

    def codegen(context, builder, signature, args):
        _, _, array, offset, step, pixel, pixel_step, extent = args
        code = _Code(context, builder, tile)
        return code.build(code.load_inside(signature.args[2], array, offset, step, pixel, pixel_step, extent))

    at = types.intp
    return tile(row, columns, array, at, at, at, at, at), codegen


@intrinsic
def tile_add_inside(typingctx, tile, array, offset, step, pixel, pixel_step, extent):
    """array[offset + c * step : + lanes] += tile[0, c] where pixel + c * pixel_step lies in 0 ... extent - 1."""
    at = types.intp

    def codegen(context, builder, signature, args):
        tile_in, array, offset, step, pixel, pixel_step, extent = args
        code = _Code(context, builder, tile)
        base = code.data(signature.args[1], array)
        for c, (at, inside) in enumerate(
            zip(code.steps(offset, step, tile.columns), code.inside(pixel, pixel_step, extent), strict=True)
        ):
            with builder.if_then(inside):
                code.store(builder.fadd(code.load(base, at), code.at(tile_in, 0, c)), base, at)
        return context.get_dummy_value()

    return types.void(tile, array, at, at, at, at, at), codegen


@intrinsic
def tile_max(typingctx, best, taps, x, offset, step, tap):
    """Let the vectors ``x[offset + c * step : + lanes]`` compete with the tile ``best`` of one row; returns both tiles.

    Where a value wins, being greater or NaN, the tile ``taps`` gets the number ``tap``.
    """
    pair = types.Tuple((best, taps))
    signature = pair(best, taps, x, types.intp, types.intp, types.intp)

    def codegen(context, builder, signature, args):
        best_in, taps_in, x, offset, step, tap = args
        code, index = _Code(context, builder, best), _Code(context, builder, taps)
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
        code, index = _Code(context, builder, best), _Code(context, builder, taps)
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
        code, index = _Code(context, builder, tile), _Code(context, builder, which)
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
        tiles = _Code(context, builder, best).build(new_best), index.build(new_which)
        return context.make_tuple(builder, signature.return_type, tiles)

    return pair(columns, tile), codegen


@intrinsic
def tile_add_steps(typingctx, tile, start, step):
    """Add ``start + c * step`` to every lane of column c of a tile of integers of one row."""
    signature = tile(tile, types.intp, types.intp)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        numbers = (context.cast(builder, n, types.intp, tile.dtype) for n in code.steps(args[1], args[2], tile.columns))
        return code.build(builder.add(code.at(args[0], 0, c), code.splat(n)) for c, n in enumerate(numbers))

    return signature, codegen


@intrinsic
def tile_relu(typingctx, tile):
    """ReLU of a tile of floats."""

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        return code.build(code.relu(builder.extract_value(args[0], i))[0] for i in range(tile.rows * tile.columns))

    return tile(tile), codegen


@intrinsic
def tile_relu_winners(typingctx, best, places):
    """ReLU of the tile ``best``, and ``places`` with -1, nobody, where it is zero."""
    pair = types.Tuple((best, places))

    def codegen(context, builder, signature, args):
        code, index = _Code(context, builder, best), _Code(context, builder, places)
        nobody = index.splat(ir.Constant(index.vector.element, -1))
        new_best, new_places = [], []
        for i in range(best.rows * best.columns):
            value, negative = code.relu(builder.extract_value(args[0], i))
            new_best.append(value)
            new_places.append(builder.select(negative, nobody, builder.extract_value(args[1], i)))
        return context.make_tuple(builder, signature.return_type, [code.build(new_best), index.build(new_places)])

    return pair(best, places), codegen


@intrinsic
def tile_transpose(typingctx, tile):
    """Exchange rows and lanes of a tile of one column that has as many rows as lanes."""

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        return code.build(code.transposed([code.at(args[0], r, 0) for r in range(tile.rows)]))

    return tile(tile), codegen


def _elementwise(operation: str):
    """The intrinsic that does one operation of two numbers to all lanes of two tiles."""

    def of_two(typingctx, a, b):
        def codegen(context, builder, signature, args):
            pairs = ([builder.extract_value(tile, i) for tile in args] for i in range(a.rows * a.columns))
            return _Code(context, builder, a).build(getattr(builder, operation)(*pair) for pair in pairs)

        return a(a, b), codegen

    return of_two


tile_add = intrinsic(_elementwise("fadd"))
"""a + b, lane by lane, of tiles of one size and of floats."""

tile_subtract = intrinsic(_elementwise("fsub"))
"""a - b, lane by lane, of tiles of one size and of floats."""


@intrinsic
def tile_add_columns(typingctx, tile):
    """The sum of the columns of a tile of floats, as a tile of one column."""
    one = TileType(tile.rows, 1, tile.dtype)

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        rows = ([code.at(args[0], r, c) for c in range(tile.columns)] for r in range(tile.rows))
        return _Code(context, builder, one).build(functools.reduce(builder.fadd, row) for row in rows)

    return one(tile), codegen


@intrinsic
def tile_divide_columns(typingctx, tile, numbers, offset):
    """Column c of a tile of floats divided by ``numbers[offset + c]``."""

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, tile)
        divisors = [code.splat(number) for number in code.table(signature.args[1], args[1], args[2])] * tile.rows
        return code.build(builder.fdiv(builder.extract_value(args[0], i), by) for i, by in enumerate(divisors))

    return tile(tile, numbers, types.intp), codegen


@intrinsic
def tile_multiply_add(typingctx, a, b, c):
    """``a * b + c``, lane by lane, of tiles of one size and of floats."""

    def codegen(context, builder, signature, args):
        code = _Code(context, builder, a)
        triples = ([builder.extract_value(tile, i) for tile in args] for i in range(a.rows * a.columns))
        return code.build(code.multiply_add(*triple) for triple in triples)

    return a(a, b, c), codegen


def _to_winners(accumulate: bool):
    """The intrinsic that hands ``dy`` on to one tap of each window: where the tap was the winner."""

    def to_winners(typingctx, dy, places, dx, offset, step, place, place_step, pixel, pixel_step, extent):
        at = types.intp
        signature = types.void(dy, places, dx, at, at, at, at, at, at, at)

        def codegen(context, builder, signature, args):
            dy_in, places_in, dx, offset, step, place, place_step, pixel, pixel_step, extent = args
            code, index = _Code(context, builder, dy), _Code(context, builder, places)
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
