"""Atomic integers that threads change and wait for; all threads see all changes in the same order."""

import os
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.runtime.processor import ARM, X86

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # between threads of one process; from linux/futex.h
_WINDOWS = os.name == "nt"
_FUTEX = (202 if X86 else 98 if ARM else None) if sys.platform == "linux" else None  # number of the system call


@intrinsic
def add(typingctx, address, number):
    """Add to the integer at an address atomically; returns its previous value."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.intp(types.intp, types.intp), codegen


@intrinsic
def write(typingctx, address, number):
    """Set the integer at an address atomically."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def read(typingctx, address):
    """Read the integer at an address atomically."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), "seq_cst", 8)

    return types.intp(types.intp), codegen


@intrinsic
def pause(typingctx):
    """Tell the processor that this thread is polling."""

    def codegen(context, builder, signature, args):
        if X86:
            builder.call(
                cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
                ),
                [],
            )
        elif ARM:
            kind = ir.FunctionType(ir.VoidType(), [_I32])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [ir.Constant(_I32, 1)])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def sleep(typingctx, address, seen):
    """Sleep until `wake` if the integer at an address still equals ``seen``; may return early."""

    def codegen(context, builder, signature, args):
        if _FUTEX is not None:
            nothing = ir.Constant(_I64, 0)
            _futex(builder, args[0], _FUTEX_WAIT, builder.trunc(args[1], _I32), nothing)
        elif _WINDOWS:
            expected = cgutils.alloca_once_value(builder, args[1])
            size, forever = ir.Constant(_I64, 8), ir.Constant(_I32, -1)
            _call(builder, "WaitOnAddress", args[0], builder.ptrtoint(expected, _I64), size, forever)
        else:
            _call(builder, "usleep", ir.Constant(_I32, 100))  # microseconds
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def wake(typingctx, address):
    """Wake all threads that sleep at an address; where neither Linux nor Windows runs, they wake by themselves."""

    def codegen(context, builder, signature, args):
        if _FUTEX is not None:
            _futex(builder, args[0], _FUTEX_WAKE, ir.Constant(_I32, 2**31 - 1), ir.Constant(_I64, 0))
        elif _WINDOWS:
            _call(builder, "WakeByAddressAll", args[0])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


def _futex(builder, address, operation: int, value, limit) -> None:
    """Linux's futex system call, which compares the lower 32 bits of an integer."""
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I64, [_I64], var_arg=True), "syscall")
    builder.call(function, [ir.Constant(_I64, _FUTEX), address, ir.Constant(_I32, operation), value, limit])


def _call(builder, name: str, *args) -> None:
    """Call a function of the system."""
    kind = ir.FunctionType(_I32, [arg.type for arg in args])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)
