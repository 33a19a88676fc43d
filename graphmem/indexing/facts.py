"""Extractions to facts with a vector for every phrase and fact."""

from __future__ import annotations

from collections.abc import Sequence

from graphmem.base.text import content_hash
from graphmem.graph.fact_graph import FactTable, assemble_facts, fact_text
from graphmem.graph.synonymy import Synonyms
from graphmem.indexing.vectors import embed_missing
from graphmem.protocols import Embedder, Progress
from graphmem.storage.fact_columns import FactSource
from graphmem.storage.store import Store
from graphmem.types import Extraction


def gather_facts(
    store: Store,
    extractions: Sequence[Extraction],
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
    known: Synonyms | None = None,
) -> FactSource | None:
    """The facts of all passages, with a vector for every phrase and fact; None without facts.

    Args:
        store: Keeps the vectors, by content.
        extractions: P extractions in row order.
        embedder: Makes the vectors.
        workers: Processes that embed; None is one for each core.
        tell: Told of every batch as stage "facts", then of stage "synonymy".
        known: Near phrases of the live snapshot, which are not searched again.

    Raises:
        ModelError: The embedder failed.
        StorageError: The store cannot be written.
    """
    table = assemble_facts(extractions)
    if table is None:
        return None
    texts = _texts(table)
    text_of = dict(texts)
    hashes = [digest for digest, _ in texts]
    phrases = len(table.phrases)
    embed_missing(store, text_of, embedder, workers, lambda done, total: tell("facts", done, total))
    fingerprint = embedder.fingerprint
    return FactSource(
        table,
        store.vectors_of(hashes[:phrases], fingerprint),
        store.vectors_of(hashes[phrases:], fingerprint),
        lambda done, total: tell("synonymy", done, total),
        known,
    )


def fact_hashes(extractions: Sequence[Extraction]) -> list[str]:
    """Hashes of the phrases and facts of all passages, under which their vectors are kept."""
    table = assemble_facts(extractions)
    return [] if table is None else [digest for digest, _ in _texts(table)]


def _texts(table: FactTable) -> list[tuple[str, str]]:
    """Hash and text of every phrase, then of every fact."""
    phrases = [table.phrases[row] for row in range(len(table.phrases))]
    facts = [fact_text(table.triple(row)) for row in range(len(table.predicates))]
    return [
        *((content_hash("phrase", text), text) for text in phrases),
        *((content_hash("fact", text), text) for text in facts),
    ]
