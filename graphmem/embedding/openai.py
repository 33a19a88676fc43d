"""Embeddings from a server that speaks OpenAI's API: OPENAI_BASE_URL, OPENAI_API_KEY."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.base.counts import counted
from graphmem.errors import ConfigError, MissingExtraError, ModelError
from graphmem.protocols import TextKind

_TEXTS_PER_CALL = 128
_TOKENS_PER_CALL = 200_000  # the API refuses above 300,000


class OpenAIEmbedder:
    """Embeds by calls to `/embeddings`; nothing is called or imported before the first of them.

    Args:
        model: The model's name at the server.
        max_tokens: How many tokens of a text the model reads.
        timeout: Seconds for one call.
        max_retries: Further tries after a failed call, with growing pauses or the server's
            Retry-After.
    """

    def __init__(
        self,
        model: str,
        *,
        max_tokens: int = 8191,
        timeout: float = 60.0,
        max_retries: int = 5,
    ) -> None:
        """Keep the settings."""
        if not model:
            raise ConfigError("the embedding model needs a name: openai:MODEL")
        self._settings = (model, max_tokens, timeout, max_retries)
        self._model = model
        self._timeout = timeout
        self._max_retries = max_retries
        self.max_tokens = max_tokens

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only, never the key."""
        return _rebuild, self._settings

    @property
    def fingerprint(self) -> str:
        """The model's name; the server is trusted to serve one model by one name."""
        return f"openai:{self._model}:{self.max_tokens}"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An upper estimate, for the model's tokenizer is not here.

        A third of the ASCII characters and twice the others: ordinary English has 4 characters to
        a token and other scripts 0.5 to 3 characters; only noise such as random digits can pass
        it.
        """
        return [_estimate(text) for text in texts]

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Unit vectors, float32 [len(texts), d]; [0, 0] without texts, d being unknown.

        Raises:
            MissingExtraError: The openai library is not installed.
            ModelError: The server did not answer after all tries, or in the wrong shape.
        """
        found = [self._call(batch) for batch in _batches([self._cut(text) for text in texts])]
        if len({part.shape[1] for part in found}) > 1:
            raise self._failure("vectors of different lengths")
        return np.concatenate(found) if found else np.zeros((0, 0), np.float32)

    def _cut(self, text: str) -> str:
        """What surely fits the model's length; the API refuses empty texts, so those are a space.

        A text whose estimate is too long keeps as many characters as the estimate lets through.
        """
        text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")
        if _estimate(text) > self.max_tokens:
            low, high = 0, len(text)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (
                    (middle, high) if _estimate(text[:middle]) <= self.max_tokens else (low, middle)
                )
            text = text[:low]
        return text if text.strip() else " "

    @cached_property
    def _client(self) -> Any:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(
                "OpenAI embeddings need the openai library: pip install 'graphmem[openai]'"
            ) from error
        if not os.environ.get("OPENAI_API_KEY") and not os.environ.get("OPENAI_BASE_URL"):
            raise ModelError(
                f"{self._model}: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
            )
        return openai.OpenAI(
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            timeout=self._timeout,
            max_retries=self._max_retries,
        )

    def _call(self, batch: list[str]) -> NDArray[np.float32]:
        """Unit vectors of one batch, float32 [len(batch), d]."""
        client = self._client
        import openai

        try:
            answer = client.embeddings.create(
                model=self._model, input=batch, encoding_format="float"
            )
        except openai.OpenAIError as error:
            raise self._failure(_reason(error)) from None  # its context could hold the key
        except ValueError as error:  # an answer that is not JSON, or holds no data
            raise self._failure(f"an unreadable answer ({error})") from None
        try:
            rows = sorted(answer.data, key=lambda row: row.index)
            indices = [row.index for row in rows]
            vectors = np.array([row.embedding for row in rows], np.float64)
        except (AttributeError, TypeError, ValueError) as error:
            raise self._failure(f"an answer in the wrong shape ({error})") from None
        if indices != list(range(len(batch))):
            raise self._failure(
                f"{counted(len(rows), 'vector')} for {len(batch)} texts, or wrong indices"
            )
        if vectors.ndim != 2 or vectors.shape[1] == 0 or not np.isfinite(vectors).all():
            raise self._failure("vectors that are empty or not finite")
        norms = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        if not norms.all():
            raise self._failure("a vector of zeros")
        unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
        return unit

    def _failure(self, cause: str) -> ModelError:
        key = os.environ.get("OPENAI_API_KEY")
        return ModelError(f"{self._model}: {cause.replace(key, '***') if key else cause}")


def _rebuild(model: str, max_tokens: int, timeout: float, max_retries: int) -> OpenAIEmbedder:
    return OpenAIEmbedder(model, max_tokens=max_tokens, timeout=timeout, max_retries=max_retries)


def _reason(error: Exception) -> str:
    """What went wrong in one line: the kind of error, its words, and what lies behind it."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return " ".join(f"{type(error).__name__}: {error}{cause}".split())[:500]


def _estimate(text: str) -> int:
    ascii_characters = sum(map(str.isascii, text))
    return -(-ascii_characters // 3) + 2 * (len(text) - ascii_characters) + 2


def _batches(texts: list[str]) -> Iterator[list[str]]:
    """Cut into calls of at most 128 texts and 200,000 estimated tokens."""
    batch: list[str] = []
    room = _TOKENS_PER_CALL
    for text in texts:
        size = _estimate(text)
        if batch and (len(batch) == _TEXTS_PER_CALL or size > room):
            yield batch
            batch, room = [], _TOKENS_PER_CALL
        batch.append(text)
        room -= size
    if batch:
        yield batch
