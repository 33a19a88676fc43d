"""Late interaction: every word of the question looks for its like among the words of a text.

MaxSim of ColBERT (Khattab and Zaharia 2020, arXiv 2004.12832, section 3.3), over the token vectors
of any sentence-transformers embedder. ColBERT's own additions (a projection, marks for question
and passage, masks that lengthen the question) are not applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.bert_graph import unit
from graphmem.embedding.encoder import Encoder
from graphmem.embedding.model_folder import read_settings
from graphmem.embedding.onnx import DEFAULT, PUBLISHED


class MaxSimReranker:
    """Scores a text by the mean over the question's tokens of the best cosine with one of its own.

    Args:
        path: A sentence-transformers folder, as for embedders; None is the default model.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Read the folder's settings, not its weights.

        Raises:
            ConfigError: The folder holds no model that can be run.
        """
        self._path = None if path is None else Path(path)
        self._settings = DEFAULT if self._path is None else read_settings(self._path)
        self._encoder = Encoder(self._path or PUBLISHED, self._settings)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path only."""
        return MaxSimReranker, (self._path,)

    @property
    def fingerprint(self) -> str:
        """Name, length, and a hash of weights and tokenizer."""
        name, length = self._settings.name, self._settings.max_tokens
        return f"maxsim:{name}:{length}:{self._encoder.key[:12]}"

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the best cosines, float32 [len(texts)], -1..1.

        Raises:
            ModelError: The model cannot be fetched, built or run.
        """
        scores = np.empty(len(texts), np.float32)
        if not texts:
            return scores
        prompts = self._settings.prompts
        ((_, (asked,)),) = self._encoder.each([prompts.get("question", "") + question], unit)

        def best(states: NDArray[np.float32]) -> list[float]:
            # Not BLAS, as in retriever.py: it changes the rounding.
            cosines = [np.einsum("qd,td->qt", asked, words) for words in unit(states)]
            return [float(similarity.max(axis=1).mean()) for similarity in cosines]

        read = [prompts.get("passage", "") + text for text in texts]
        for rows, found in self._encoder.each(read, best):
            scores[rows] = found
        return scores
