"""Vectors of texts that are no passages: embed what has none yet, and commit batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.checked import check_width, checked_vectors
from graphmem.indexing.workers import compute_texts
from graphmem.protocols import Embedder
from graphmem.storage.store import Store

BATCH = 256
"""Texts embedded and committed at once; they are short."""
_FEW = 8 * BATCH


def embed_missing(
    store: Store,
    text_of: Mapping[str, str],
    embedder: Embedder,
    workers: int | None,
    tell: Callable[[int, int], None],
) -> None:
    """Bring the vectors of all texts into the store.

    Args:
        store: Keeps the vectors, by content.
        text_of: Texts by their content hash.
        embedder: Makes the vectors.
        workers: Processes that embed; None is one for each core.
        tell: Told of every batch: how many are done, of how many that had no vector.

    Raises:
        ModelError: The embedder failed, or gave what cannot be searched; nothing of that is kept.
        StorageError: The store cannot be written.
    """
    missing = store.missing_vectors(list(text_of), embedder.fingerprint)
    width = store.width(embedder.fingerprint)
    results = compute_texts(
        *(_embed, (None, embedder), text_of, missing, tell),
        size=BATCH,
        few=_FEW,
        workers=workers,
    )
    with closing(results):
        for batch, vectors in results:
            check_width(embedder, text_of[batch[0]], vectors, width)
            width = vectors.shape[1]
            store.save_vectors(batch, embedder.fingerprint, vectors)


def _embed(models: tuple[None, Embedder], texts: Sequence[str]) -> NDArray[np.float32]:
    return checked_vectors(models[1], texts)
