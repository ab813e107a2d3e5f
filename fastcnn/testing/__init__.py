"""Checks for custom layers and backends, and test cases that fastcnn's tests and benchmarks share.

`check_layer` checks that a layer keeps the contract of a `fastcnn.nn.Module`. `check_backend` compares a backend with
"naive". The tables hold test cases, each with its reason.
"""

from fastcnn.testing.backend_contract import check_backend
from fastcnn.testing.cases import (
    ADAPTIVE_POOL_CASES,
    CONV_CASES,
    CONV_TRANSPOSE_CASES,
    GROUP_NORM_CASES,
    LOSS_CASES,
    NORM_CASES,
    PAD_CASES,
    POOL_CASES,
    RESIZE_CASES,
    AdaptivePoolCase,
    ConvCase,
    ConvTransposeCase,
    GroupNormCase,
    LossCase,
    NormCase,
    PadCase,
    PoolCase,
    ResizeCase,
)
from fastcnn.testing.gradients import central_difference, gradcheck
from fastcnn.testing.layer_contract import check_layer
from fastcnn.testing.tolerances import assert_close, tolerance

__all__ = [
    "ADAPTIVE_POOL_CASES",
    "CONV_CASES",
    "CONV_TRANSPOSE_CASES",
    "GROUP_NORM_CASES",
    "LOSS_CASES",
    "NORM_CASES",
    "PAD_CASES",
    "POOL_CASES",
    "RESIZE_CASES",
    "AdaptivePoolCase",
    "ConvCase",
    "ConvTransposeCase",
    "GroupNormCase",
    "LossCase",
    "NormCase",
    "PadCase",
    "PoolCase",
    "ResizeCase",
    "assert_close",
    "central_difference",
    "check_backend",
    "check_layer",
    "gradcheck",
    "tolerance",
]
