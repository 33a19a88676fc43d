"""Names of several words that a text writes in small letters: "percival fairweather came"."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from graphmem.graph.entity_dictionary import Matches, TokenColumns, without_overlap

_TIMES = 9  # as often at least has a word of a name a capital as it has none
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class SmallNames:
    """Places where a corpus has the words of a name in small letters, and how it writes the words.

    There the name is meant where each of its words has a capital nine times in ten, all other
    places taken together: of houses and of rugby most is said without one, so that a white house is
    not the White House; fairweather is a name.
    """

    _names: list[NDArray[np.int64]] = field(default_factory=lambda: [_NONE])
    _passages: list[NDArray[np.int64]] = field(default_factory=lambda: [_NONE])
    _lengths: list[NDArray[np.int64]] = field(default_factory=lambda: [_NONE])
    _words: list[NDArray[np.uint64]] = field(default_factory=lambda: [_NONE.astype(np.uint64)])
    _written: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = field(default_factory=list)

    def add(self, columns: TokenColumns, matches: Matches, passages: NDArray[np.int64]) -> None:
        """Take some more texts.

        Args:
            columns: Their tokens.
            matches: The names found in them.
            passages: Row of the passage of each text, int64 [N].
        """
        words, place = np.unique(columns.hashes, return_inverse=True)
        surplus = np.bincount(place, np.where(columns.marked, 1, -_TIMES), minlength=words.size)
        self._written.append((words, surplus.astype(np.int64)))
        # Of names that begin at one place the longest; none that is part of a name found there.
        first = np.lexsort((-matches.small_lengths, matches.small_starts))
        starts, place = np.unique(matches.small_starts[first], return_index=True)
        lengths, names = (x[first][place] for x in (matches.small_lengths, matches.small))
        reach = np.concatenate([[0], matches.starts + matches.lengths])
        outside = reach[np.searchsorted(matches.starts, starts, "right")] < starts + lengths
        kept = np.flatnonzero(outside & (lengths > 1))
        kept = kept[np.isin(starts[kept], without_overlap(starts[kept], lengths[kept]))]
        starts, lengths, names = starts[kept], lengths[kept], names[kept]
        inside = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self._names.append(names)
        self._passages.append(passages[np.searchsorted(columns.offsets, starts, "right") - 1])
        self._lengths.append(lengths)
        self._words.append(columns.hashes[np.repeat(starts, lengths) + inside])

    def meant(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where one is meant: its place in the dictionary and the passage, int64 [n] each."""
        names, passages = np.concatenate(self._names), np.concatenate(self._passages)
        if not names.size:
            return names, passages
        lengths, words = np.concatenate(self._lengths), np.concatenate(self._words)
        wanted, word = np.unique(words, return_inverse=True)
        surplus = np.zeros(wanted.size, dtype=np.int64)  # capitals, less small letters weighed
        for known, more in self._written:
            at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
            surplus += np.where(known[at] == wanted, more[at], 0)
        # What the name itself has in small letters says nothing about its words.
        of = np.repeat(np.arange(names.size), lengths)
        keys, own, times = np.unique(
            np.stack([names[of], word]), axis=1, return_inverse=True, return_counts=True
        )
        is_name = surplus[keys[1]] + _TIMES * times > 0
        proper = np.ones(names.size, dtype=np.bool_)
        np.logical_and.at(proper, of, is_name[own.reshape(-1)])
        return names[proper], passages[proper]
