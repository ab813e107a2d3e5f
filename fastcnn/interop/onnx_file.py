"""Between our graphs and those of `onnx`, checked: the only place that imports it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastcnn
from fastcnn._errors import FileError
from fastcnn.interop.onnx_graph import Graph, Node

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


class Content(NamedTuple):
    """What a file holds, for the smallest batch that it takes.

    Attributes
    ----------
    inputs : tuple of str
        Their names.
    y : str
        The output's.
    nodes : dict of str to Node
        By the names of their outputs, in the order in which they compute; none that depends on no input.
    arrays : dict of str to ndarray
        All that does not depend on the inputs.
    shapes : dict of str to tuple of int
        Of the inputs and of all outputs, with the batch.
    dtype : dtype
        Of the first input.
    """

    inputs: tuple[str, ...]
    y: str
    nodes: dict[str, Node]
    arrays: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    dtype: np.dtype


def read(path: str | os.PathLike) -> Content:
    """What an ONNX file holds; what is computed from constants alone, as sizes are, has been computed.

    Raises
    ------
    ImportError
        If onnx is not installed.
    FileError
        If the file is no ONNX model, or a broken one.
    ValueError
        If it has several outputs, or something of it is none of ONNX's operators or has several.
    OSError
        If it cannot be read.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import helper, numpy_helper, shape_inference, version_converter
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise ImportError('To read ONNX needs onnx; install it with pip install "fastcnn[onnx]".') from error
    data = Path(path).read_bytes()
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        opset = {item.domain or "": item.version for item in model.opset_import}.get("", 0)
        arrays = {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in arrays]
        for value in inputs:
            if (axes := value.type.tensor_type.shape.dim) and not axes[0].HasField("dim_value"):
                axes[0].dim_value = 1
        if opset < OPSET:
            model, opset = version_converter.convert_version(model, OPSET), OPSET
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (DecodeError, onnx.checker.ValidationError, shape_inference.InferenceError, RuntimeError) as error:
        raise FileError(f"{path} is no ONNX model: {(str(error) or 'it is empty').splitlines()[0]}") from error
    names = tuple(value.name for value in model.graph.output)
    if len(names) > 1:
        raise ValueError(f"{path} gives {', '.join(names)}, but a model of fastcnn has one output.")
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values}
    arrays = {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}
    used = {name for node in model.graph.node for name in node.input}
    nodes: dict[str, Node] = {}
    for proto in model.graph.node:
        given = [name for name in proto.input if name]
        if proto.domain not in ("", "ai.onnx"):
            raise ValueError(f"{path} has {proto.op_type} of {proto.domain}; what is read are ONNX's own operators.")
        if proto.op_type == "Shape" and all(shapes.get(given[0], (0,))):
            arrays[proto.output[0]] = np.array(shapes[given[0]], np.int64)
        elif all(name in arrays for name in given):
            found: Any = ReferenceEvaluator(proto, opsets={"": opset}).run(None, {name: arrays[name] for name in given})
            arrays |= zip(proto.output, found, strict=False)
        elif used & {*proto.output[1:]}:
            raise ValueError(f"{path} has {proto.op_type}, of which several outputs are used; no layer has several.")
        else:
            attributes = {item.name: helper.get_attribute_value(item) for item in proto.attribute}
            nodes[proto.output[0]] = Node(proto.op_type, tuple(proto.input), proto.output[0], attributes)
    dtype = helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type) if inputs else np.dtype(np.float32)
    return Content(tuple(value.name for value in inputs), names[0], nodes, arrays, shapes, dtype)
