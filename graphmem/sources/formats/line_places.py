"""Lines of a file for a text that was made of it and does not have them any more."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

import regex

from graphmem.sources.formats.content import Places

LARGEST = 4 << 20
"""Characters of a source above which its lines are not looked for."""

_WORD = regex.compile(r"\w+")


def line_places(source: str, text: str) -> Places:
    r"""Where the words of a text stand in the source that it was made of, by lines from 1.

    Words that both have exactly once, as far as they come in the same order, say where (the anchors
    of patience diff, B. Cohen), and the words around them that are the same in both. A place counts
    until the next: every line break of the text is one of the source.

    >>> line_places("<p>\n<b>Ada</b>\nwrote.\n\n<p>Bo slept.", "Ada wrote.\n\nBo slept.")
    [(0, {'line': 2}), (4, {'line': 3})]
    """
    if len(source) > LARGEST:
        return []
    theirs = [(found[0], found.start()) for found in _WORD.finditer(source)]
    ours = [(found[0], found.start()) for found in _WORD.finditer(text)]
    ends, breaks = _breaks(source), _breaks(text)
    places: list[tuple[int, dict[str, Any]]] = []
    shift = 0  # by how many lines source and text differ, as was said last
    for here, there in _matched(ours, theirs):
        at = ours[here][1]
        row = bisect_left(breaks, at)
        start = breaks[row - 1] + 1 if row else 0
        if here == 0 or ours[here - 1][1] < start:  # the line's first word: marks before it too
            at = start
        line = bisect_right(ends, theirs[there][1]) + 1
        if not places or line - row != shift:
            places.append((at, {"line": line}))
            shift = line - row
    return places


def _breaks(text: str) -> list[int]:
    return [at for at, char in enumerate(text) if char == "\n"]


def _matched(
    ours: Sequence[tuple[str, int]], theirs: Sequence[tuple[str, int]]
) -> list[tuple[int, int]]:
    """Positions of words in both that are one word, in order."""
    once = {word: at for at, (word, _) in enumerate(theirs)}
    counts, other = Counter(word for word, _ in ours), Counter(word for word, _ in theirs)
    anchors = [
        (here, once[word])
        for here, (word, _) in enumerate(ours)
        if counts[word] == 1 and other[word] == 1
    ]
    found: list[tuple[int, int]] = []
    chain = [*_ascending(anchors), (len(ours), len(theirs))]
    last = -1, -1
    for (here, there), (next_here, next_there) in zip(chain, chain[1:], strict=False):
        back = 1
        while (
            here - back > last[0]
            and there - back > last[1]
            and ours[here - back][0] == theirs[there - back][0]
        ):
            back += 1
        found += [(here - step, there - step) for step in range(back - 1, -1, -1)]
        while (
            here + 1 < next_here
            and there + 1 < next_there
            and ours[here + 1][0] == theirs[there + 1][0]
        ):
            here, there = here + 1, there + 1
            found.append((here, there))
        last = here, there
    return found


def _ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs, ascending by their first number, that ascends by the second too.

    >>> _ascending([(0, 9), (1, 2), (2, 4), (3, 3), (4, 7)])
    [(1, 2), (3, 3), (4, 7)]
    """
    tops: list[int] = []  # the least second number that ends a part of each length
    rows: list[int] = []  # of whose pair it is
    before: list[int] = []  # the pair before it in the part, for each pair
    for row, (_, there) in enumerate(pairs):
        length = bisect_left(tops, there)
        before.append(rows[length - 1] if length else -1)
        tops[length : length + 1] = [there]
        rows[length : length + 1] = [row]
    found, row = [], rows[-1] if rows else -1
    while row >= 0:
        found.append(pairs[row])
        row = before[row]
    return found[::-1]
