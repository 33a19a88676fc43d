"""The border of every embedder: what it answers is checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.base.counts import counted
from graphmem.errors import ModelError
from graphmem.protocols import Embedder, TextKind

_UNIT = 1e-3
"""What a length may differ from 1 before the vector is scaled: half precision differs by less."""
_SHOWN = 60


def checked_vectors(
    embedder: Embedder, texts: Sequence[str], kind: TextKind = "passage", width: int | None = None
) -> NDArray[np.float32]:
    """Embed texts, and refuse what could not be searched.

    Args:
        embedder: Any, also one that is not ours.
        texts: n texts.
        kind: What they are.
        width: Length of the vectors that these must fit; None where nothing is known.

    Returns:
        Unit vectors, float32 [n, d]. Vectors of another length are scaled to 1.

    Raises:
        ModelError: They are not n vectors of finite numbers with a direction, or of another width;
            names the first text that it is about, and the embedder. Or the embedder's own.

    >>> from graphmem.embedding.hashing import HashingEmbedder
    >>> checked_vectors(HashingEmbedder(8), ["Ada", "Bo"]).shape
    (2, 8)
    """
    if not texts:
        return np.zeros((0, width or 0), dtype=np.float32)
    answer = embedder.embed(texts, kind)
    try:
        found = np.asarray(answer)
    except ValueError as error:  # rows of different lengths
        raise _refused(embedder, texts[0], f"no array of vectors ({error})") from error
    if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
        raise _refused(
            embedder,
            texts[0],
            f"an array of shape {found.shape} for {counted(len(texts), 'text')}, expected "
            f"[{len(texts)}, {width or 'd'}]",
        )
    if found.dtype.kind not in "fiu":
        raise _refused(embedder, texts[0], f"an array of {found.dtype}, expected float32")
    if width is not None and found.shape[1] != width:
        raise _wrong_width(embedder, texts[0], found.shape[1], width)
    with np.errstate(over="ignore"):  # too large for float32 is not finite
        vectors = np.ascontiguousarray(found, dtype=np.float32)
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise _refused(embedder, texts[int(bad.argmax())], "a vector that is not finite")
    lengths = np.sqrt(np.vecdot(vectors, vectors, dtype=np.float64))
    bad = lengths == 0
    if bad.any():
        raise _refused(
            embedder, texts[int(bad.argmax())], "a vector of zeros, which is near to nothing"
        )
    other = np.abs(lengths - 1) > _UNIT
    if other.any():
        vectors = vectors.copy()  # the embedder may keep what it gave
        vectors[other] = vectors[other] / lengths[other, None]
    return vectors


def check_width(
    embedder: Embedder, text: str, vectors: NDArray[np.float32], width: int | None
) -> None:
    """Refuse vectors that do not fit those that are there.

    Args:
        embedder: What made them.
        text: The first of their texts.
        vectors: float32 [n, d].
        width: Length of those that are there; None where there are none.

    Raises:
        ModelError: Their length is another.
    """
    if width is not None and vectors.shape[1] != width:
        raise _wrong_width(embedder, text, vectors.shape[1], width)


def _wrong_width(embedder: Embedder, text: str, found: int, width: int) -> ModelError:
    return _refused(
        embedder, text, f"a vector of {found} numbers, the others of this index have {width}"
    )


def _refused(embedder: Embedder, text: str, cause: str) -> ModelError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return ModelError(f"embedder {embedder.fingerprint}: gave {cause}, for the text {shown!r}")
