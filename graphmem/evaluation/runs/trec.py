"""Question files in, TREC runs out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from graphmem.errors import DataError, StorageError
from graphmem.sources.files import read_objects
from graphmem.types import Hit, Passage, Ranking

if TYPE_CHECKING:
    from graphmem.memory import GraphMemory, Preset
    from graphmem.protocols import Progress

TAG = "graphmem"
_BATCH = 512


@dataclass(frozen=True, slots=True)
class Question:
    """One line of a question file."""

    id: str
    text: str


def read_questions(path: str) -> list[Question]:
    """Read {"id", "question"} or BEIR's {"_id", "text"}, one JSON object a line.

    Raises:
        DataError: A line is malformed, an id comes twice, or there is no question.
    """
    questions: dict[str, Question] = {}
    for place, record in read_objects(path):
        name = record.get("id", record.get("_id"))
        text = record.get("question", record.get("text"))
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            raise place.error("expected 'id' (or '_id'), a string or an integer")
        if not isinstance(text, str) or not text.strip():
            raise place.error("expected 'question' (or 'text'), a string that is not blank")
        if str(name) in questions:
            raise place.error(f"question id {name!r} comes twice")
        questions[str(name)] = Question(str(name), text)
    if not questions:
        raise DataError("no question in it", path)
    return list(questions.values())


def source_id(passage: Passage) -> str:
    """The id that the corpus gave: of the record, where the passage is a piece of a long one.

    >>> source_id(Passage("d1#2", "…", document="d1", position=2))
    'd1'
    """
    is_piece = passage.id == f"{passage.document}#{passage.position}"
    return passage.document if is_piece else passage.id


def search_all(
    memory: GraphMemory,
    questions: Sequence[Question],
    k: int,
    preset: Preset,
    progress: Progress,
    *,
    records: bool = False,
) -> Iterator[Ranking]:
    """Search batch by batch, so that progress can be told.

    Args:
        memory: Where to search.
        questions: What to ask.
        k: How many hits, or with `records` how many records, for each question.
        preset: How to rank.
        progress: Told of every batch.
        records: Pieces of one record count once: go as deep as k different records need.
    """
    for start in range(0, len(questions), _BATCH):
        batch = [question.text for question in questions[start : start + _BATCH]]
        for text, ranking in zip(batch, memory.search(batch, k, preset), strict=True):
            depth = k
            while records and len(ranking.hits) == depth and len(_best_pieces(ranking)) < k:
                depth *= 4
                ranking = memory.search(text, depth, preset)
            yield ranking
        progress("search", start + len(batch), len(questions))


def _best_pieces(ranking: Ranking) -> dict[str, Hit]:
    """The first hit of every record, best record first."""
    best: dict[str, Hit] = {}
    for hit in ranking.hits:
        best.setdefault(source_id(hit.passage), hit)
    return best


def run_lines(question_id: str, ranking: Ranking, k: int) -> list[str]:
    """Lines of a TREC run: question, Q0, passage, rank, score, tag; white space in ids as %20.

    Pieces of one long record count once, at the rank of the best.

    Args:
        question_id: Id of the question.
        ranking: Its hits.
        k: How many lines at most.
    """
    return [
        f"{_column(question_id)} Q0 {_column(name)} {rank} {hit.score:.9g} {TAG}"
        for rank, (name, hit) in enumerate(list(_best_pieces(ranking).items())[:k], start=1)
    ]


def write_run(
    path: Path, questions: Sequence[Question], rankings: Iterable[Ranking], k: int
) -> int:
    """Write a TREC run; the file appears whole or not at all.

    Returns:
        Number of lines.

    Raises:
        StorageError: The file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with part.open("w", encoding="utf-8") as stream:
            for question, ranking in zip(questions, rankings, strict=True):
                lines = run_lines(question.id, ranking, k)
                count += len(lines)
                stream.writelines(f"{line}\n" for line in lines)
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing is left either
            part.unlink(missing_ok=True)
    return count


def _column(name: str) -> str:
    return regex.sub(r"\s", "%20", name)
