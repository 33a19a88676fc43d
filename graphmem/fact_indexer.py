"""Extractions to facts with vectors: embed what has no vector yet, and commit batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from graphmem.fact_columns import FactSource
from graphmem.facts import assemble_facts, fact_text
from graphmem.protocols import Embedder, Progress
from graphmem.store import Store
from graphmem.synonymy import Synonyms
from graphmem.text import content_hash
from graphmem.types import Extraction
from graphmem.workers import compute_batches

BATCH = 256
"""Phrases or facts embedded and committed at once; they are short."""
_FEW = 8 * BATCH


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
    phrases = [table.phrases[row] for row in range(len(table.phrases))]
    facts = [fact_text(table.triple(row)) for row in range(len(table.predicates))]
    hashes = [
        *(content_hash("phrase", text) for text in phrases),
        *(content_hash("fact", text) for text in facts),
    ]
    _embed_missing(store, hashes, [*phrases, *facts], embedder, workers, tell)
    fingerprint = embedder.fingerprint
    return FactSource(
        table,
        store.vectors_of(hashes[: len(phrases)], fingerprint),
        store.vectors_of(hashes[len(phrases) :], fingerprint),
        lambda done, total: tell("synonymy", done, total),
        known,
    )


def _embed_missing(
    store: Store,
    hashes: Sequence[str],
    texts: Sequence[str],
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
) -> None:
    text_of = dict(zip(hashes, texts, strict=True))
    missing = store.missing_vectors(hashes, embedder.fingerprint)
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    tell("facts", 0, len(missing))
    done = 0
    results = compute_batches(
        _embed,
        (None, embedder),
        batches,
        lambda batch: [text_of[digest] for digest in batch],
        1 if len(missing) < _FEW else workers,
    )
    with closing(results):
        for batch, vectors in results:
            store.save_vectors(batch, embedder.fingerprint, vectors)
            done += len(batch)
            tell("facts", done, len(missing))


def _embed(models: tuple[None, Embedder], texts: Sequence[str]) -> NDArray[np.float32]:
    return models[1].embed(texts, "passage")
