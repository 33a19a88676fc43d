"""The default embedder: a BERT encoder run by onnxruntime on the processor.

Every text runs alone, without padding, so that a vector cannot depend on its neighbours. That
costs nothing. Passages a second with all-MiniLM-L6-v2 on 500 MuSiQue passages (103 tokens on
average, 2 cores), sorted by length where they are batched:

    one at a time 110, padded batches of 8 112, of 32 96     one process with two threads
    one at a time 122, padded batches of 8 120, of 32 103    two processes with one thread

Compared bit by bit there: one at a time is the same with 1, 2 and 3 threads and in any order;
padded batches were too when pooled outside the graph; batches of equal length pooled inside it
differed by 1e-7, since the mean over a batch is summed in another order.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert import Precision
from graphmem.embedding.encoder import CHUNK, DEFAULT, Encoder, clean, run
from graphmem.embedding.folder import read_settings
from graphmem.embedding.known import KNOWN_TEXT, known_vector
from graphmem.errors import ConfigError, ModelError
from graphmem.protocols import Progress, TextKind

_LEAST_COSINE: dict[Precision, float] = {"fp32": 0.9999, "int8": 0.98}


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
        self._encoder = Encoder(
            self._path,
            self._settings,
            precision=precision,
            threads=threads,
            check=self._check if self._path is None else None,
        )
        self._lock = threading.Lock()

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
        folder = weights.default_folder()
        if self._path is None and not all((folder / name).is_file() for name in weights.FILES):
            weights.fetch_default_model(progress)

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
        if not texts:
            return vectors
        with self._lock:  # one of several threads loads
            session, tokenizer = self._encoder.session, self._encoder.tokenizer
        prompt = self._settings.prompts.get(kind, "")
        for start in range(0, len(texts), CHUNK):
            chunk = [prompt + clean(text) for text in texts[start : start + CHUNK]]
            for row, entry in enumerate(tokenizer.encode_batch_fast(chunk), start):
                vectors[row] = _vector(session, entry.ids)
        return vectors

    def _check(self, session: Any) -> None:
        """Compare the default model's vector of a known sentence with the genuine one."""
        vector = _vector(session, self._encoder.tokenizer.encode(KNOWN_TEXT).ids)
        cosine = float(vector @ known_vector())
        if not cosine > _LEAST_COSINE[self._precision]:
            raise ModelError(
                f"{self._settings.name}: the graph built for this onnxruntime gives wrong vectors"
                f" (cosine {cosine:.5f} with the known one): install another onnxruntime version,"
                " or use precision fp32 if this was int8"
            )


def _rebuild(path: Path | None, precision: Precision, threads: int | None) -> OnnxEmbedder:
    return OnnxEmbedder(path, precision=precision, threads=threads)


def _vector(session: Any, ids: list[int]) -> NDArray[np.float32]:
    """The vector of one text, float32 [d]."""
    return run(session, {"ids": np.array([ids or [0]], np.int32)})
