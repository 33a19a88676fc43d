"""bge-small-en-v1.5 (Xiao et al. 2023, arXiv 2309.07597) from 8-bit weights, for English.

Cosines of unrelated texts lie around 0.4; a centre taken off its vectors, as off e5-small's, gains
nothing over all (pipelines/results/ranking.md).
"""

from __future__ import annotations

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import BertShape
from graphmem.embedding.bge_vectors import known_bge_vector
from graphmem.embedding.encoder import Published
from graphmem.embedding.model_folder import ModelSettings
from graphmem.embedding.onnx import FetchedModel, nearness
from graphmem.embedding.quantised_onnx import read_onnx_tensors

_SETTINGS = ModelSettings(
    weights.BGE_SMALL.model,
    BertShape(layers=12, hidden=384, heads=12, epsilon=1e-12, positions=512, pooling="cls"),
    max_tokens=512,
    prompts={"question": "Represent this sentence for searching relevant passages: "},
)


BGE_SMALL = FetchedModel(
    "bge-small",
    _SETTINGS,
    Published(
        weights.BGE_SMALL,
        nearness(_SETTINGS, known_bge_vector),
        {"fp32": 0.9999},
        weights_file="model_quantized.onnx",
        read_tensors=read_onnx_tensors,
    ),
)
