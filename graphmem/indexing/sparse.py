"""Passages to learned words, for an index that keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final

from graphmem.base.counts import counted
from graphmem.embedding.sparse import SparseEncoder, WordWeights, recorded_sparse
from graphmem.errors import ModelError
from graphmem.indexing.state import State
from graphmem.indexing.workers import compute_texts
from graphmem.protocols import Progress
from graphmem.storage.rows import text_hash
from graphmem.storage.store import Store
from graphmem.types import Passage

STAGE: Final = "sparse"
"""Under this name progress is told."""
BATCH: Final = 64
"""Passages weighed and committed at once."""
_FEW: Final = 4 * BATCH


def weigh_missing(
    store: Store,
    state: State,
    passages: Sequence[Passage],
    read: Sequence[str],
    workers: int | None,
    tell: Progress,
    *,
    compute: bool = True,
) -> Iterator[WordWeights] | None:
    """The learned words of all passages; those of a text that was weighed before are kept.

    Args:
        store: Keeps them, by content.
        state: Of the store.
        passages: P passages in row order.
        read: The text of each, as it is embedded.
        workers: Processes that weigh; None is one for each core.
        tell: Told of every batch as stage "sparse".
        compute: Weigh what is missing; else that is an error.

    Returns:
        None where the index keeps none.

    Raises:
        ModelError: The encoder failed, or something is missing that must not be.
        StorageError: The store cannot be written.
    """
    encoder = recorded_sparse(state.settings)
    if encoder is None:
        return None
    hashes = [text_hash(passage) for passage in passages]
    text_of = dict(zip(hashes, read, strict=True))
    name = encoder.fingerprint
    missing = store.missing_words(list(text_of), name)
    if missing and not compute:
        raise ModelError(f"the store lacks learned words of {counted(len(missing), 'text')}")
    results = compute_texts(
        *(_weigh, (None, encoder), text_of, missing, partial(tell, STAGE)),
        size=BATCH,
        few=_FEW,
        workers=workers,
    )
    with closing(results):
        for batch, found in results:
            store.save_words(batch, name, found)
    return store.words_of(hashes, name)


def _weigh(models: tuple[None, SparseEncoder], texts: Sequence[str]) -> list[WordWeights]:
    return models[1].encode(texts)
