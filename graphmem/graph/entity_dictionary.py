"""Linking names to text: a dictionary of entity names, matched longest first over tokens.

A name is known by the running hash of its tokens, so that a dictionary is three sorted arrays
that can be mapped from disk, and all positions of many texts are matched at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graphmem.base.text import compatible, normalise_token, sentence_spans, token_spans

# An odd multiplier (2^64 / golden ratio) makes the running hash depend on the order of tokens.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """The tokens of N texts, one after the other, T in all.

    Attributes:
        hashes: Stable hash of every normalised token, uint64 [T].
        marked: Whether it can begin a name: a capital or a digit in it, or a script without case;
            bool [T].
        initial: Whether it is the first of its sentence, bool [T].
        offsets: Text i has the tokens offsets[i] to offsets[i + 1], int64 [N + 1].
    """

    hashes: NDArray[np.uint64]
    marked: NDArray[np.bool_]
    initial: NDArray[np.bool_]
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """M names found, in order of place.

    Attributes:
        starts: First token, int64 [M].
        lengths: Number of tokens, int64 [M].
        names: Place in the dictionary, int64 [M].
        entities: Entity row, int64 [M].
        small: Place in the dictionary of all that spells a name in small letters, so that it does
            not count, int64 [L].
        small_starts: Its first token, int64 [L].
        small_lengths: Its number of tokens, int64 [L].
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    names: NDArray[np.int64]
    entities: NDArray[np.int64]
    small: NDArray[np.int64]
    small_starts: NDArray[np.int64]
    small_lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EntityDictionary:
    """Names as running hashes, sorted for binary search.

    Attributes:
        prefixes: Hashes of all beginnings of names, the names included, uint64 [B], sorted.
        names: Hashes of the N names, uint64 [N], sorted.
        rows: Entity row of each of `names`, int32 [N]; several can be forms of one.
        proper: Whether the corpus writes each of `names` as a name more often than in small
            letters, bool [N].
        lettered: Whether each has a letter, and is no number or day, bool [N].
    """

    prefixes: NDArray[np.uint64]
    names: NDArray[np.uint64]
    rows: NDArray[np.int32]
    proper: NDArray[np.bool_]
    lettered: NDArray[np.bool_]

    def find(self, names: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The place of each hash among `names`, -1 where it is missing, int64."""
        return _find(self.names, names)

    def pick(self, places: NDArray[np.int64]) -> EntityDictionary:
        """Those of the names that stand at some places, ascending."""
        # Beginnings of names that are left out lead to no name, and do no harm.
        return EntityDictionary(
            self.prefixes,
            self.names[places],
            self.rows[places],
            self.proper[places],
            self.lettered[places],
        )

    def joined(self, other: EntityDictionary) -> EntityDictionary:
        """The names of both, which have none in common.

        >>> both = build_dictionary(["ada"]).joined(build_dictionary(["bo"]))
        >>> both.knows(TokenHasher(), "Ada"), both.knows(TokenHasher(), "Bo")
        (True, True)
        """
        places = np.searchsorted(self.names, other.names)
        prefixes = other.prefixes[_find(self.prefixes, other.prefixes) < 0]
        return EntityDictionary(
            np.insert(self.prefixes, np.searchsorted(self.prefixes, prefixes), prefixes),
            np.insert(self.names, places, other.names),
            np.insert(self.rows, places, other.rows),
            np.insert(self.proper, places, other.proper),
            np.insert(self.lettered, places, other.lettered),
        )

    def knows(self, hasher: TokenHasher, name: str) -> bool:
        """Whether it holds a name, however that is written.

        >>> build_dictionary(["ada lovelace"]).knows(TokenHasher(), "Ada Lovelace")
        True
        """
        running = np.zeros(1, dtype=np.uint64)
        text = compatible(name)
        for start, end in token_spans(text):
            value, _ = hasher.token(text[start:end])
            running = _extend(running, np.array([value], dtype=np.uint64))
            if _find(self.prefixes, running)[0] < 0:
                return False
        return bool(_find(self.names, running)[0] >= 0)

    def select(self, new_rows: NDArray[np.int32]) -> EntityDictionary:
        """The names of some entities, with other rows.

        Args:
            new_rows: The new row of each of E entities, -1 where it is left out, int32 [E].

        >>> found = build_dictionary(["ada", "bo"]).select(np.array([-1, 0], dtype=np.int32))
        >>> found.knows(TokenHasher(), "Ada"), found.knows(TokenHasher(), "Bo"), found.rows.tolist()
        (False, True, [0])
        """
        rows = new_rows[self.rows]
        return replace(self, rows=rows).pick(np.flatnonzero(rows >= 0))


@dataclass(slots=True)
class TokenHasher:
    """Turns texts into token columns and remembers the tokens it has seen.

    Attributes:
        most: So many at once; half a million take some 60 MB.
    """

    most: int = 1 << 19
    _seen: dict[str, tuple[int, bool]] = field(default_factory=dict)

    def token(self, surface: str) -> tuple[int, bool]:
        """Stable 64-bit hash of the normalised token, and whether it can begin a name."""
        known = self._seen.get(surface)
        if known is None:
            known = _token_hash(normalise_token(surface)), not surface.islower()
            if len(self._seen) >= self.most:
                self._seen.clear()
            self._seen[surface] = known
        return known

    def columns(self, texts: Sequence[str]) -> TokenColumns:
        """Tokens of the texts, with the marks that decide what counts as a name.

        >>> columns = TokenHasher().columns(["He met Ada. She left."])
        >>> columns.marked.tolist(), columns.initial.tolist()
        ([True, False, True, True, False], [True, False, False, True, False])
        """
        hashes: list[int] = []
        marked: list[bool] = []
        initial: list[bool] = []
        offsets = [0]
        for text in map(compatible, texts):
            spans = token_spans(text)
            for start, end in spans:
                value, mark = self.token(text[start:end])
                hashes.append(value)
                marked.append(mark)
            starts = np.array([start for start, _ in spans], dtype=np.int64)
            first = np.zeros(len(spans) + 1, dtype=np.bool_)
            first[np.searchsorted(starts, [start for start, _ in sentence_spans(text)])] = True
            initial.extend(first[:-1].tolist())
            offsets.append(len(hashes))
        return TokenColumns(
            np.array(hashes, dtype=np.uint64),
            np.array(marked, dtype=np.bool_),
            np.array(initial, dtype=np.bool_),
            np.array(offsets, dtype=np.int64),
        )


def build_dictionary(names: Sequence[str]) -> EntityDictionary:
    """Dictionary over normalised names; the entity row of a name is its place in `names`.

    All are taken to be proper.

    >>> dictionary = build_dictionary(["ada", "ada lovelace"])
    >>> len(dictionary.names), len(dictionary.prefixes)
    (2, 2)
    """
    split = [name.split(" ") for name in names]
    lengths = np.array([len(words) for words in split], dtype=np.int64)
    seen = {word: _token_hash(word) for words in split for word in words}
    hashes = np.array([seen[word] for words in split for word in words], dtype=np.uint64)
    starts = np.cumsum(lengths) - lengths
    running = np.zeros(len(split), dtype=np.uint64)
    complete = np.zeros(len(split), dtype=np.uint64)
    prefixes = []
    alive = np.arange(len(split))
    depth = 0
    while alive.size:
        running[alive] = _extend(running[alive], hashes[starts[alive] + depth])
        prefixes.append(np.unique(running[alive]))
        depth += 1
        ended = lengths[alive] == depth
        complete[alive[ended]] = running[alive[ended]]
        alive = alive[~ended]
    order = np.argsort(complete, kind="stable")
    return EntityDictionary(
        np.unique(np.concatenate(prefixes)) if prefixes else np.zeros(0, dtype=np.uint64),
        complete[order],
        order.astype(np.int32),
        np.ones(order.size, dtype=np.bool_),
        np.array([any(map(str.isalpha, name)) for name in names], dtype=np.bool_)[order],
    )


NO_NAMES: Final = build_dictionary(())


def _token_hash(token: str) -> int:
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _extend(running: NDArray[np.uint64], token: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed: NDArray[np.uint64] = (running + np.uint64(1)) * _MULTIPLIER
    return (mixed ^ (mixed >> np.uint64(29))) + token


def _find(table: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Index of each wanted value in the sorted table, -1 where it is missing."""
    if not table.size:
        return np.full(wanted.shape, -1, dtype=np.int64)
    index = np.searchsorted(table, wanted)
    index[index == table.size] = 0
    return np.where(table[index] == wanted, index, -1)


def find_names(
    dictionary: EntityDictionary,
    columns: TokenColumns,
    known: NDArray[np.int64] | None = None,
    *,
    initial_counts: bool = False,
    proper_counts: bool = False,
) -> Matches:
    """Find names in texts, leftmost and longest first, without overlap.

    A match counts if it has two or more tokens, one of them marked; or one marked token inside a
    sentence; or if the extractor found this name in this text.

    Args:
        dictionary: The names.
        columns: The texts.
        known: Sorted keys text * N + entity of what the extractor found, int64 [K].
        initial_counts: Take one marked token at the start of a sentence as a name too.
        proper_counts: Take proper names too, however they are written.
    """
    count = columns.hashes.size
    entities = dictionary.rows.size
    sizes = np.diff(columns.offsets)
    text_of = np.repeat(np.arange(sizes.size), sizes)
    left = np.repeat(columns.offsets[1:], sizes) - np.arange(count)
    marks = np.concatenate([[0], np.cumsum(columns.marked)])
    single = columns.marked if initial_counts else columns.marked & ~columns.initial
    best = np.zeros(count, dtype=np.int64)
    chosen = np.zeros(count, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    small, small_starts, small_lengths = [nothing], [nothing], [nothing]
    alive = np.arange(count)
    running = np.zeros(count, dtype=np.uint64)
    depth = 0
    while alive.size:
        running = _extend(running, columns.hashes[alive + depth])
        going = _find(dictionary.prefixes, running) >= 0
        alive, running = alive[going], running[going]
        depth += 1
        name = _find(dictionary.names, running)
        ends = name >= 0
        place, name = alive[ends], name[ends]
        marked = marks[place + depth] > marks[place]
        counts = single[place] if depth == 1 else marked
        if known is not None and known.size:
            key = text_of[place] * entities + dictionary.rows[name]
            slot = np.minimum(np.searchsorted(known, key), known.size - 1)
            counts = counts | (known[slot] == key)
        unsaid = ~(counts | marked)
        small.append(name[unsaid])
        small_starts.append(place[unsaid])
        small_lengths.append(np.full(small[-1].size, depth))
        if proper_counts:
            counts = counts | dictionary.proper[name]
        best[place[counts]] = depth
        chosen[place[counts]] = name[counts]
        further = left[alive] > depth
        alive, running = alive[further], running[further]
    starts = np.flatnonzero(best)
    starts = without_overlap(starts, best[starts])
    found = chosen[starts]
    return Matches(
        starts,
        best[starts],
        found,
        dictionary.rows[found].astype(np.int64),
        np.concatenate(small),
        np.concatenate(small_starts),
        np.concatenate(small_lengths),
    )


def without_overlap(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of spans in order of their starts, the starts of those that no earlier one reaches into."""
    kept = []
    free = 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if start >= free:
            kept.append(start)
            free = start + length
    return np.array(kept, dtype=np.int64)
