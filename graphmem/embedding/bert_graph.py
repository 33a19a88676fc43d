"""A BERT encoder as an ONNX graph of onnxruntime's fused operators, built from its weights.

The graph takes the token ids of texts of one length, without padding: there is no mask to apply,
and pooling is a plain mean or the first row. It is done outside the graph (`pooled`), where the
order of a mean's additions cannot depend on how many texts there are. A cross-encoder reads pairs
of texts and gives a score; a model of masked words gives the greatest logit of every word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphmem.errors import ModelError

Pooling = Literal["mean", "cls", "classifier", "words"]
Precision = Literal["fp32", "int8"]
Tensors = Iterator[tuple[str, NDArray[np.float32]]]
"""The weights of a model by name."""

GRAPH_VERSION = 2
"""To be raised when the graph built from the same weights changes."""

_FUSED = "com.microsoft"


@dataclass(frozen=True, slots=True)
class BertShape:
    """What the graph needs to know beside the weights.

    Attributes:
        layers: Number of transformer blocks.
        hidden: Width d of the vectors.
        heads: Attention heads, a divisor of `hidden`.
        epsilon: Added to the variance by layer normalisation.
        positions: Rows of the position table.
        first_position: The row of the first token: 0 in BERT, padding id + 1 in RoBERTa.
        pooling: How rows become one vector; or "classifier", one score of a pair; or "words", the
            greatest logit of each word of the vocabulary.
    """

    layers: int
    hidden: int
    heads: int
    epsilon: float
    positions: int
    first_position: int = 0
    pooling: Pooling = "mean"

    def as_dict(self) -> dict[str, Any]:
        """All fields, JSON values."""
        return asdict(self)


class _Graph:
    """Nodes and initialisers in the making; every method returns the name of its output."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], precision: Precision) -> None:
        self.tensors = tensors
        self.precision = precision
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []

    def weight(self, name: str) -> NDArray[np.float32]:
        """A tensor of the model by name, or ModelError."""
        if name not in self.tensors:
            raise ModelError(f"the weights hold no tensor '{name}': not a BERT encoder")
        return self.tensors[name]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.initialisers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def stored(self, name: str) -> str:
        return self.constant(name, self.weight(name))

    def node(
        self, operator: str, inputs: list[str], outputs: list[str], domain: str = "", **given: Any
    ) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, domain=domain, **given))
        return outputs[0]

    def quantised(self, name: str, matrix: NDArray[np.float32]) -> tuple[str, str, str]:
        """A matrix as int8 with one scale a column; names of matrix, scales and zero points."""
        scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12) / np.float32(127)
        rounded = np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8)
        return (
            self.constant(name, rounded),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self.constant(f"{name}.zero", np.zeros(matrix.shape[1], np.int8)),
        )

    def product(self, x: str, name: str) -> str:
        """`x` times a dense layer's matrix; its bias goes into the fused node that follows."""
        matrix = self.weight(f"{name}.weight").T
        if self.precision == "fp32":
            return self.node("MatMul", [x, self.constant(f"{name}.T", matrix)], [f"{name}.out"])
        inputs = [x, *self.quantised(f"{name}.T", matrix)]
        return self.node("DynamicQuantizeMatMul", inputs, [f"{name}.out"], _FUSED)

    def dense(self, x: str, name: str) -> str:
        inputs = [self.product(x, name), self.stored(f"{name}.bias")]
        return self.node("Add", inputs, [f"{name}.sum"])

    def embedded(self, shape: BertShape) -> tuple[str, list[str]]:
        """The rows that the first block reads; the names of the graph's inputs."""
        segments = self.weight("embeddings.token_type_embeddings.weight")
        position = self.weight("embeddings.position_embeddings.weight")[shape.first_position :]
        words = self.stored("embeddings.word_embeddings.weight")
        if shape.pooling == "classifier" and len(segments) > 1:
            names = ["input_ids", "token_type_ids"]
            table = self.constant("embeddings.segment", segments)
            inputs = [*names, words, self.constant("embeddings.position", position), table]
        else:
            # Each text is one segment, so its row goes into the position table.
            names = ["input_ids" if shape.pooling == "classifier" else "ids"]
            table = self.constant("embeddings.position", position + segments[0])
            inputs = [*names, "", words, table, ""]
        inputs += [self.stored(f"embeddings.LayerNorm.{part}") for part in ("weight", "bias")]
        outputs = ["embedded", "unused"]
        operator = "EmbedLayerNormalization"
        return self.node(operator, inputs, outputs, _FUSED, epsilon=shape.epsilon), names

    def classified(self, x: str) -> str:
        """The score by BERT's pooler and classifier, or by RoBERTa's classifier of two layers."""
        roberta = "classifier.out_proj.weight" in self.tensors
        inner, outer = "pooler.dense", "classifier"
        if roberta:
            inner, outer = "classifier.dense", "classifier.out_proj"
        labels = self.weight(f"{outer}.weight").shape[0]
        if labels != 1:
            raise ModelError(f"the classifier has {labels} labels; a cross-encoder has one")
        first = self.constant("first", np.array(0, np.int64))
        row = self.node("Gather", [x, first], ["pooled"], axis=1)
        return self.dense(self.node("Tanh", [self.dense(row, inner)], ["tanh"]), outer)

    def greatest_logits(self, x: str, epsilon: float) -> tuple[str, int]:
        """The greatest logit of each of V words over a text's tokens, by BERT's head; and V."""
        head = "cls.predictions"
        inner = self.product(x, f"{head}.transform.dense")
        bias = self.stored(f"{head}.transform.dense.bias")
        inner = self.node("BiasGelu", [inner, bias], [f"{head}.gelu"], _FUSED)
        inputs = [inner]
        inputs += [self.stored(f"{head}.transform.LayerNorm.{p}") for p in ("weight", "bias")]
        inner = self.node("LayerNormalization", inputs, [f"{head}.norm"], axis=-1, epsilon=epsilon)
        decoder = f"{head}.decoder"
        if f"{decoder}.weight" not in self.tensors:  # tied to the words' rows
            self.tensors[f"{decoder}.weight"] = self.weight("embeddings.word_embeddings.weight")
        words = len(self.weight(f"{decoder}.weight"))
        logits = self.product(inner, decoder)
        # A word's bias is the same for all tokens: added to the greatest, it gives the same number.
        best = self.node("ReduceMax", [logits], [f"{head}.best"], axes=[1], keepdims=0)
        return self.node("Add", [best, self.stored(f"{head}.bias")], [f"{head}.logits"]), words

    def attention(self, x: str, name: str, heads: int) -> str:
        parts = [f"{name}.self.{part}" for part in ("query", "key", "value")]
        matrix = np.concatenate([self.weight(f"{part}.weight").T for part in parts], axis=1)
        bias = np.concatenate([self.weight(f"{part}.bias") for part in parts])
        bias_name = self.constant(f"{name}.qkv.bias", bias)
        output = [f"{name}.out"]
        if self.precision == "fp32":
            inputs = [x, self.constant(f"{name}.qkv", matrix), bias_name]
            return self.node("Attention", inputs, output, _FUSED, num_heads=heads)
        rows = [f"{name}.rows", f"{name}.rows.scale", f"{name}.rows.zero"]
        self.node("DynamicQuantizeLinear", [x], rows)
        packed, scale, zero = self.quantised(f"{name}.qkv", matrix)
        inputs = [rows[0], packed, bias_name, rows[1], scale, "", rows[2], zero]
        return self.node("QAttention", inputs, output, _FUSED, num_heads=heads)

    def add_and_normalise(self, x: str, skipped: str, name: str, epsilon: float) -> str:
        inputs = [x, skipped]
        inputs += [self.stored(f"{name}.LayerNorm.{part}") for part in ("weight", "bias")]
        inputs.append(self.stored(f"{name}.dense.bias"))
        return self.node("SkipLayerNormalization", inputs, [f"{name}.sum"], _FUSED, epsilon=epsilon)


