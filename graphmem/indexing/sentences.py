"""Passages to sentences with vectors and entities, for an index that keeps its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from graphmem.base.text import content_hash
from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.graph.entity_graph import KnowledgeGraph
from graphmem.indexing.vectors import embed_missing
from graphmem.protocols import Embedder, Progress
from graphmem.storage.sentence_columns import (
    SentenceSource,
    cut_sentences,
    find_entities,
    join_entities,
)
from graphmem.storage.store import Store
from graphmem.types import Passage

STAGE: Final = "sentences"
"""Under this name progress is told."""
_BLOCK = 256  # passages whose names are sought together


def gather_sentences(
    store: Store,
    passages: Sequence[Passage],
    graph: KnowledgeGraph,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
) -> SentenceSource:
    """The sentences of all passages, with a vector for each; one that comes twice is embedded once.

    Args:
        store: Keeps the vectors, by content.
        passages: P passages in row order, one or more.
        graph: The graph over them.
        embedder: Makes the vectors.
        workers: Processes that embed; None is one for each core.
        tell: Told of every batch as stage "sentences".

    Raises:
        ModelError: The embedder failed.
        StorageError: The store cannot be written.
    """
    tell(STAGE, 0, 0)
    cuts = [cut_sentences(passage) for passage in passages]
    hashes = [_key(sentence) for cut in cuts for sentence in cut]
    text_of = dict(zip(hashes, (sentence for cut in cuts for sentence in cut), strict=True))
    embed_missing(store, text_of, embedder, workers, lambda done, total: tell(STAGE, done, total))
    # Edges are sorted by entity: those of a passage stay in the order of their rows.
    order = np.argsort(graph.context.passages, kind="stable")
    entities = graph.context.entities[order].astype(np.int64)
    starts = np.searchsorted(graph.context.passages[order], np.arange(1, len(cuts)))
    mentioned = np.split(entities, starts)
    hasher = TokenHasher()
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(cuts), _BLOCK)]
    named = [find_entities(graph.dictionary, hasher, cuts[b], mentioned[b]) for b in blocks]
    return SentenceSource(join_entities(named), store.vectors_of(hashes, embedder.fingerprint))


def sentence_hashes(passages: Sequence[Passage]) -> list[str]:
    """Hashes of the sentences of all passages, under which their vectors are kept."""
    return [_key(sentence) for passage in passages for sentence in cut_sentences(passage)]


def _key(sentence: str) -> str:
    return content_hash("sentence", sentence)
