"""Learned words: a text as weights of the words that it would be found by, its own and others.

SPLADE (Formal et al. 2021, arXiv 2107.05720, equations 1 and 6, with the maximum of SPLADE v2,
arXiv 2109.10086): a model of masked words says at every token how well each word of its vocabulary
would stand there; a word weighs log(1 + relu(its greatest logit)). Two texts are as near as the
product of their weights.

`graphmem.embedding.encoder` runs the texts: weights are the same bit by bit alone, in any batch and
with any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import BertShape
from graphmem.embedding.encoder import Encoder, Published
from graphmem.embedding.model_folder import ModelSettings, read_settings
from graphmem.embedding.reference_vector import known_words
from graphmem.errors import ModelError
from graphmem.protocols import Progress

SETTING: Final = "sparse"
"""Setting of an index that keeps learned words; its value is the encoder's fingerprint."""
SPEC: Final = "sparse_spec"
"""Setting by which the encoder can be loaded again, as `load_sparse` takes it."""
DEFAULT: Final = "splade-tiny"
"""Name of the encoder that is fetched."""
LEAST: Final = 0.1
"""What a word must weigh to be kept: below, it is mostly chance, and one in ten."""
_VERSION = "1"
"""To be raised when the same logits give other weights."""
_SHAPE = BertShape(layers=2, hidden=128, heads=2, epsilon=1e-12, positions=512, pooling="words")
_SETTINGS = ModelSettings(weights.SPLADE.model, _SHAPE, max_tokens=256)


@dataclass(frozen=True, slots=True)
class WordWeights:
    """The words of one text.

    Attributes:
        words: Their numbers in the encoder's vocabulary, ascending, int32 [n].
        weights: At least `LEAST` each, float32 [n].
    """

    words: NDArray[np.int32]
    weights: NDArray[np.float32]


def word_weights(logits: NDArray[np.float32]) -> WordWeights:
    """The words of a text by the greatest logit of each, float32 [V].

    >>> found = word_weights(np.array([-1.0, 0.0, 1.0, 0.05], dtype=np.float32))
    >>> found.words.tolist(), found.weights.round(3).tolist()
    ([2], [0.6930000185966492])
    """
    words = np.flatnonzero(logits > 0)
    # In float64: numpy's vectors of float32 may round by their place.
    found = np.log1p(logits[words].astype(np.float64)).astype(np.float32)
    kept = found >= LEAST
    return WordWeights(words[kept].astype(np.int32), found[kept])


class SparseEncoder:
    """Weighs the words of texts by a model of the BERT family with its head for masked words.

    Nothing is loaded before the first call that needs it; pickling keeps the settings only.

    Args:
        path: The model's folder; None is the default one, fetched when missing.
        threads: Threads for one text; None is all cores. The weights do not depend on it.
    """

    def __init__(self, path: Path | None = None, *, threads: int | None = None) -> None:
        """Read the folder's settings, not its weights.

        Raises:
            ConfigError: The folder holds no model that can be run.
        """
        self._path = path
        self._threads = threads
        self._settings = _SETTINGS if path is None else read_settings(path, "words")
        self._encoder = Encoder(path or _PUBLISHED, self._settings, threads=threads)

    def with_threads(self, threads: int | None) -> SparseEncoder:
        """The same encoder with another number of threads, as worker processes want."""
        return SparseEncoder(self._path, threads=threads)

    def fetch(self, progress: Progress | None = None) -> None:
        """Fetch the default model's files where they are missing, telling bytes.

        Raises:
            ModelError: They cannot be fetched; says what to do.
        """
        self._encoder.fetch(progress)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only."""
        return _rebuild, (self._path, self._threads)

    @property
    def fingerprint(self) -> str:
        """Name, length, version, and a hash of these, weights and tokenizer."""
        settings = self._settings
        return f"{settings.name}:{settings.max_tokens}:{_VERSION}:{self._encoder.key[:12]}"

    def encode(self, texts: Sequence[str]) -> list[WordWeights]:
        """The words of each text; each depends on its own text only.

        Raises:
            ModelError: The model cannot be fetched, built or run, or gives no numbers.
        """
        found: dict[int, WordWeights] = {}
        for rows, logits in self._encoder.each(texts, lambda logits: logits):
            if not np.isfinite(logits).all():
                raise ModelError(f"{self._settings.name}: the model gave what is no number")
            found |= zip(rows, map(word_weights, logits), strict=True)
        return [found[row] for row in range(len(texts))]


def _rebuild(path: Path | None, threads: int | None) -> SparseEncoder:
    return SparseEncoder(path, threads=threads)


def _nearness(logits: NDArray[np.float32]) -> float:
    """Cosine of the weights with those of the genuine model."""
    found, known = word_weights(logits[0]), known_words()
    product = sum(
        weight * known.get(word, 0.0)
        for word, weight in zip(found.words.tolist(), found.weights.tolist(), strict=True)
    )
    length = np.linalg.norm(found.weights) * np.linalg.norm(list(known.values()))
    return float(product / max(float(length), 1e-9))


_PUBLISHED = Published(weights.SPLADE, _nearness, {"fp32": 0.9999})


@lru_cache(maxsize=8)
def load_sparse(spec: str) -> SparseEncoder:
    """The encoder of a name, the same for all who ask in a process.

    Args:
        spec: `DEFAULT`, or the path of a folder.

    Raises:
        ConfigError: The folder holds no model that can be run.
    """
    return SparseEncoder(None if spec == DEFAULT else Path(spec))


def recorded_sparse(settings: Mapping[str, Any]) -> SparseEncoder | None:
    """The encoder of an index by its settings, None where it keeps no learned words.

    Raises:
        ConfigError: Its folder holds no model that can be run.
    """
    return load_sparse(str(settings[SPEC])) if SPEC in settings else None
