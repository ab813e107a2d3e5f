"""The Numba type of tiles, and the LLVM code that operations on tiles are made of."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from fastcnn.backends.numba_direct.runtime.arguments import Numbers, check
from fastcnn.backends.numba_direct.runtime.processor import ARM, REGISTER_BYTES, VECTOR_BYTES, X86

I32 = ir.IntType(32)
_NUMBER = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.int32: I32,
    types.int64: ir.IntType(64),
}


def vector_type(dtype) -> ir.VectorType:
    """LLVM type of a vector of numbers of a Numba type."""
    return ir.VectorType(_NUMBER[dtype], VECTOR_BYTES * 8 // dtype.bitwidth)


class TileType(types.Type):
    """R x C vectors of float32, float64, int32 or int64."""

    def __init__(self, rows: int, columns: int, dtype):
        self.rows, self.columns, self.dtype = rows, columns, dtype
        super().__init__(name=f"Tile({rows}, {columns}, {dtype}, {VECTOR_BYTES} bytes)")


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(vector_type(tile.dtype), tile.rows * tile.columns))


class Data:
    """The elements of an array, and the element that offsets are relative to."""

    def __init__(self, code: "Code", address, size, start=None):
        self._code, self._address, self._size, self._start = code, address, size, start

    def after(self, start) -> "Data":
        """The same array, with offsets relative to the element at ``start``."""
        return Data(self._code, self._code.builder.gep(self._address, [start]), self._size, start)

    def at(self, offset, count: int = 1):
        """Address of the element at an offset; checks that ``count`` elements from it on exist (see `check`)."""
        context, builder = self._code.context, self._code.builder
        index = offset if self._start is None else builder.add(self._start, offset)
        check(context, builder, self._size, index, count)
        return builder.gep(self._address, [offset])


class Code:
    """Builds the LLVM code of operations on tiles."""

    def __init__(self, context, builder, tile):
        self.context, self.builder, self.tile = context, builder, tile
        self.vector = vector_type(tile.dtype)
        self.align = tile.dtype.bitwidth // 8

    def data(self, array_type, array) -> Data:
        """The elements of an array."""
        numbers = cgutils.create_struct_proxy(array_type)(self.context, self.builder, array)
        return Data(self, numbers.data, numbers.size)

    def constant(self, like, value: int):
        """A constant of the same type as ``like``."""
        return ir.Constant(like.type, value)

    def steps(self, start, step, count: int):
        """Offsets start, start + step, ..."""
        offsets = [start]
        for _ in range(count - 1):
            offsets.append(self.builder.add(offsets[-1], step))
        return offsets[:count]

    def column_offsets(self, start, kind, step):
        """Offsets of the tile's columns: ``step`` apart, or ``start`` plus the entries of a table."""
        if isinstance(kind, Numbers):
            return [self.builder.add(start, at) for at in self.table(kind, step, self.constant(start, 0))]
        return self.steps(start, step, self.tile.columns)

    def packed(self, start):
        """Offsets of the tile's vectors if they are stored one after the other."""
        return self.steps(start, self.constant(start, self.vector.count), self.tile.rows * self.tile.columns)

    def pointer(self, data: Data, offset, kind=None):
        """Address of the vector at an offset."""
        kind = kind or self.vector
        return self.builder.bitcast(data.at(offset, kind.count), kind.as_pointer())

    def load(self, data: Data, offset):
        """Load the vector at an offset."""
        return self.builder.load(self.pointer(data, offset), align=self.align)

    def load_number(self, data: Data, offset):
        """Load the number at an offset."""
        return self.builder.load(data.at(offset))

    def store(self, vector, data: Data, offset):
        """Store a vector at an offset."""
        self.builder.store(vector, self.pointer(data, offset), align=self.align)

    def store_bytes(self, vector, data: Data, offset):
        """Store integers as bytes."""
        kind = ir.VectorType(ir.IntType(8), self.vector.count)
        self.builder.store(self.builder.trunc(vector, kind), self.pointer(data, offset, kind), align=1)

    def load_bytes(self, data: Data, offset):
        """Load bytes as integers."""
        kind = ir.VectorType(ir.IntType(8), self.vector.count)
        return self.builder.sext(self.builder.load(self.pointer(data, offset, kind), align=1), self.vector)

    def splat(self, scalar):
        """A vector with the number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def multiply_add(self, a, b, c):
        """``a * b + c``, fused if the processor can; unlike ``llvm.fma``, it never calls the C library."""
        bits = "f32" if self.vector.element == ir.FloatType() else "f64"
        name = f"llvm.fmuladd.v{self.vector.count}{bits}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name
        )
        return self.builder.call(function, [a, b, c])

    def first_lanes(self, lanes):
        """For each lane, whether it is one of the first ``lanes``."""
        kind = ir.VectorType(lanes.type, self.vector.count)
        numbers, limit = ir.Constant(kind, list(range(self.vector.count))), ir.Constant(kind, ir.Undefined)
        for lane in range(self.vector.count):
            limit = self.builder.insert_element(limit, lanes, ir.Constant(I32, lane))
        return self.builder.icmp_signed("<", numbers, limit)

    def table(self, array_type, array, first):
        """The integers array[first], array[first + 1], ... for the columns of the tile."""
        data = self.data(array_type, array)
        places = (self.builder.add(first, self.constant(first, c)) for c in range(self.tile.columns))
        return [self.load_number(data, at) for at in places]

    def wins(self, value, best):
        """Where ``value`` wins over ``best``, being greater or NaN."""
        greater, nan = self.builder.fcmp_ordered(">", value, best), self.builder.fcmp_unordered("uno", value, value)
        return self.builder.or_(greater, nan)

    def relu(self, vector):
        """ReLU of a vector, and where it is zero."""
        zero = ir.Constant(self.vector, None)
        negative = self.builder.fcmp_ordered("<=", vector, zero)  # an ordered comparison, so NaN stays NaN
        return self.builder.select(negative, zero, vector), negative

    def transposed(self, rows):
        """Transpose rows and lanes: step ``s`` moves element (r, i) to (r ^ s, i ^ s) if r and i differ in bit s."""
        count, step = self.vector.count, 1
        mask = ir.VectorType(I32, count)
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
        """For each row of the tile, a short vector with the sum of the lanes of each of its vectors.

        As many vectors as there are lanes are added up together. Step ``s`` merges two vectors into one, which holds
        sums of lanes i and i ^ s: of the first vector where bit s of the lane's number is 0, of the second where it
        is 1. In the end, lane i is the sum of vector i. This takes 3 instructions per vector, instead of 8 one by one.
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
        sums.append(zero)  # so that `_cut` finds a next vector
        return [self._cut(sums, first) for first in range(0, size, self.tile.columns)]

    def _cut(self, vectors, first: int):
        """One row of the tile: its columns from lane ``first`` of all vectors on; a number if there is one column."""
        count, columns = self.vector.count, self.tile.columns
        at, lane = divmod(first, count)
        if columns == 1:  # LLVM fails on vectors of one number if a whole vector has two
            return self.builder.extract_element(vectors[at], ir.Constant(I32, lane))
        if lane + columns <= 2 * count:
            mask = ir.VectorType(I32, columns)
            lanes = ir.Constant(mask, [lane + c for c in range(columns)])
            return self.builder.shuffle_vector(vectors[at], vectors[at + 1], lanes)
        row = ir.Constant(ir.VectorType(self.vector.element, columns), ir.Undefined)
        for c in range(columns):  # one by one: 128-bit vectors may be shorter than half a row
            at, lane = divmod(first + c, count)
            number = self.builder.extract_element(vectors[at], ir.Constant(I32, lane))
            row = self.builder.insert_element(row, number, ir.Constant(I32, c))
        return row

    def _merge(self, a, b, step: int):
        count = self.vector.count
        mask = ir.VectorType(I32, count)
        kept = self.builder.shuffle_vector(a, b, ir.Constant(mask, [i + count * bool(i & step) for i in range(count)]))
        other = [(i ^ step) + count * bool(i & step) for i in range(count)]
        return self.builder.fadd(kept, self.builder.shuffle_vector(a, b, ir.Constant(mask, other)))

    def at(self, tile, row: int, column: int):
        """One vector of a tile."""
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
        data, vectors = self.data(array_type, array), []
        for r, place in enumerate(self.steps(offset, step, self.tile.rows)):
            if r:
                tap = self.after(vectors[-self.tile.columns :], tap)
            row = self.splat(self.load_number(data.after(place), tap))
            vectors += [self.multiply_add(row, column, self.at(tile, r, c)) for c, column in enumerate(columns)]
        return self.build(vectors)

    def after(self, vectors, number):
        """The same number, available only after the vectors: an empty piece of assembly code takes all of them.

        Otherwise LLVM loads the numbers of all rows first, and has too few registers left for the tile: with 6 x 4
        vectors, a convolution ran at a third of the speed.
        """
        if not (X86 or ARM):
            return number
        vectors = [part for vector in vectors for part in self._in_registers(vector)]
        kinds = [vector.type for vector in vectors]
        function = ir.FunctionType(number.type, [number.type, *kinds])
        taken = ",".join(["=r", "0", *["v" if X86 else "w"] * len(kinds)])
        return self.builder.asm(function, "", taken, [number, *vectors], False)

    def _in_registers(self, vector):
        """The parts of a vector that fill a register each."""
        count, width = self.vector.count, self.vector.count * REGISTER_BYTES // VECTOR_BYTES
        if width >= count:
            return [vector]
        kind = ir.VectorType(I32, width)
        parts = (ir.Constant(kind, list(range(first, first + width))) for first in range(0, count, width))
        return [self.builder.shuffle_vector(vector, vector, part) for part in parts]