def read_tensors(weights: Path) -> Tensors:
    """The model's tensors as float32, the encoder's under BertModel's names whatever the prefix.

    TensorFlow's names of a normalisation's weight and bias, gamma and beta, stand for these.

    Raises:
        ModelError: They cannot be read or are not those of such an encoder.
    """
    from safetensors import SafetensorError, safe_open

    anchor = "embeddings.word_embeddings.weight"
    try:
        with safe_open(weights, "np") as file:
            names = list(file.keys())
            prefix = next((name[: -len(anchor)] for name in names if name.endswith(anchor)), None)
            if prefix is None:
                raise ModelError(f"{weights}: no tensor '{anchor}': not a BERT encoder")
            wanted = [f"{prefix}{part}." for part in ("embeddings", "encoder", "pooler")]
            for name in names:
                if name.startswith((*wanted, "classifier.", "cls.predictions.")):
                    kind = file.get_slice(name).get_dtype()
                    if kind in ("F32", "F16"):
                        tensor = file.get_tensor(name).astype(np.float32, copy=False)
                        known = name.removeprefix(prefix)
                        known = known.replace("LayerNorm.gamma", "LayerNorm.weight")
                        yield known.replace("LayerNorm.beta", "LayerNorm.bias"), tensor
                    elif not kind.startswith(("I", "U")):  # position_ids are integers, and unused
                        raise ModelError(f"{weights}: {kind} weights; float32 or float16 expected")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{weights}: unreadable weights ({error})") from error


