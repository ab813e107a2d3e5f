"""Kernels that several operations share."""
