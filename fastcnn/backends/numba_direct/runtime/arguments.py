"""The arguments of a kernel: one record of named values, passed by its address.

A kernel reads ``a.x`` where Python wrote ``x=...``. An array becomes `Numbers`, an address and a size. A number stays a
number. A list of arrays becomes `Addresses`, the addresses of the arrays, which are stored at the end of the record. A
tuple is not stored: its length is part of the record's type, so a kernel is compiled once for each length. In this way
kernels learn the size of a tile at compile time.
"""

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.imputils import lower_builtin, lower_getattr, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import intrinsic, models, register_model
from numba.np.numpy_support import from_dtype

from fastcnn.backends.numba_direct.runtime.memory import address

_SLOT = 8  # bytes of an address or a number in the record


class Numbers(types.Type):
    """The type of arrays in kernels: one-dimensional, neither copied nor owned."""

    def __init__(self, dtype: types.Type):
        self.dtype = dtype
        super().__init__(name=f"Numbers({dtype})")


class Addresses(Numbers):
    """The type of a list of arrays: their addresses, and the record says at which of its words they begin."""

    def __init__(self) -> None:
        super().__init__(types.int64)
        self.name = "Addresses"


class Arguments(types.Type):
    """The type of a record of named arguments, passed by its address."""

    def __init__(self, fields: tuple[tuple[str, types.Type], ...]):
        self.fields = dict(fields)
        super().__init__(name=f"Arguments({', '.join(f'{name}: {kind}' for name, kind in fields)})")


class Layout(NamedTuple):
    """The layout of a record for arguments of some kinds.

    Attributes
    ----------
    kind : Arguments
        The record's type in kernels.
    format : str
        Format of ``struct`` for the values that `described` returns.
    """

    kind: Arguments
    format: str


def described(arguments: dict[str, Any]) -> tuple[tuple, list, list[int]]:
    """The kinds of arguments (names, types and tuple lengths), which determine the layout, and the record's values.

    The third result has the addresses of the arrays in lists, 0 for None. A non-contiguous array in ``arguments`` is
    replaced by a contiguous copy.
    """
    kinds: list = []
    values: list = []
    addresses: list[int] = []
    for name, value in arguments.items():
        kind = type(value)
        if kind is np.ndarray:
            if not value.flags.c_contiguous:
                arguments[name] = value = np.ascontiguousarray(value)
            kinds += name, value.dtype
            values += address(value), value.size
        elif kind is tuple:
            kinds += name, len(value)
        elif kind is list:
            kinds += name, list
            values += len(addresses), len(value)
            addresses += [0 if array is None else address(array) for array in value]
        else:
            kinds += name, kind
            values.append(value)
    return tuple(kinds), values, addresses


def places(arguments: dict[str, Any]) -> Iterator[tuple[int, str, np.ndarray]]:
    """The arrays: the word of the record that holds the address, the argument's name, and the array."""
    word, listed = 0, []
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            yield word, name, value
        elif isinstance(value, list):
            listed += [(name, array) for array in value]
        word += _words(type(value))
    for i, (name, array) in enumerate(listed):
        if array is not None:
            yield word + i, name, array


def layout(kinds: tuple) -> Layout:
    """The layout for the kinds that `described` returns."""
    fields, formats = [], []
    for name, kind in zip(kinds[::2], kinds[1::2], strict=True):
        field, form = _field(kind)
        fields.append((name, field))
        formats.append(form)
    return Layout(Arguments(tuple(fields)), "=" + "".join(formats))


def _field(kind) -> tuple[types.Type, str]:
    """The type in kernels, and the format in the record."""
    if isinstance(kind, np.dtype):
        return Numbers(from_dtype(kind)), "qq"
    if isinstance(kind, int):
        return types.UniTuple(types.intp, kind), ""
    if kind is list:
        return Addresses(), "qq"
    if issubclass(kind, np.float32):
        return types.float32, "f4x"
    return (types.float64, "d") if issubclass(kind, float) else (types.intp, "q")


def _words(kind: type) -> int:
    """Number of words of a value in the record, from its Python type or its type in kernels."""
    if issubclass(kind, (tuple, types.BaseTuple)):
        return 0
    return 2 if issubclass(kind, (np.ndarray, list, Numbers)) else 1


@register_model(Addresses)
@register_model(Numbers)
class _NumbersModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), ("size", types.intp)])


@register_model(Arguments)
class _ArgumentsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.IntType(8).as_pointer())


@infer_getattr
class _ArgumentsAttributes(AttributeTemplate):
    key = Arguments

    def generic_resolve(self, kind, name):
        return kind.fields.get(name)


