"""The sentences of passages: how they are cut, their entities, and their columns in a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.base.columns import VectorRows, write_vectors
from graphmem.base.layout import SENTENCES
from graphmem.base.text import sentence_spans
from graphmem.graph.entity_dictionary import EntityDictionary, TokenHasher, find_names
from graphmem.graph.entity_graph import entries_of_rows
from graphmem.types import Passage

SETTING: Final = "sentences"
"""Setting of an index that keeps its sentences; its value is `RULE`."""
RULE: Final = "sentences:1"
"""Version of `cut_sentences` and `find_entities`: columns made by another are not read."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """The s sentences of one passage.

    Attributes:
        vectors: Unit vectors, float32 [s, d].
        entities: Rows of the entities in them, sentence by sentence, int32 [m].
        starts: Sentence i has entities[starts[i]:starts[i + 1]]; int64 [s + 1].
    """

    vectors: NDArray[np.float32]
    entities: NDArray[np.int32]
    starts: NDArray[np.int64]

    def holding(self, entity: int) -> list[int]:
        """Numbers of the sentences that name an entity, from the first on."""
        places = np.flatnonzero(self.entities == entity)
        numbers: list[int] = (np.searchsorted(self.starts, places, side="right") - 1).tolist()
        return numbers

    def entities_of(self, number: int) -> list[int]:
        """Rows of the entities that a sentence names, ascending."""
        rows: list[int] = self.entities[self.starts[number] : self.starts[number + 1]].tolist()
        return rows


@dataclass(frozen=True, slots=True)
class SentenceEntities:
    """Which entities the S sentences of P passages name.

    Attributes:
        sentences: Passage p has the sentences sentences[p] to sentences[p + 1]; int64 [P + 1].
        entities: Entity rows, sentence by sentence, int32 [m].
        starts: Sentence i has entities[starts[i]:starts[i + 1]]; int64 [S + 1].
    """

    sentences: NDArray[np.int64]
    entities: NDArray[np.int32]
    starts: NDArray[np.int64]

    def rows(self, passage: int) -> slice:
        """Numbers of the sentences of one passage."""
        first, end = self.sentences[passage : passage + 2].tolist()
        return slice(first, end)

    def of(self, passage: int, vectors: NDArray[np.float32]) -> Sentences:
        """The sentences of one passage, which have these vectors, float32 [s, d]."""
        rows = self.rows(passage)
        starts = self.starts[rows.start : rows.stop + 1]
        named = self.entities[starts[0] : starts[-1]]
        return Sentences(vectors, named, starts - starts[0])


@dataclass(frozen=True, slots=True)
class SentenceSource:
    """What the columns are written from: entities, and S unit vectors, float32 [d] each."""

    named: SentenceEntities
    vectors: Iterable[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SentenceColumns:
    """The columns of a snapshot: entities, and S unit vectors."""

    named: SentenceEntities
    vectors: VectorRows

    def of(self, passage: int) -> Sentences:
        """The sentences of the passage of one row."""
        rows = self.named.rows(passage)
        return self.named.of(passage, self.vectors.take(np.arange(rows.start, rows.stop)))

    def joined(self, other: SentenceColumns) -> SentenceColumns:
        """The sentences of these passages and then of others, with the same entities."""
        return SentenceColumns(
            join_entities([self.named, other.named]),
            VectorRows((*self.vectors.blocks, *other.vectors.blocks)),
        )


def cut_sentences(passage: Passage) -> list[str]:
    r"""The sentences of a passage, one or more, the title before the first.

    >>> cut_sentences(Passage("1", "Ada met Bo. She left.", "Ada"))
    ['Ada\nAda met Bo.', 'She left.']
    """
    spans = sentence_spans(passage.text)
    sentences = [passage.text[start:end] for start, end in spans] or [passage.text]
    if passage.title:
        sentences[0] = f"{passage.title}\n{sentences[0]}"
    return sentences


def find_entities(
    dictionary: EntityDictionary,
    hasher: TokenHasher,
    cuts: Sequence[Sequence[str]],
    mentioned: Sequence[NDArray[np.int64]],
) -> SentenceEntities:
    """Which of a passage's entities each of its sentences names.

    Args:
        dictionary: The names of all entities.
        hasher: Of their tokens.
        cuts: The sentences of p passages.
        mentioned: Entity rows of each passage, ascending, int64.

    >>> from graphmem.graph.entity_dictionary import build_dictionary
    >>> names, rows = build_dictionary(["ada", "bo"]), [np.arange(2)]
    >>> found = find_entities(names, TokenHasher(), [["Ada met Bo.", "She left.", "Bo."]], rows)
    >>> found.sentences.tolist(), found.entities.tolist(), found.starts.tolist()
    ([0, 3], [0, 1, 1], [0, 2, 2, 3])
    """
    sentences = np.cumsum([0, *map(len, cuts)], dtype=np.int64)
    count, entities = int(sentences[-1]), dictionary.rows.size
    own = [rows for cut, rows in zip(cuts, mentioned, strict=True) for _ in cut]
    keys = [number * entities + rows for number, rows in enumerate(own)]
    known = np.concatenate([*keys, np.zeros(0, dtype=np.int64)])
    columns = hasher.columns([sentence for cut in cuts for sentence in cut])
    found = find_names(dictionary, columns, known)
    numbers = np.searchsorted(columns.offsets, found.starts, side="right") - 1
    named = np.intersect1d(numbers * entities + found.entities, known)
    starts = np.searchsorted(named, np.arange(count + 1) * entities)
    return SentenceEntities(sentences, (named % max(entities, 1)).astype(np.int32), starts)


def join_entities(parts: Sequence[SentenceEntities]) -> SentenceEntities:
    """Those of the passages of all parts, one part after the other."""
    return SentenceEntities(
        _joined([part.sentences for part in parts]),
        np.concatenate([part.entities for part in parts]),
        _joined([part.starts for part in parts]),
    )


def _joined(starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Where everything starts that each part counts from 0."""
    return _starts(np.concatenate([np.diff(part) for part in starts]))


