"""A cross-encoder on onnxruntime: reads question and text together, and scores the pair.

It takes the folders of sentence-transformers' CrossEncoder: BERT-like and RoBERTa-like weights are
built into a graph as embedders' are; of other models an export in onnx/model.onnx is run as it is.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.encoder import CHUNK, Encoder, clean, open_session, read_tokenizer, run
from graphmem.embedding.model_folder import (
    first_position,
    read_config,
    read_max_tokens,
    read_settings,
)
from graphmem.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_WEIGHTS, _EXPORT = "model.safetensors", "onnx/model.onnx"
_UNBOUNDED = 512  # tokens that an export reads where its folder does not say


class CrossEncoder:
    """Scores pairs with a model that ends in a classifier with one label.

    A pair that is too long is cut as the tokenizer's own settings say: both texts, the longer one
    first, unless it names another way. Nothing is loaded before the first score.

    Args:
        path: A folder with config.json, tokenizer.json, and model.safetensors (BERT-like or
            RoBERTa-like) or onnx/model.onnx (any kind).
    """

    def __init__(self, path: str | Path) -> None:
        """Read the folder's settings, not its weights.

        Raises:
            ConfigError: The folder holds no cross-encoder that can be run.
        """
        self._path = Path(path)
        config = read_config(self._path, _WEIGHTS, _EXPORT)
        _require_classifier(self._path, config)
        self._encoder: Encoder | None = None
        if (self._path / _WEIGHTS).is_file():
            settings = read_settings(self._path, "classifier")
            self._encoder = Encoder(self._path, settings)
            self._max_tokens = settings.max_tokens
        else:
            room = int(config.get("max_position_embeddings") or _UNBOUNDED)
            self._max_tokens = read_max_tokens(
                self._path, room - first_position(config, self._path)
            )
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path only."""
        return CrossEncoder, (self._path,)

    @cached_property
    def fingerprint(self) -> str:
        """Name of the folder, length, and a hash of all that decides the scores."""
        key = self._encoder.key if self._encoder else self._export_key()
        return f"cross-encoder:{self._path.resolve().name}:{self._max_tokens}:{key[:12]}"

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The classifier's outputs (logits), float32 [len(texts)].

        Raises:
            ModelError: The model cannot be built or run, or gives no number.
        """
        scores = np.empty(len(texts), np.float32)
        if not texts:
            return scores
        with self._lock:  # one of several threads loads
            session, tokenizer = self._session, self._tokenizer
        asked = clean(question)
        for start in range(0, len(texts), CHUNK):
            pairs = [(asked, clean(text)) for text in texts[start : start + CHUNK]]
            try:
                entries = tokenizer.encode_batch_fast(pairs)
            except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
                raise ModelError(f"{self._path}: cannot cut the pair ({error})") from error
            for row, entry in enumerate(entries, start):
                scores[row] = self._logit(session, entry)
        return scores

    def _logit(self, session: Any, entry: Encoding) -> float:
        columns = {
            "input_ids": entry.ids,
            "token_type_ids": entry.type_ids,
            "attention_mask": [1] * len(entry.ids),
        }
        feeds = {}
        for wanted in session.get_inputs():
            if wanted.name not in columns:
                raise ModelError(f"{self._path / _EXPORT}: unknown input '{wanted.name}'")
            whole = np.int32 if "int32" in wanted.type else np.int64
            feeds[wanted.name] = np.array([columns[wanted.name]], whole)
        logits = run(session, feeds)
        if logits.size != 1 or not np.isfinite(logits).all():
            raise ModelError(
                f"{self._path}: expected one number for a pair, the model gave {logits.tolist()}"
            )
        return float(logits.ravel()[0])

    @cached_property
    def _session(self) -> Any:
        if self._encoder:
            return self._encoder.session
        return open_session(self._path / _EXPORT, None, optimise=True)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer, own = read_tokenizer(self._path / "tokenizer.json")
        tokenizer.enable_truncation(
            self._max_tokens,
            strategy=own.get("strategy", "longest_first"),
            direction=own.get("direction", "right"),
        )
        return tokenizer

    def _export_key(self) -> str:
        """Hash of the exported graph, weights that lie beside it, tokenizer and length."""
        files = sorted((self._path / "onnx").glob("model.onnx*"))
        parts = [f"{file.name}={weights.remembered_sha256(file)}" for file in files]
        parts += [weights.sha256(self._path / "tokenizer.json"), str(self._max_tokens)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _require_classifier(folder: Path, config: dict[str, Any]) -> None:
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if kinds and not kinds[0].endswith("ForSequenceClassification"):
        raise ConfigError(
            f"{folder}: {kinds[0]} is no cross-encoder; expected one that ends in"
            " ForSequenceClassification (an embedder reranks as maxsim:FOLDER)"
        )
    labels = config.get("id2label") or {}
    if len(labels) > 1:
        raise ConfigError(f"{folder}: {len(labels)} labels; expected a cross-encoder with one")
