"""What kernels are made and run with: the processor, compiling, memory, and programs of kernels."""