def build_graph(tensors: Tensors, shape: BertShape, precision: Precision = "fp32") -> Any:
    """The encoder as an `onnx.ModelProto`: `ids` int32 [b, n] -> states float32 [b, n, d].

    With pooling "words" it gives the greatest logit of each of V words over the tokens, [b, V].
    A cross-encoder takes `input_ids` and, where the model tells the two texts apart,
    `token_type_ids`, and gives a score [b, 1].

    All operators are exact to float32 rounding with precision "fp32" (GELU is the one with erf).
    With "int8" the dense layers multiply 8-bit integers: weights with a scale for each column,
    activations with one scale measured as they pass, so that only b = 1 is independent of
    neighbours.

    Args:
        tensors: Its weights by BertModel's names, read as they are taken.
        shape: Its sizes.
        precision: Of its products.

    Raises:
        ModelError: The weights cannot be read or are not those of such an encoder.
    """
    from onnx import TensorProto, helper

    graph = _Graph(dict(tensors), precision)
    x, names = graph.embedded(shape)
    for i in range(shape.layers):
        layer = f"encoder.layer.{i}"
        seen = graph.attention(x, f"{layer}.attention", shape.heads)
        seen = graph.product(seen, f"{layer}.attention.output.dense")
        x = graph.add_and_normalise(seen, x, f"{layer}.attention.output", shape.epsilon)
        inner = graph.product(x, f"{layer}.intermediate.dense")
        bias = graph.stored(f"{layer}.intermediate.dense.bias")
        inner = graph.node("BiasGelu", [inner, bias], [f"{layer}.gelu"], _FUSED)
        inner = graph.product(inner, f"{layer}.output.dense")
        x = graph.add_and_normalise(inner, x, f"{layer}.output", shape.epsilon)
    size: list[str | int] = ["b", "n", shape.hidden]
    if shape.pooling == "classifier":
        x, size = graph.classified(x), ["b", 1]
    elif shape.pooling == "words":
        x, words = graph.greatest_logits(x, shape.epsilon)
        size = ["b", words]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT32, ["b", "n"]) for name in names],
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, size)],
            graph.initialisers,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(_FUSED, 1)],
        ir_version=8,
    )


def pooled(states: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Unit vectors of b texts from the states of their n tokens, float32 [b, n, d] -> [b, d]."""
    return unit(states[:, 0] if pooling == "cls" else states.mean(axis=1))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors scaled to length 1, float32 [..., d]."""
    scaled: NDArray[np.float32] = vectors / np.sqrt(np.vecdot(vectors, vectors))[..., None]
    return scaled
