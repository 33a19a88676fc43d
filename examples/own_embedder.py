"""An embedder of your own: any object with these four members makes the vectors of an index.

python examples/own_embedder.py

This one counts pairs of letters, which shows the protocol and is no good embedder.
"""

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graphmem import GraphMemory, Passage

LETTERS = "abcdefghijklmnopqrstuvwxyz "


class LetterPairs:
    """Vectors of how often each pair of letters stands in a text."""

    # Kept in the index, which refuses any other: to be changed whenever the vectors change.
    fingerprint = "letter-pairs-1"
    max_tokens = 10_000

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of each text in characters, which are its tokens."""
        return [len(text) for text in texts]

    def embed(
        self, texts: Sequence[str], kind: Literal["passage", "question"] = "passage"
    ) -> NDArray[np.float32]:
        """A row for each text, float32 [n, 729]; graphmem scales the rows to length 1."""
        size = len(LETTERS)
        vectors = np.full((len(texts), size * size), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            places = [LETTERS.find(letter) for letter in text.lower()]
            for first, second in pairwise(place for place in places if place >= 0):
                vectors[row, first * size + second] += 1
        return vectors


def main() -> None:
    """Make an index with it, and search that."""
    with tempfile.TemporaryDirectory() as folder:
        memory = GraphMemory.open(Path(folder) / "letters.index", embedder=LetterPairs())
        memory.add(
            [
                Passage("1", "The Limmat leaves Lake Zürich and joins the Aare.", "Limmat"),
                Passage("2", "Rowing is a sport on lakes and rivers.", "Rowing"),
            ]
        )
        for hit in memory.search("Which river does the Limmat join?", k=2).hits:
            print(hit.rank, hit.passage.title, round(hit.score, 3))


if __name__ == "__main__":
    main()
