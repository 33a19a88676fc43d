"""The default embedder: the states of a text's tokens, pooled into one vector.

`graphmem.embedding.encoder` runs the texts: a vector is the same bit by bit alone, in any batch and
with any number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import BertShape, Precision, pooled, unit
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


def nearness(
    settings: ModelSettings, known: Callable[[], NDArray[np.float32]]
) -> Callable[[NDArray[np.float32]], float]:
    """How a graph of a model is judged: the cosine of what it makes with a known unit vector."""
    return lambda states: float(pooled(states, settings.shape.pooling)[0] @ known())


PUBLISHED = Published(
    weights.MINILM, nearness(DEFAULT, known_vector), {"fp32": 0.9999, "int8": 0.98}
)


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """An embedder that is fetched.

    Attributes:
        spec: Its name in `load_embedder`.
        settings: What decides its vectors.
        published: Where it comes from, and how it is read.
        centre: Gives what is taken off every vector of length 1 before it is scaled anew, float32
            [d]; None where nothing is.
    """

    spec: str
    settings: ModelSettings
    published: Published
    centre: Callable[[], NDArray[np.float32]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name only."""
        return fetched, (self.spec,)


MINILM = FetchedModel("default", DEFAULT, PUBLISHED)


def fetched(spec: str) -> FetchedModel:
    """An embedder that is fetched, by name: "default", "e5-small" or "bge-small"."""
    from graphmem.embedding.bge import BGE_SMALL
    from graphmem.embedding.e5 import E5_SMALL

    return {model.spec: model for model in (MINILM, E5_SMALL, BGE_SMALL)}[spec]


class OnnxEmbedder:
    """Embeds with a sentence-transformers model of the BERT family.

    Nothing is loaded before the first call that needs it; pickling keeps the settings only.

    Args:
        model: A sentence-transformers folder, or a model that is fetched when missing.
        precision: "fp32", or "int8" for 8-bit dense layers: about twice as fast on processors
            with 8-bit instructions (VNNI), less exact (cosine 0.98 to 0.995 with fp32).
        threads: Threads for one text; None is all cores. The vectors do not depend on it.
    """

    def __init__(
        self,
        model: str | Path | FetchedModel = MINILM,
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
        if isinstance(model, FetchedModel) and precision not in model.published.least:
            raise ConfigError(f"{model.settings.name} comes in no precision {precision!r}")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be positive, not {threads}")
        self._model = Path(model) if isinstance(model, str) else model
        self._precision: Precision = precision
        self._threads = threads
        self._centre: NDArray[np.float32] | None = None
        if isinstance(self._model, Path):
            source: Path | Published = self._model
            self._settings = read_settings(self._model)
        else:
            source, self._settings = self._model.published, self._model.settings
            self._centre = self._model.centre and self._model.centre()
        self._encoder = Encoder(source, self._settings, precision=precision, threads=threads)

    @classmethod
    def default(cls, *, precision: Precision = "fp32", threads: int | None = None) -> OnnxEmbedder:
        """The default model, all-MiniLM-L6-v2."""
        return cls(precision=precision, threads=threads)

    def with_threads(self, threads: int | None) -> OnnxEmbedder:
        """The same embedder with another number of threads, as worker processes want."""
        return OnnxEmbedder(self._model, precision=self._precision, threads=threads)

    def fetch(self, progress: Progress | None = None) -> None:
        """Fetch the default model's files where they are missing, telling bytes.

        Raises:
            ModelError: They cannot be fetched; says what to do.
        """
        self._encoder.fetch(progress)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only."""
        return _rebuild, (self._model, self._precision, self._threads)

    @property
    def fingerprint(self) -> str:
        """Name, precision, length, pooling, and a hash of these, weights and tokenizer.

        Of a model with a centre, the hash of this too.
        """
        settings, key = self._settings, self._encoder.key[:12]
        if self._centre is not None:
            key += f"-{hashlib.sha256(self._centre.tobytes()).hexdigest()[:8]}"
        pooling = settings.shape.pooling
        return f"{settings.name}:{self._precision}:{settings.max_tokens}:{pooling}:{key}"

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
        return vectors if self._centre is None else unit(vectors - self._centre)


def _rebuild(model: Path | FetchedModel, precision: Precision, threads: int | None) -> OnnxEmbedder:
    return OnnxEmbedder(model, precision=precision, threads=threads)
