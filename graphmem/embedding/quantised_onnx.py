"""Reading an encoder's weights out of an ONNX file that was quantised to 8 bits.

Such a file, as onnxruntime's dynamic quantisation writes it, keeps a table or matrix as integers
with a scale and a zero point. It would round activations to 8 bits too where it is run; here only
its weights are taken. A matrix has lost its name: the product that reads it still has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.bert_graph import Tensors
from graphmem.errors import ModelError

_ENDING = "_quantized"


def dequantised(
    integers: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]
) -> NDArray[np.float32]:
    """The numbers of integers [n, m], with one scale and zero point or with one a column, float32.

    >>> numbers = np.array([[70, 72]], np.uint8)
    >>> dequantised(numbers, np.float32(0.5), np.uint8(70)).tolist()
    [[0.0, 1.0]]
    """
    numbers = integers.astype(np.float32)
    numbers -= zero.astype(np.float32)
    numbers *= scale
    return numbers


def read_onnx_tensors(path: Path) -> Tensors:
    """The encoder's tensors as float32 under BertModel's names.

    Raises:
        ModelError: The file cannot be read, or integers have no scale or zero point.
    """
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # noqa: BLE001 - protobuf's own are in no public place
        raise ModelError(f"{path}: unreadable weights ({error})") from error
    stored = {tensor.name: tensor for tensor in graph.initializer}
    products = {
        name: node.name.strip("/").removesuffix("/MatMul_quant").replace("/", ".") + ".weight"
        for node in graph.node
        if node.op_type == "MatMulInteger"
        for name in node.input
    }

    def array(name: str) -> NDArray[Any]:
        if name not in stored:
            raise ModelError(f"{path}: no tensor '{name}'")
        numbers: NDArray[Any] = onnx.numpy_helper.to_array(stored[name])
        return numbers

    for name in stored:
        start = name.removesuffix(_ENDING)
        if name.endswith(_ENDING):
            parts = (array(start + ending) for ending in (_ENDING, "_scale", "_zero_point"))
            numbers = dequantised(*parts)
            if name in products:  # kept [in, out], as it is multiplied
                yield products[name], numbers.T
            else:
                yield start, numbers
        elif not name.endswith(("_scale", "_zero_point")):
            yield name, array(name)
