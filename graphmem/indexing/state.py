"""What a snapshot of a store is assembled from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphmem.base.text import content_hash
from graphmem.storage.store import Store


@dataclass(frozen=True, slots=True)
class State:
    """What a snapshot of a store is assembled from.

    Attributes:
        made_with: Fingerprints of extractor and embedder.
        settings: Words by which they can be loaded again, and what else belongs to the index.
        waiting: Hashes of the texts that are not extracted: their passages are left out.
        failed: Ids of passages that could not be, with their errors.
        content: Hash of all this and of all passages.
    """

    made_with: Mapping[str, str]
    settings: Mapping[str, str]
    waiting: Sequence[str]
    failed: Mapping[str, str]
    content: str

    @property
    def manifest(self) -> dict[str, Any]:
        """What of it stands in the manifest of a snapshot."""
        return {**self.made_with, **dict(sorted(self.settings.items())), "content": self.content}

    def mark(self, store: Store) -> None:
        """Record in the store that a snapshot of this is live, where it holds all passages."""
        if self.waiting:
            store.forget_assembled()
        else:
            made_with = self.made_with
            store.mark_assembled(self.content, made_with["extractor"], made_with["embedder"])

    @property
    def complete(self) -> str | None:
        """The extractor's fingerprint where only what it has extracted goes in."""
        return self.made_with["extractor"] if self.waiting else None


def state_of(store: Store, waiting: Sequence[str] | None = None, *, whole: bool = False) -> State:
    """What a snapshot of a store would be assembled from now.

    Args:
        store: The store.
        waiting: Hashes of its texts that are not extracted, where they are known already.
        whole: Read all passages, also those that have not changed since the last snapshot.
    """
    meta = store.meta()
    made_with = {name: meta[name] for name in ("extractor", "embedder")}
    settings = {name: meta[name] for name in meta.keys() - {"format", *made_with}}
    if waiting is None:
        waiting = store.unextracted(made_with["extractor"], whole=whole)
    failed = store.failures(made_with["extractor"]) if waiting else {}
    passages = store.content(whole=whole)
    content = content_hash(
        passages, *made_with.values(), *sorted(settings.values()), *waiting, *failed
    )
    return State(made_with, settings, waiting, failed, content)