@infer_getattr
class _NumbersAttributes(AttributeTemplate):
    key = Numbers

    def resolve_size(self, kind):
        return types.intp

    def resolve_itemsize(self, kind):
        return types.intp

    def resolve_dtype(self, kind):
        return types.DType(kind.dtype)


@lower_getattr_generic(Arguments)
def _read_argument(context, builder, kind, address, name):
    """Read a field. Fields never change, so the load is marked invariant and the compiler may read once."""
    names, kinds = list(kind.fields), list(kind.fields.values())
    field_kind, slot = kind.fields[name], sum(_words(type(before)) for before in kinds[: names.index(name)])

    def read(slot: int, number):
        place = builder.gep(address, [ir.Constant(ir.IntType(64), slot * _SLOT)])
        loaded = builder.load(builder.bitcast(place, number.as_pointer()))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if isinstance(field_kind, types.BaseTuple):
        return ir.Constant(context.get_value_type(field_kind), None)
    if isinstance(field_kind, Addresses):
        words = sum(_words(type(other)) for other in kinds)
        at = builder.add(read(slot, ir.IntType(64)), ir.Constant(ir.IntType(64), words))
        first = builder.gep(builder.bitcast(address, ir.IntType(64).as_pointer()), [at])
        return _numbers(context, builder, field_kind, first, read(slot + 1, ir.IntType(64)))
    if isinstance(field_kind, Numbers):
        pointer = context.get_value_type(types.CPointer(field_kind.dtype))
        return _numbers(context, builder, field_kind, read(slot, pointer), read(slot + 1, ir.IntType(64)))
    return read(slot, context.get_value_type(field_kind))


@lower_getattr(Numbers, "size")
def _size(context, builder, kind, numbers):
    return cgutils.create_struct_proxy(kind)(context, builder, numbers).size


@lower_getattr(Numbers, "itemsize")
def _itemsize(context, builder, kind, numbers):
    return context.get_constant(types.intp, kind.dtype.bitwidth // 8)


@lower_getattr(Numbers, "dtype")
def _dtype(context, builder, kind, numbers):
    return context.get_dummy_value()


@infer_global(operator.getitem)
class _GetNumber(AbstractTemplate):
    def generic(self, args, options):
        if isinstance(args[0], Numbers) and isinstance(args[1], types.Integer):
            return signature(args[0].dtype, args[0], types.intp)
        return None


@infer_global(operator.setitem)
class _SetNumber(AbstractTemplate):
    def generic(self, args, options):
        if isinstance(args[0], Numbers) and isinstance(args[1], types.Integer):
            return signature(types.none, args[0], types.intp, args[0].dtype)
        return None


@lower_builtin(operator.getitem, Numbers, types.Integer)
def _get_number(context, builder, sig, args):
    return context.unpack_value(builder, sig.return_type, _place(context, builder, sig.args[0], args[0], args[1]))


@lower_builtin(operator.setitem, Numbers, types.Integer, types.Any)
def _set_number(context, builder, sig, args):
    context.pack_value(builder, sig.args[2], args[2], _place(context, builder, sig.args[0], args[0], args[1]))


def _place(context, builder, kind: Numbers, numbers, index):
    proxy = cgutils.create_struct_proxy(kind)(context, builder, numbers)
    check(context, builder, proxy.size, index)
    return builder.gep(proxy.data, [index])


def check(context, builder, size, index, count: int = 1) -> None:
    """If bounds are checked, raise IndexError unless ``count`` numbers from ``index`` are among the first ``size``."""
    if config.BOUNDSCHECK:
        last = builder.sub(size, ir.Constant(size.type, count))
        outside = builder.or_(
            builder.icmp_signed("<", index, ir.Constant(index.type, 0)), builder.icmp_signed(">", index, last)
        )
        with builder.if_then(outside, likely=False):
            context.call_conv.return_user_exc(builder, IndexError, ("outside of an array",))


@intrinsic
def numbers_at(typingctx, address, size, like):
    """An array of ``size`` numbers at an address, of the dtype of the array ``like``."""
    kind = Numbers(like.dtype)

    def codegen(context, builder, signature, args):
        pointer = context.get_value_type(types.CPointer(like.dtype))
        return _numbers(context, builder, kind, builder.inttoptr(args[0], pointer), args[1])

    return kind(types.intp, types.intp, like), codegen


def _numbers(context, builder, kind: Numbers, data, size):
    proxy = cgutils.create_struct_proxy(kind)(context, builder)
    proxy.data, proxy.size = data, size
    return proxy._getvalue()
