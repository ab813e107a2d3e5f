"""Convert between our graphs and those of the onnx package, with checks; no other module imports onnx."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastcnn
from fastcnn._errors import FileError
from fastcnn.interop.onnx.graph import Graph, Node

OPSET = 17  # of 2022, which current readers of ONNX support; it lacks only Gelu and means of windows of several sizes
INPUT, OUTPUT = "input", "output"


def input_names(count: int) -> tuple[str, ...]:
    """Name the inputs of a graph: "input", or "input0", "input1", ..."""
    return (INPUT,) if count == 1 else tuple(f"{INPUT}{i}" for i in range(count))


def proto(graph: Graph, name: str, x: Sequence[tuple], y: tuple, metadata: dict[str, str]):
    """Convert a graph to an ``onnx.ModelProto`` and check it.

    Parameters
    ----------
    graph : Graph
    name : str
        The name of the graph.
    x : sequence of (dtype, shape)
        The inputs; shapes without the batch axis.
    y : (dtype, shape)
        The output.
    metadata : dict of str to str

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ImportError
        If onnx is not installed.
    """
    try:
        from onnx import checker, helper, numpy_helper, shape_inference
    except ImportError as error:
        raise ImportError("Writing ONNX needs the onnx package: pip install onnx.") from error

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
    """The content of an ONNX file, with shapes for a batch of one image, or of its own fixed batch size.

    Attributes
    ----------
    inputs : tuple of str
        Names of the inputs.
    y : str
        Name of the output.
    nodes : dict of str to Node
        The operators that depend on an input, by the names of their outputs and in the order of execution.
    arrays : dict of str to ndarray
        All values that do not depend on the inputs.
    shapes : dict of str to tuple of int
        Shapes of the inputs and of the outputs of all operators, with the batch axis.
    dtype : dtype
        The dtype of the first input.
    """

    inputs: tuple[str, ...]
    y: str
    nodes: dict[str, Node]
    arrays: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    dtype: np.dtype


def read(path: str | os.PathLike) -> Content:
    """Read an ONNX file; values that depend on constants only, such as sizes, are computed.

    Raises
    ------
    ImportError
        If onnx is not installed.
    FileError
        If the file is not an ONNX model, or is broken.
    ValueError
        If the model has several outputs, or an operator is not ONNX's own or has several outputs that are used.
    OSError
        If the file cannot be read.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import helper, numpy_helper, shape_inference, version_converter
        from onnx.reference import ReferenceEvaluator
    except ImportError as error:
        raise ImportError("Reading ONNX needs the onnx package: pip install onnx.") from error
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
        raise FileError(f"{path} is not an ONNX model: {(str(error) or 'it is empty').splitlines()[0]}") from error
    names = tuple(value.name for value in model.graph.output)
    if len(names) > 1:
        raise ValueError(f"{path} has the outputs {', '.join(names)}, but a model of fastcnn has one output.")
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values}
    arrays = {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}
    used = {name for node in model.graph.node for name in node.input}
    nodes: dict[str, Node] = {}
    for proto in model.graph.node:
        given = [name for name in proto.input if name]
        if proto.domain not in ("", "ai.onnx"):
            raise ValueError(f"{path} has {proto.op_type} of {proto.domain}, but only ONNX's own operators are read.")
        if proto.op_type == "Shape" and all(shapes.get(given[0], (0,))):
            arrays[proto.output[0]] = np.array(shapes[given[0]], np.int64)
        elif all(name in arrays for name in given):
            found: Any = ReferenceEvaluator(proto, opsets={"": opset}).run(None, {name: arrays[name] for name in given})
            arrays |= zip(proto.output, found, strict=False)
        elif used & {*proto.output[1:]}:
            raise ValueError(f"{path} uses several outputs of {proto.op_type}, but a layer has only one output.")
        else:
            attributes = {item.name: helper.get_attribute_value(item) for item in proto.attribute}
            nodes[proto.output[0]] = Node(proto.op_type, tuple(proto.input), proto.output[0], attributes)
    dtype = helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type) if inputs else np.dtype(np.float32)
    return Content(tuple(value.name for value in inputs), names[0], nodes, arrays, shapes, dtype)
