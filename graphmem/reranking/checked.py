"""The border of every reranker: what it answers is checked before it orders anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.base.counts import counted
from graphmem.errors import ModelError
from graphmem.protocols import Reranker

_SHOWN = 60


def checked_scores(reranker: Reranker, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Score texts for a question, and refuse what could not order them.

    Args:
        reranker: Any, also one that is not ours.
        question: The question.
        texts: n texts.

    Returns:
        float32 [n], finite.

    Raises:
        ModelError: They are not n finite numbers; names the text and the reranker. Or the
            reranker's own.

    >>> from graphmem.reranking.words import WordReranker
    >>> checked_scores(WordReranker(), "Who wrote Ulysses?", ["Bread."]).tolist()
    [0.0]
    """
    if not texts:
        return np.zeros(0, dtype=np.float32)
    answer = reranker.score(question, texts)
    try:
        with np.errstate(over="ignore"):  # too large for float32 is not finite
            scores = np.asarray(answer, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise _refused(reranker, question, f"no array of numbers ({error})") from error
    if scores.shape != (len(texts),):
        raise _refused(
            reranker,
            question,
            f"scores of shape {scores.shape} for {counted(len(texts), 'passage')}",
        )
    bad = ~np.isfinite(scores)
    if bad.any():
        raise _refused(reranker, texts[int(bad.argmax())], "a score that is not finite")
    return scores


def _refused(reranker: Reranker, text: str, cause: str) -> ModelError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ModelError(
        f"reranker {reranker.fingerprint}: gave {cause}, for the text {shown!r}; expected one "
        "finite number for each passage"
    )
