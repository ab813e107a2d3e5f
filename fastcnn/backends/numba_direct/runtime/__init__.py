"""The runtime of kernels: processor features, compilation, memory, and programs of kernels."""
