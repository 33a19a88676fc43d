"""Linking questions to the entities that they name, however they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Final

import numpy as np
import regex
from bm25s.stopwords import STOPWORDS_EN_PLUS
from numpy.typing import NDArray

from graphmem.base.dates import find_dates
from graphmem.base.identifiers import find_identifiers, quoted_identifiers
from graphmem.base.text import compatible, normalise_token, token_spans, tokens, visible
from graphmem.graph.entity_dictionary import (
    EntityDictionary,
    Matches,
    TokenColumns,
    TokenHasher,
    find_names,
)

_ENDS = r"(?![\w-]|['’](?!s?(?!\w)))"  # a word, also before 's
_LONG_NAME = regex.compile(rf"(?<![\w'’-])\p{{Lu}}\p{{Ll}}{{6,40}}{_ENDS}")
_LONG_WORD = regex.compile(rf"(?<![\w'’-])\p{{L}}\p{{Ll}}{{6,40}}{_ENDS}")
_MAY_LACK = regex.compile(  # an apostrophe, blanks between the parts of a name, the v of a version
    r"(?<![\w'’.-])(?:[@#]?(?P<glued>\p{Lu}\p{Ll}{1,40}(?:\p{Lu}\p{Ll}{1,40}){1,4})"
    r"|(?P<version>[Vv]?\d{1,5}(?:\.\d{1,5}){1,5})"
    r"|(?P<initials>\p{Ll}(?: \p{Ll}){1,3})(?= \p{L}{2})"
    rf"|(?P<word>\p{{L}}{{4,40}})){_ENDS}"
)
_CAPITALISED = regex.compile(r"\p{Lu}\p{Ll}+")
_FRAGMENTS: Final = {"ain", "don", "ll", "ma", "re", "ve", "won", *"dmosty"}
_QUESTION_WORDS: Final = frozenset({*STOPWORDS_EN_PLUS, "whose"} - _FRAGMENTS)
"""Words of which questions are made, as `normalise_token` has them."""
_AFTER_NOUNS: Final = frozenset({"about", "by", "for", "from", "of", "on", "with"})
"""Words before which a single word at the start is what is asked for: "Film about Ada"."""
_QUOTES: Final = frozenset("\"'“”„‟‘‚‛«»‹›「『《")
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


def link_questions(
    dictionary: EntityDictionary, hasher: TokenHasher, questions: Sequence[str]
) -> list[Linked]:
    """Find the names in each of the questions.

    Names are recognised by their capitals. A capital at the start of a sentence says little: there
    a single word is a name where it is none of those that questions are made of ("Who"), and where
    the corpus writes it as one more often or nothing else is named; in quotes it is one. A question
    without capitals inside, or with nothing else, or whose capitals begin no known name ("the CEO
    of ibm"), tells by them nothing: there the names count that the corpus writes as names more
    often than in small letters.
    """
    read = [_with_days(dictionary, hasher, visible(question)) for question in questions]
    read = [question.lower() if _is_shouted(question) else question for question in read]
    linked: dict[int, Linked] = {}

    def link(places: Sequence[int], proper_counts: bool) -> None:
        part = [read[place] for place in places]
        linked.update(zip(places, _link(dictionary, hasher, part, proper_counts), strict=True))

    every = range(len(read))
    link([place for place in every if _has_inner_capitals(read[place])], False)
    link([place for place in every if place not in linked or not linked[place].entities.size], True)
    return [linked[place] for place in every]


def perhaps_mistyped(question: str) -> list[str]:
    """Its long words with a capital, or all long words where it has no capitals, each once.

    >>> perhaps_mistyped("Who built the Harowgate Bridge in Rome for Hollingwrth's wife?")
    ['Harowgate', 'Hollingwrth']
    >>> perhaps_mistyped("Harowgate bridge, who built it for hollingwrth")
    ['Harowgate', 'hollingwrth']
    """
    words = _LONG_NAME if _has_inner_capitals(question) else _LONG_WORD
    return list(dict.fromkeys(words.findall(question)))


def respellings(question: str) -> Iterator[tuple[int, int, list[str]]]:
    """Words that may be part of a name written in haste: spans [start, end), and what is meant.

    >>> [meant for _, _, meant in respellings("is j k byron sean oconnors or @AdaByron's friend")]
    [['jk'], ["o'connors", "oconnor's", "o'connor's"], ['Ada Byron']]
    >>> [meant for _, _, meant in respellings("from V2.3.1 to 2.4")]
    [['2.3.1'], ['v2.4']]
    """
    for match in _MAY_LACK.finditer(question):
        word = match["word"] or ""
        meant = []
        if match["glued"]:
            meant = [" ".join(_CAPITALISED.findall(match["glued"]))]
        elif match["version"]:
            number = match["version"].lstrip("Vv")
            meant = [number if number != match["version"] else f"v{number}"]
        elif match["initials"]:
            meant = [match["initials"].replace(" ", "")]
        elif word.lower() not in _QUESTION_WORDS:
            ends = [word, f"{word[:-1]}'s"] if word[-1] == "s" else [word]
            for end in ends:
                meant += [end, f"{end[0]}'{end[1:]}"] if end[0] in "OoDd" else [end]
        meant = [other for other in meant if other != word]
        if meant:
            yield *match.span(), meant


def one_letter_away(word: str) -> list[str]:
    """What may have been meant: one letter more, less or other, or two neighbours changed.

    The first letter is taken to be right.

    >>> {"Harrowgate", "Harogate"} <= set(one_letter_away("Harowgate"))
    True
    """
    letters = sorted({*ascii_lowercase, *word[1:].lower()})
    meant = set()
    for i in range(1, len(word) + 1):
        head, tail = word[:i], word[i:]
        meant |= {head + letter + tail for letter in letters}
        meant |= {head + letter + tail[1:] for letter in letters if tail}
        meant |= {head + tail[1:], head + tail[1:2] + tail[:1] + tail[2:]}
    return sorted(meant - {word})


def _link(
    dictionary: EntityDictionary,
    hasher: TokenHasher,
    questions: Sequence[str],
    proper_counts: bool,
) -> list[Linked]:
    columns = hasher.columns(questions)
    roles = _roles(questions, columns)
    _mark_identifiers(questions, columns)
    found = find_names(dictionary, columns, initial_counts=True, proper_counts=proper_counts)
    found = _without_question_words(dictionary, columns, found, roles)
    change = np.zeros(columns.hashes.size + 1, dtype=np.int64)
    np.add.at(change, found.starts, 1)
    np.add.at(change, found.starts + found.lengths, -1)
    named = np.cumsum(change)
    linked = []
    for question, start, end in zip(
        questions, columns.offsets[:-1], columns.offsets[1:], strict=True
    ):
        first, last = np.searchsorted(found.starts, [start, end])
        words = zip(tokens(question), named[start:end], strict=True)
        rest = " ".join(word for word, inside in words if not inside)
        linked.append(Linked(np.unique(found.entities[first:last]), rest))
    return linked


@dataclass(frozen=True, slots=True)
class _Roles:
    """What single tokens of questions are, bool [T] each.

    Attributes:
        asking: Words that questions are made of, neither in quotes nor with a capital inside.
        common: At the start and not in quotes, where a capital says little.
        noun: Of these, before a word that a noun goes with: "Film about".
    """

    asking: NDArray[np.bool_]
    common: NDArray[np.bool_]
    noun: NDArray[np.bool_]


def _roles(questions: Sequence[str], columns: TokenColumns) -> _Roles:
    """Find them; words that questions are made of do not count as written with a capital."""
    words, following, quotes = [], [], []
    for question in map(compatible, questions):
        spans = token_spans(question)
        own = [normalise_token(question[start:end]) for start, end in spans]
        words += own
        following += [*own[1:], ""][: len(own)]
        quotes += [start > 0 and question[start - 1] in _QUOTES for start, _ in spans]
    quoted = np.array(quotes, dtype=np.bool_)
    common = columns.initial & ~quoted
    function = np.array([word in _QUESTION_WORDS for word in words], dtype=np.bool_)
    columns.marked[function & common] = False
    noun = np.array([word in _AFTER_NOUNS for word in following], dtype=np.bool_)
    return _Roles(function & ~columns.marked & ~quoted, common, common & noun)


def _without_question_words(
    dictionary: EntityDictionary, columns: TokenColumns, found: Matches, roles: _Roles
) -> Matches:
    """The names without single words of a question that only look like names."""
    alone = found.lengths == 1
    asking = alone & roles.asking[found.starts]
    common = alone & roles.common[found.starts] & ~asking
    doubtful = common & (~dictionary.proper[found.names] | roles.noun[found.starts])
    question = np.searchsorted(columns.offsets, found.starts, side="right")
    named = np.isin(question, question[~asking & ~doubtful])
    kept = ~asking & ~(doubtful & named)
    return replace(
        found,
        starts=found.starts[kept],
        lengths=found.lengths[kept],
        names=found.names[kept],
        entities=found.entities[kept],
    )


def _with_days(dictionary: EntityDictionary, hasher: TokenHasher, question: str) -> str:
    """The question with the days that are known written as the dictionary has them."""
    for start, end, days in reversed(find_dates(question)):
        known = [day for day in days if dictionary.knows(hasher, day)]
        if known:
            question = f"{question[:start]}{' '.join(known)}{question[end:]}"
    return question


def _mark_identifiers(questions: Sequence[str], columns: TokenColumns) -> None:
    """Let identifiers count as names, also in small letters."""
    for row, question in enumerate(map(compatible, questions)):
        identifiers = [*find_identifiers(question), *quoted_identifiers(question)]
        if not identifiers:
            continue
        starts, ends = np.array(token_spans(question), dtype=np.int64).reshape(-1, 2).T
        marked = columns.marked[columns.offsets[row] :][: starts.size]
        for start, end in identifiers:
            marked[np.searchsorted(starts, start) : np.searchsorted(ends, end, "right")] = True


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
