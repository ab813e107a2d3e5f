"""Winograd's transforms of tiles: sums of vectors, lane by lane.

F(4, 3) computes 4 x 4 outputs of a 3x3 filter from 6 x 6 products: y = A' ((G w G') * (B' x B)) A, where * is
elementwise. Its points are 0, sqrt(1/2), -sqrt(1/2), sqrt(2), -sqrt(2) and infinity. Points of opposite sign share the
sums of even and of odd terms. These points have half the error of 0, 1, -1, 2, -2: 2.2 times that of direct sums,
instead of 4.8. F(3, 4) is the same with outputs and taps exchanged, and computes the filters' gradient.

References
----------
A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
B. Barabasz, A. Anderson, K. Soodhalter, D. Gregg, "Error analysis and improving the accuracy of Winograd convolution
for deep neural networks", ACM TOMS 46(4), 2020 (how points are chosen).
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.simd.tile import Code, TileType

_ROOT = 2**0.5


class _Sums:
    """Sums and multiples of vectors."""

    def __init__(self, code: Code):
        self._code, self._builder = code, code.builder

    def add(self, a, b):
        return self._builder.fadd(a, b)

    def sub(self, a, b):
        return self._builder.fsub(a, b)

    def times(self, factor: float, a):
        return self._builder.fmul(self._constant(factor), a)

    def add_times(self, factor: float, a, b):
        """``factor * a + b`` for a number and two vectors."""
        return self._code.multiply_add(self._constant(factor), a, b)

    def _constant(self, factor: float):
        vector = self._code.vector
        return ir.Constant(vector, [ir.Constant(vector.element, factor)] * vector.count)


def _input(s: _Sums, d: list) -> list:
    """B' times a column of six."""
    even, odd = s.add_times(-2.0, d[2], d[4]), s.add_times(-2.0, d[1], d[3])
    even_half, odd_half = s.add_times(-0.5, d[2], d[4]), s.add_times(-0.5, d[1], d[3])
    return [
        s.add(d[0], s.add_times(-2.5, d[2], d[4])),
        s.add_times(1 / _ROOT, odd, even), s.add_times(-1 / _ROOT, odd, even),
        s.add_times(_ROOT, odd_half, even_half), s.add_times(-_ROOT, odd_half, even_half),
        s.add(d[1], s.add_times(-2.5, d[3], d[5])),
    ]  # fmt: skip


def _pairs(s: _Sums, m: list) -> tuple:
    """Sums and differences of the elements for the points sqrt(1/2), -sqrt(1/2), and for sqrt(2), -sqrt(2)."""
    return s.add(m[1], m[2]), s.sub(m[1], m[2]), s.add(m[3], m[4]), s.sub(m[3], m[4])


def _output(s: _Sums, m: list) -> list:
    """A' times a column of six, which gives four."""
    even, odd, even_two, odd_two = _pairs(s, m)
    return [
        s.add(s.add(m[0], even), even_two),
        s.add_times(1 / _ROOT, odd, s.times(_ROOT, odd_two)),
        s.add_times(0.5, even, s.times(2.0, even_two)),
        s.add_times(0.5 / _ROOT, odd, s.add_times(2 * _ROOT, odd_two, m[5])),
    ]


def _gradient_input(s: _Sums, y: list) -> list:
    """G of F(3, 4) times a column of four, which gives six."""
    even, odd = s.add_times(0.5, y[2], y[0]), s.add_times(0.5, y[3], y[1])
    even_two, odd_two = s.add_times(2.0, y[2], y[0]), s.add_times(2.0, y[3], y[1])
    even, even_two = s.times(-1 / 1.5, even), s.times(1 / 6.0, even_two)
    return [
        y[0],
        s.add_times(-1 / _ROOT / 1.5, odd, even), s.add_times(1 / _ROOT / 1.5, odd, even),
        s.add_times(_ROOT / 6.0, odd_two, even_two), s.add_times(-_ROOT / 6.0, odd_two, even_two),
        y[3],
    ]  # fmt: skip


def _gradient_output(s: _Sums, m: list) -> list:
    """A' of F(3, 4) times a column of six, which gives three."""
    even, odd, even_two, odd_two = _pairs(s, m)
    return [
        s.add(s.add(m[0], even), even_two),
        s.add_times(1 / _ROOT, odd, s.times(_ROOT, odd_two)),
        s.add_times(0.5, even, s.add_times(2.0, even_two, m[5])),
    ]


FILTER_TRANSFORM = (
    (1.0, 0.0, 0.0), (-1 / 1.5, -1 / _ROOT / 1.5, -0.5 / 1.5), (-1 / 1.5, 1 / _ROOT / 1.5, -0.5 / 1.5),
    (1 / 6.0, _ROOT / 6.0, 2 / 6.0), (1 / 6.0, -_ROOT / 6.0, 2 / 6.0), (0.0, 0.0, 1.0),
)  # fmt: skip
"""The matrix G."""


def _transform(along, grows: int):
    """Make the intrinsic that transforms the columns of a square tile, then its rows; its side grows by ``grows``."""

    def transform(typingctx, tile):
        out = TileType(tile.rows + grows, tile.columns + grows, tile.dtype)

        def codegen(context, builder, signature, args):
            code = Code(context, builder, tile)
            sums, side = _Sums(code), range(tile.rows)
            columns = [along(sums, [code.at(args[0], r, c) for r in side]) for c in side]
            rows = [along(sums, [column[r] for column in columns]) for r in range(out.rows)]
            return Code(context, builder, out).build(vector for row in rows for vector in row)

        return out(tile), codegen

    return transform


tile_winograd_input = intrinsic(_transform(_input, 0))
"""B' x B of 6 x 6 pixels."""

tile_winograd_output = intrinsic(_transform(_output, -2))
"""A' m A of 6 x 6 sums of products: 4 x 4 outputs."""

tile_winograd_gradient_input = intrinsic(_transform(_gradient_input, 2))
"""G dy G' of F(3, 4), of the gradient of 4 x 4 outputs: 6 x 6 numbers."""

tile_winograd_gradient_output = intrinsic(_transform(_gradient_output, -3))
"""A' m A of F(3, 4), of 6 x 6 sums of products: the gradient of 3 x 3 taps."""


@intrinsic
def tile_add_number(typingctx, tile, numbers, offset):
    """tile[r, c] += numbers[offset]."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        number = code.splat(code.load_number(code.data(signature.args[1], args[1]), args[2]))
        return code.build(
            builder.fadd(builder.extract_value(args[0], i), number) for i in range(tile.rows * tile.columns)
        )

    return tile(tile, numbers, types.intp), codegen


@intrinsic
def tile_is_finite(typingctx, tile):
    """Whether all numbers of a tile are finite."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        total = zero = ir.Constant(code.vector, None)
        for i in range(tile.rows * tile.columns):  # 0 times inf or NaN is NaN
            total = code.multiply_add(builder.extract_value(args[0], i), zero, total)
        wrong = builder.fcmp_unordered("uno", total, total)
        bits = builder.bitcast(wrong, ir.IntType(code.vector.count))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, 0))

    return types.boolean(tile), codegen
