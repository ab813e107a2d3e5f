"""Treating denormal numbers as zero in kernels: processors take up to 150 times as long for them.

Denormals occur in training: the momentum of a filter that gets no gradient any more shrinks until it is denormal, and
stays so. The mode is a setting of the processor for each thread, and must not affect other code. So whichever thread
runs tasks of a kernel sets the mode before and restores it after. Results do not depend on the number of threads.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastcnn.backends.numba_direct.runtime.processor import ARM, X86

_X86_ZEROS = 1 << 15 | 1 << 6  # MXCSR: "flush to zero" for results, "denormals are zeros" for operands
_ARM_ZEROS = 1 << 24  # FPCR: "flush-to-zero" for both


@intrinsic
def flush_denormals(typingctx):
    """Treat denormals as zero in this thread from now on; returns the previous mode, for `restore_denormals`."""

    def codegen(context, builder, signature, args):
        if not (X86 or ARM):
            return ir.Constant(ir.IntType(64), 0)
        before = _mode(builder)
        _set_mode(builder, builder.or_(before, before.type(_X86_ZEROS if X86 else _ARM_ZEROS)))
        return builder.zext(before, ir.IntType(64)) if X86 else before

    return types.uint64(), codegen


@intrinsic
def restore_denormals(typingctx, mode):
    """Restore the mode that `flush_denormals` returned."""

    def codegen(context, builder, signature, args):
        if X86 or ARM:
            _set_mode(builder, builder.trunc(args[0], ir.IntType(32)) if X86 else args[0])
        return context.get_dummy_value()

    return types.none(types.uint64), codegen


def _mode(builder):
    if ARM:
        return builder.call(_function(builder, ir.IntType(64), [], "llvm.aarch64.get.fpcr"), [])
    place = cgutils.alloca_once(builder, ir.IntType(32))
    _through_memory(builder, "llvm.x86.sse.stmxcsr", place)
    return builder.load(place)


def _set_mode(builder, mode) -> None:
    if ARM:
        builder.call(_function(builder, ir.VoidType(), [ir.IntType(64)], "llvm.aarch64.set.fpcr"), [mode])
    else:
        _through_memory(builder, "llvm.x86.sse.ldmxcsr", cgutils.alloca_once_value(builder, mode))


def _through_memory(builder, name: str, place) -> None:
    pointer = ir.IntType(8).as_pointer()
    builder.call(_function(builder, ir.VoidType(), [pointer], name), [builder.bitcast(place, pointer)])


def _function(builder, result, arguments, name: str):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)
