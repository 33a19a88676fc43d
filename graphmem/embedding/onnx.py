"""The default embedder: the states of a text's tokens, pooled into one vector.

`graphmem.embedding.encoder` runs the texts: a vector is the same bit by bit alone, in any batch and
with any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import BertShape, Precision, pooled
from graphmem.embedding.encoder import CHUNK, Encoder, Published, clean
from graphmem.embedding.model_folder import ModelSettings, read_settings
from graphmem.embedding.reference_vector import known_vector
from graphmem.errors import ConfigError
from graphmem.protocols import Progress, TextKind

DEFAULT = ModelSettings(
    weights.MINILM.model,
    BertShape(layers=6, hidden=384, heads=12, epsilon=1e-12, positions=512),
    max_tokens=256,
)
"""The default model: its package carries its configuration too, but only the two files that are
pinned by hash are taken from it."""


def _nearness(states: NDArray[np.float32]) -> float:
    return float(pooled(states, DEFAULT.shape.pooling)[0] @ known_vector())


PUBLISHED = Published(weights.MINILM, _nearness, {"fp32": 0.9999, "int8": 0.98})


class OnnxEmbedder:
    """Embeds with a sentence-transformers model of the BERT family.

    Nothing is loaded before the first call that needs it; pickling keeps the settings only.

    Args:
        path: A sentence-transformers folder; None is the default model, fetched when missing.
        precision: "fp32", or "int8" for 8-bit dense layers: about twice as fast on processors
            with 8-bit instructions (VNNI), less exact (cosine 0.98 to 0.995 with fp32).
        threads: Threads for one text; None is all cores. The vectors do not depend on it.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> None:
        """Read the folder's settings, not its weights.

        Raises:
            ConfigError: An option is out of range, or the folder holds no model that can be run.
        """
        if precision not in ("fp32", "int8"):
            raise ConfigError(f"precision must be fp32 or int8, not {precision!r}")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be positive, not {threads}")
        self._path = None if path is None else Path(path)
        self._precision: Precision = precision
        self._threads = threads
        self._settings = DEFAULT if self._path is None else read_settings(self._path)
        model = self._path or PUBLISHED
        self._encoder = Encoder(model, self._settings, precision=precision, threads=threads)

    @classmethod
    def default(cls, *, precision: Precision = "fp32", threads: int | None = None) -> OnnxEmbedder:
        """The default model, all-MiniLM-L6-v2."""
        return cls(precision=precision, threads=threads)

    def with_threads(self, threads: int | None) -> OnnxEmbedder:
        """The same embedder with another number of threads, as worker processes want."""
        return OnnxEmbedder(self._path, precision=self._precision, threads=threads)

    def fetch(self, progress: Progress | None = None) -> None:
        """Fetch the default model's files where they are missing, telling bytes.

        Raises:
            ModelError: They cannot be fetched; says what to do.
        """
        self._encoder.fetch(progress)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only."""
        return _rebuild, (self._path, self._precision, self._threads)

    @property
    def fingerprint(self) -> str:
        """Name, precision, length, pooling, and a hash of these, weights and tokenizer."""
        settings = self._settings
        return (
            f"{settings.name}:{self._precision}:{settings.max_tokens}:{settings.shape.pooling}"
            f":{self._encoder.key[:12]}"
        )

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it reads, special ones and the prompt included."""
        return self._settings.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of each text in this model's tokens, special ones included, not truncated."""
        return [
            len(entry.ids)
            for start in range(0, len(texts), CHUNK)
            for entry in self._encoder.counter.encode_batch_fast(
                [clean(text) for text in texts[start : start + CHUNK]]
            )
        ]

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Unit vectors, float32 [len(texts), d]; each depends on its own text and kind only.

        Raises:
            ModelError: The model cannot be fetched, built or run.
        """
        vectors = np.empty((len(texts), self._settings.shape.hidden), np.float32)
        prompt, pooling = self._settings.prompts.get(kind, ""), self._settings.shape.pooling
        asked = [prompt + text for text in texts]
        for rows, found in self._encoder.each(asked, lambda states: pooled(states, pooling)):
            vectors[rows] = found
        return vectors


def _rebuild(path: Path | None, precision: Precision, threads: int | None) -> OnnxEmbedder:
    return OnnxEmbedder(path, precision=precision, threads=threads)
