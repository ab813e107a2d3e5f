"""From a graph of ours to one of `onnx`, checked: the only place that imports it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastcnn
from fastcnn.interop.onnx_graph import Graph

OPSET = 17  # of 2022, which all that reads ONNX today knows; it has all we need but Gelu and means of uneven windows
INPUT, OUTPUT = "input", "output"


def input_names(count: int) -> tuple[str, ...]:
    """Of so many inputs: "input", or "input0", "input1", ..."""
    return (INPUT,) if count == 1 else tuple(f"{INPUT}{i}" for i in range(count))


def proto(graph: Graph, name: str, x: Sequence[tuple], y: tuple, metadata: dict[str, str]):
    """The graph as ``onnx.ModelProto``; ``x`` has each input's dtype and shape, without the batch, ``y`` the output's.

    Raises
    ------
    ImportError
        If onnx is not installed.
    """
    try:
        from onnx import checker, helper, numpy_helper, shape_inference
    except ImportError as error:
        raise ImportError('To write ONNX needs onnx; install it with pip install "fastcnn[onnx]".') from error

    def element_type(dtype: np.dtype) -> int:
        return helper.np_dtype_to_tensor_dtype(dtype)

    nodes = []
    for node in graph.nodes:
        attributes: dict[str, Any] = {
            k: element_type(v) if isinstance(v, np.dtype) else v for k, v in node.attributes.items()
        }
        nodes.append(helper.make_node(node.operator, node.inputs, [node.output], name=node.output, **attributes))
    takes, gives = (
        [
            helper.make_tensor_value_info(end, element_type(dtype), ["N", *shape])
            for end, (dtype, shape) in zip(names, ends, strict=True)
        ]
        for names, ends in ((input_names(len(x)), x), ((OUTPUT,), [y]))
    )
    arrays = [numpy_helper.from_array(array, key) for key, array in graph.arrays.items()]
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        helper.make_graph(nodes, name, takes, gives, arrays),
        opset_imports=[opset],
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="fastcnn",
        producer_version=fastcnn.__version__,
    )
    helper.set_model_props(model, metadata)
    model = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    checker.check_model(model, full_check=True)
    return model