def select_sentences(
    columns: SentenceColumns, rows: NDArray[np.int64], new_entities: NDArray[np.int32]
) -> SentenceColumns:
    """The sentences of some passages.

    Args:
        columns: Of all passages.
        rows: n of these, int64 [n].
        new_entities: The new row of each of E entities, int32 [E].
    """
    named = columns.named
    cut, places = entries_of_rows(named.sentences, rows)
    counts, entries = entries_of_rows(named.starts, places)
    entities = new_entities[named.entities[entries]]
    ascending = entities[np.lexsort((entities, np.repeat(np.arange(places.size), counts)))]
    return SentenceColumns(
        SentenceEntities(_starts(cut), ascending, _starts(counts)), columns.vectors.pick(places)
    )


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where everything starts of which there is so much, and the end, int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def write_sentences(snapshot: Path, source: SentenceSource) -> None:
    """Write the columns into a folder of the snapshot that is being written."""
    folder = snapshot / SENTENCES
    folder.mkdir()
    named = source.named
    write_vectors(folder / "vectors.npy", source.vectors, named.starts.size - 1)
    np.save(folder / "sentences.npy", named.sentences)
    np.save(folder / "entities.npy", named.entities)
    np.save(folder / "starts.npy", named.starts)


def read_sentences(
    manifest: Mapping[str, Any], array: Callable[[str], NDArray[Any]]
) -> SentenceColumns | None:
    """The sentences of a snapshot; None where it has none, or has them by another rule.

    Args:
        manifest: Of the snapshot.
        array: Gives the column of a name, mapped from disk.

    Raises:
        ValueError: The columns do not fit together.
    """
    if manifest.get(SETTING) != RULE:
        return None
    columns = (array(f"{SENTENCES}/{name}") for name in ("sentences", "entities", "starts"))
    named, vectors = SentenceEntities(*columns), VectorRows((array(f"{SENTENCES}/vectors"),))
    _check_starts(named.sentences, manifest["passages"], len(vectors))
    _check_starts(named.starts, len(vectors), named.entities.size)
    if named.entities.size and not 0 <= named.entities.min() <= named.entities.max() < int(
        manifest["entities"]
    ):
        raise ValueError("an entity that does not exist")
    return SentenceColumns(named, vectors)


def _check_starts(starts: NDArray[np.int64], count: int, end: int) -> None:
    """Refuse numbers that do not rise from 0 to `end` in `count` steps.

    Raises:
        ValueError: They do not.
    """
    if (
        starts.shape != (count + 1,)
        or starts[0]
        or starts[-1] != end
        or (np.diff(starts) < 0).any()
    ):
        raise ValueError(f"no {count} rising numbers from 0 to {end}")
