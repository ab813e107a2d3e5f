"""Arithmetic on whole tiles, lane by lane."""

import functools

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.simd.tile import Code, TileType


@intrinsic
def tile_relu(typingctx, tile):
    """ReLU of a tile of floats."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        return code.build(code.relu(builder.extract_value(args[0], i))[0] for i in range(tile.rows * tile.columns))

    return tile(tile), codegen


@intrinsic
def tile_relu_gradient(typingctx, tile, of):
    """The gradient of ReLU: the tile, with zeros where the tile ``of``, of the same size, is zero or negative."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        pairs = ([builder.extract_value(each, i) for each in args] for i in range(tile.rows * tile.columns))
        return code.build(builder.select(code.relu(x)[1], ir.Constant(code.vector, None), dy) for dy, x in pairs)

    return tile(tile, of), codegen


def _elementwise(operation: str):
    """Make the intrinsic that applies an operation of two numbers to two tiles, lane by lane."""

    def of_two(typingctx, a, b):
        def codegen(context, builder, signature, args):
            pairs = ([builder.extract_value(tile, i) for tile in args] for i in range(a.rows * a.columns))
            return Code(context, builder, a).build(getattr(builder, operation)(*pair) for pair in pairs)

        return a(a, b), codegen

    return of_two


tile_add = intrinsic(_elementwise("fadd"))
"""a + b, lane by lane, for tiles of floats of equal size."""

tile_subtract = intrinsic(_elementwise("fsub"))
"""a - b, lane by lane, for tiles of floats of equal size."""

tile_multiply = intrinsic(_elementwise("fmul"))
"""a * b, lane by lane, for tiles of floats of equal size."""


@intrinsic
def tile_multiply_add(typingctx, a, b, c):
    """``a * b + c``, lane by lane, for tiles of floats of equal size."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, a)
        triples = ([builder.extract_value(tile, i) for tile in args] for i in range(a.rows * a.columns))
        return code.build(code.multiply_add(*triple) for triple in triples)

    return a(a, b, c), codegen


@intrinsic
def tile_add_columns(typingctx, tile):
    """The sum of the columns of a tile of floats, as a tile of one column."""
    one = TileType(tile.rows, 1, tile.dtype)

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        rows = ([code.at(args[0], r, c) for c in range(tile.columns)] for r in range(tile.rows))
        return Code(context, builder, one).build(functools.reduce(builder.fadd, row) for row in rows)

    return one(tile), codegen


@intrinsic
def tile_divide_columns(typingctx, tile, numbers, offset):
    """Column c of a tile of floats divided by ``numbers[offset + c]``."""

    def codegen(context, builder, signature, args):
        code = Code(context, builder, tile)
        divisors = [code.splat(number) for number in code.table(signature.args[1], args[1], args[2])] * tile.rows
        return code.build(builder.fdiv(builder.extract_value(args[0], i), by) for i, by in enumerate(divisors))

    return tile(tile, numbers, types.intp), codegen
