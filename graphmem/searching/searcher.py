"""What every way of searching is: questions in, traces out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from graphmem.searching.trace import Trace
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.weighted import weighed

Config = TypeVar("Config", contravariant=True)
NO_ROWS: NDArray[np.int64] = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Asked:
    """A block of q questions that are ranked together over P passages.

    Attributes:
        questions: The questions.
        vectors: Their unit vectors, float32 [q, d].
        cosines: With all passages, float32 [q, P].
    """

    questions: Sequence[str]
    vectors: NDArray[np.float32]
    cosines: NDArray[np.float32]


class Searcher(Protocol[Config]):
    """Scores all passages for questions; a block shares work, never results.

    Threads may share it.
    """

    def trace(self, asked: Asked, config: Config) -> list[Trace]:
        """A trace for every question, in their order.

        Raises:
            ModelError: A model that it asks failed.
        """
        ...


class DenseSearcher:
    """By vectors alone: the score is the cosine."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Take the index."""
        self._snapshot = snapshot

    def trace(self, asked: Asked, config: Any) -> list[Trace]:
        """Score all passages."""
        prior = self._snapshot.prior
        both = zip(asked.questions, asked.cosines, strict=True)
        return [Trace(q, "dense", weighed(cosine, prior), NO_ROWS) for q, cosine in both]
