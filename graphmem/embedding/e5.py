"""multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672) in 4 bits, for many languages.

What its unit vectors have in common is taken off them, or the cosines of all texts would lie
between 0.7 and 1, where weights made of cosines (`graphmem.searching`) tell little apart.
"""

from __future__ import annotations

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import BertShape
from graphmem.embedding.e5_vectors import e5_centre, known_e5_vector
from graphmem.embedding.encoder import Published
from graphmem.embedding.model_folder import ModelSettings
from graphmem.embedding.onnx import FetchedModel, nearness
from graphmem.embedding.quantised_file import read_quantised_tensors, read_quantised_tokenizer

_FILE = "e5-small-q4.bin"
_SETTINGS = ModelSettings(
    weights.E5_SMALL.model,
    BertShape(layers=12, hidden=384, heads=12, epsilon=1e-12, positions=512),
    max_tokens=512,
    prompts={"question": "query: ", "passage": "passage: "},
)


E5_SMALL = FetchedModel(
    "e5-small",
    _SETTINGS,
    Published(
        weights.E5_SMALL,
        nearness(_SETTINGS, known_e5_vector),
        {"fp32": 0.9999},
        tokenizer_file=_FILE,
        weights_file=_FILE,
        read_tokenizer=read_quantised_tokenizer,
        read_tensors=read_quantised_tensors,
    ),
    e5_centre,
)
