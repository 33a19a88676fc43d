"""The embedder that needs no model: hashed words, for tests and for machines without one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import tokens
from graphmem.errors import ConfigError
from graphmem.protocols import TextKind


class HashingEmbedder:
    """Feature hashing (Weinberger et al. 2009): every word adds 1 or -1 to one dimension.

    Texts are near when they share words, so it finds names but knows nothing of meaning.

    Args:
        dimensions: Length d of the vectors.

    >>> embedder = HashingEmbedder()
    >>> ada, again, bread = embedder.embed(["Ada Byron", "Byron, Ada", "rye bread"])
    >>> bool(np.isclose(ada @ again, 1)), bool(ada @ bread < 0.5)
    (True, True)
    """

    max_tokens = 1_000_000

    def __init__(self, dimensions: int = 256) -> None:
        """Check the number of dimensions."""
        if dimensions < 1:
            raise ConfigError(f"dimensions must be positive, not {dimensions}")
        self.dimensions = dimensions

    @property
    def fingerprint(self) -> str:
        """Name and number of dimensions."""
        return f"hashing:{self.dimensions}"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of words of each text."""
        return [len(tokens(text)) for text in texts]

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Unit vectors, float32 [len(texts), d]; a text without words gets a fixed direction."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for token in tokens(text)[: self.max_tokens]:
                digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).digest()
                number = int.from_bytes(digest, "little")
                vector[(number >> 1) % self.dimensions] += 1 - 2 * (number & 1)
            if not vector.any():
                vector[0] = 1
            vector /= np.sqrt(np.square(vector).sum())
        return vectors
