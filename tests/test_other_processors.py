"""The code for other processors and systems is right. It is compiled for ARM here, but not run."""

import llvmlite.binding as llvm
import pytest
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target

from fastcnn.backends.numba_direct.runtime import atomics, denormals

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()


def processor(monkeypatch, *, arm: bool) -> None:
    """Generate code for ARM, or for a processor of which nothing is known."""
    for module in (atomics, denormals):
        monkeypatch.setattr(module, "X86", False)
        monkeypatch.setattr(module, "ARM", arm)


def instructions(intrinsic, *kinds) -> list[str]:
    """The instructions of a function that only calls an intrinsic."""
    signature, codegen = intrinsic._defn(None, *kinds)
    context, module = cpu_target.target_context, ir.Module()
    module.triple = "aarch64-linux-gnu"
    result, *given = map(context.get_value_type, (signature.return_type, *kinds))
    function = ir.Function(module, ir.FunctionType(result, given), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(codegen(context, builder, signature, function.args))
    try:
        target = llvm.Target.from_triple(module.triple)
    except RuntimeError as error:
        pytest.skip(f"llvmlite does not compile for ARM: {error}")
    lines = target.create_target_machine(opt=2).emit_assembly(llvm.parse_assembly(str(module))).splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("\t") and not line.startswith("\t.")]


def test_a_polling_thread_yields_on_arm(monkeypatch):
    processor(monkeypatch, arm=True)
    assert "yield" in instructions(atomics.pause)
    processor(monkeypatch, arm=False)
    assert instructions(atomics.pause) == ["mov x0, xzr", "ret"]


def test_denormals_count_as_zero_on_arm(monkeypatch):
    processor(monkeypatch, arm=True)
    before, zeros, after, _ = instructions(denormals.flush_denormals)
    assert (before, zeros.split()[0], zeros.split()[-1]) == ("mrs x0, FPCR", "orr", "#0x1000000")
    assert after.startswith("msr FPCR")
    assert any(line.startswith("msr FPCR") for line in instructions(denormals.restore_denormals, types.uint64))


def test_denormals_stay_on_a_processor_of_which_nothing_is_known(monkeypatch):
    processor(monkeypatch, arm=False)
    assert instructions(denormals.flush_denormals) == ["mov x0, xzr", "ret"]
    assert instructions(denormals.restore_denormals, types.uint64) == ["mov x0, xzr", "ret"]


def test_threads_sleep_in_the_kernel_of_linux(monkeypatch):
    monkeypatch.setattr(atomics, "_FUTEX", 98)
    for intrinsic, operation in ((atomics.sleep, 128), (atomics.wake, 129)):
        kinds = [types.intp] * (2 if intrinsic is atomics.sleep else 1)
        code = instructions(intrinsic, *kinds)
        assert {"mov w0, #98", "mov x1, x0", f"mov w2, #{operation}", "bl syscall"} <= set(code)


def test_threads_sleep_at_an_address_on_windows(monkeypatch):
    monkeypatch.setattr(atomics, "_FUTEX", None)
    monkeypatch.setattr(atomics, "_WINDOWS", True)
    code = instructions(atomics.sleep, types.intp, types.intp)
    assert {"mov w2, #8", "mov w3, #-1", "bl WaitOnAddress"} <= set(code)  # bytes to compare, and no time limit
    assert "bl WakeByAddressAll" in instructions(atomics.wake, types.intp)


def test_threads_sleep_for_a_moment_on_other_systems(monkeypatch):
    monkeypatch.setattr(atomics, "_FUTEX", None)
    monkeypatch.setattr(atomics, "_WINDOWS", False)
    code = instructions(atomics.sleep, types.intp, types.intp)
    assert code[code.index("bl usleep") - 1] == "mov w0, #100"  # microseconds
    assert instructions(atomics.wake, types.intp) == ["mov x0, xzr", "ret"]
