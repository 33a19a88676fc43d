"""The learned words of passages: their columns in a snapshot, and how near a question is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graphmem.base.layout import SPARSE
from graphmem.embedding.sparse import SETTING, WordWeights
from graphmem.storage.bm25 import require_scores

_COLUMNS: Final = ("indptr", "passages", "weights")
_WORD: Final = np.dtype([("word", "<i4"), ("weight", "<f4")])


class SparseIndex:
    """Which of P passages have which of W learned words, and what these weigh there.

    Attributes:
        indptr: Word w has the entries indptr[w] to indptr[w + 1], int64 [W + 1].
        passages: Rows, ascending for each word, int32 [Z].
        weights: float32 [Z].
    """

    def __init__(
        self,
        indptr: NDArray[np.int64],
        passages: NDArray[np.int32],
        weights: NDArray[np.float32],
        count: int,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Take the columns.

        Args:
            indptr: As above.
            passages: As above.
            weights: As above.
            count: Number of passages.
            rows: Those of these passages that count; None is all.
        """
        self.indptr, self.passages, self.weights = indptr, passages, weights
        self._count = count
        self._rows = rows

    @classmethod
    def build(cls, texts: Iterable[WordWeights]) -> SparseIndex:
        """The columns of the words of P passages, in the order of their rows."""
        found = list(texts)
        words = np.concatenate([np.zeros(0, np.int32), *(each.words for each in found)])
        weights = np.concatenate([np.zeros(0, np.float32), *(each.weights for each in found)])
        ends = np.cumsum([0, *(each.words.size for each in found)])
        width = int(words.max(initial=-1)) + 1
        columns = csr_array((weights, words, ends), shape=(len(found), width)).tocsc()
        return cls(
            columns.indptr.astype(np.int64),
            columns.indices.astype(np.int32),
            columns.data,
            len(found),
        )

    def select(self, rows: NDArray[np.int64]) -> SparseIndex:
        """The same of some passages."""
        kept = rows if self._rows is None else self._rows[rows]
        return SparseIndex(self.indptr, self.passages, self.weights, self._count, kept)

    def scores(self, question: WordWeights) -> NDArray[np.float32]:
        """Product of the question's weights with those of every passage, float32 [P].

        Raises:
            StorageError: The columns are damaged.

        >>> one, two = np.array([1, 3], dtype=np.int32), np.array([0.5, 2.0], dtype=np.float32)
        >>> index = SparseIndex.build([WordWeights(one, two), WordWeights(one[1:], two[:1])])
        >>> index.scores(WordWeights(one, two)).tolist()
        [4.25, 1.0]
        """
        scores = np.zeros(self._count, dtype=np.float32)
        # Word by word: a passage's sum has the same order, whatever else is scored.
        for word, weight in zip(question.words.tolist(), question.weights, strict=True):
            if word < self.indptr.size - 1:
                part = slice(*self.indptr[word : word + 2].tolist())
                scores[self.passages[part]] += weight * self.weights[part]
        require_scores(scores, SPARSE)
        return scores if self._rows is None else scores[self._rows]


def write_sparse(snapshot: Path, texts: Iterable[WordWeights]) -> None:
    """Write the columns into a folder of the snapshot that is being written."""
    folder = snapshot / SPARSE
    folder.mkdir()
    index = SparseIndex.build(texts)
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", getattr(index, name), allow_pickle=False)


def read_sparse(
    manifest: Mapping[str, Any], array: Callable[[str], NDArray[Any]]
) -> SparseIndex | None:
    """The learned words of a snapshot; None where it keeps none.

    Args:
        manifest: Of the snapshot.
        array: Gives the column of a name, mapped from disk.
    """
    if SETTING not in manifest:
        return None
    indptr, passages, weights = (array(f"{SPARSE}/{name}") for name in _COLUMNS)
    return SparseIndex(indptr, passages, weights, manifest["passages"])


def pack_words(found: WordWeights) -> bytes:
    """The words of one text as the store keeps them.

    >>> found = WordWeights(np.array([7], dtype=np.int32), np.array([0.5], dtype=np.float32))
    >>> unpack_words(pack_words(found)).words.tolist()
    [7]
    """
    rows = np.empty(found.words.size, dtype=_WORD)
    rows["word"], rows["weight"] = found.words, found.weights
    return rows.tobytes()


def unpack_words(data: bytes) -> WordWeights:
    """What `pack_words` packed.

    Raises:
        ValueError: It is something else.
    """
    rows = np.frombuffer(data, dtype=_WORD)
    words, weights = rows["word"].astype(np.int32), rows["weight"].astype(np.float32)
    if (
        not (np.diff(words, prepend=-1) > 0).all()
        or not (np.isfinite(weights) & (weights > 0)).all()
    ):
        raise ValueError("no words that rise, with weights above 0")
    return WordWeights(words, weights)
