"""Linking a question to the entities that it names, however it is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphmem.mentions import EntityDictionary, TokenHasher, find_names
from graphmem.text import tokens

_SHOUTED = 3  # words; shorter questions in capitals may be abbreviations


@dataclass(frozen=True, slots=True)
class Linked:
    """What a question names, and what it asks about that.

    Attributes:
        entities: Rows of the distinct entities, int64 [a], sorted.
        rest: The tokens that belong to no name.
    """

    entities: NDArray[np.int64]
    rest: str


def link_question(dictionary: EntityDictionary, hasher: TokenHasher, question: str) -> Linked:
    """Find the names in a question.

    Names are recognised by their capitals. A question without capitals inside, or with nothing
    else, tells by them nothing: there the names count that the corpus writes as names more often
    than in small letters.
    """
    if _is_shouted(question):
        question = question.lower()
    columns = hasher.columns([question])
    found = find_names(
        dictionary, columns, initial_counts=True, proper_counts=not _has_inner_capitals(question)
    )
    named = np.zeros(columns.hashes.size + 1, dtype=np.int64)
    np.add.at(named, found.starts, 1)
    np.add.at(named, found.starts + found.lengths, -1)
    words = zip(tokens(question), np.cumsum(named)[:-1], strict=True)
    return Linked(np.unique(found.entities), " ".join(word for word, inside in words if not inside))


def _is_shouted(question: str) -> bool:
    """Whether it is written in capitals throughout."""
    return question.isupper() and len(question.split()) >= _SHOUTED


def _has_inner_capitals(question: str) -> bool:
    """Whether it has a capital that is not its first letter.

    >>> [_has_inner_capitals(q) for q in ("Who was ada?", "who was Ada?", "¿who?")]
    [False, True, False]
    """
    letters = [letter for letter in question if letter.isalpha()]
    return any(letter != letter.lower() for letter in letters[1:])
