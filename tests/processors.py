"""Environments in which a process computes as on another processor.

Numba, NumPy and OpenBLAS choose code by the processor's features, each by itself; so does this for each.
python -m tests.processors prints the variables for a processor with AVX2, one in each line.
"""

import numpy as np

AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt",
    "OPENBLAS_CORETYPE": "Haswell",
}


def avx2() -> dict[str, str]:
    """Variables for a processor with AVX2 and fused multiply-adds, without AVX-512."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    disabled = [name for name in found if name.startswith("AVX512") or name == "X86_V4"]  # NumPy 2.4 has these levels
    return AVX2 | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}


if __name__ == "__main__":
    print("\n".join(f"{name}={value}" for name, value in avx2().items()))
