"""Question files in, TREC runs out and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphmem.errors import DataError, StorageError
from graphmem.evaluation.datasets.trec_ids import TrecIds
from graphmem.sources.files import read_objects
from graphmem.types import Hit, Passage, Ranking

if TYPE_CHECKING:
    from graphmem.memory import GraphMemory, Preset
    from graphmem.protocols import Progress
    from graphmem.storage.filters import Filter

TAG = "graphmem"
_BATCH = 512
_TINY = np.finfo(np.float32).tiny  # what is nearer to 0 is 0 where subnormal numbers are flushed
_LARGEST = float(np.finfo(np.float32).max)


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
    filter: Filter | None = None,
) -> Iterator[Ranking]:
    """Search batch by batch, so that progress can be told.

    Args:
        memory: Where to search.
        questions: What to ask.
        k: How many hits, or with `records` how many records, for each question.
        preset: How to rank.
        progress: Told of every batch.
        records: Pieces of one record count once: go as deep as k different records need.
        filter: As for `GraphMemory.search`.
    """
    for start in range(0, len(questions), _BATCH):
        batch = [question.text for question in questions[start : start + _BATCH]]
        rankings = memory.search(batch, k, preset, filter=filter)
        for text, ranking in zip(batch, rankings, strict=True):
            depth = k
            while records and len(ranking.hits) == depth and len(best_pieces(ranking.hits)) < k:
                depth *= 4
                ranking = memory.search(text, depth, preset, filter=filter)
            yield ranking
        progress("search", start + len(batch), len(questions))


def best_pieces(hits: Iterable[Hit]) -> dict[str, Hit]:
    """The first hit of every record by its `source_id`, best record first."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(source_id(hit.passage), hit)
    return best


def falling_scores(scores: Iterable[float]) -> Iterator[str]:
    """Scores as text, strictly falling also for programs that read them as 32-bit floats.

    trec_eval orders by score, as a 32-bit float, and equal scores by id, whatever the ranks say.
    So a score that does not fall is moved to the next smaller 32-bit number, and nine digits
    tell any two of these apart. All others stay as they are.

    Args:
        scores: Of one question, in the order of the ranking; finite as 32-bit floats.

    Raises:
        ValueError: One is not finite.

    >>> list(falling_scores([0.5, 0.5, 0.25, 0.75]))
    ['0.5', '0.49999997', '0.25', '0.249999985']
    """
    last = np.float32(np.inf)
    for score in scores:
        if not abs(score) <= _LARGEST:
            raise ValueError(f"a score of a TREC run must be a finite 32-bit number, not {score}")
        text = f"{score:.9g}"
        value = np.float32(text)
        if abs(value) < _TINY:
            value = np.float32(0)
        if value >= last:
            value = np.nextafter(last, np.float32(-np.inf))
            if abs(value) < _TINY:
                value = np.float32(0) if last > 0 else -_TINY
            text = f"{value:.9g}"
        yield text
        last = value


def write_ranked(path: Path, ranked: Iterable[tuple[str, Sequence[tuple[str, float]]]]) -> int:
    """Write a TREC run; the file appears whole or not at all.

    A line is question, Q0, passage, rank, score, tag. Scores are those of `falling_scores`, so
    that every program ranks alike, and ids those of `trec_id`.

    Args:
        path: The file.
        ranked: Id of every question, with ids and scores of its passages, best first.

    Returns:
        Number of lines.

    Raises:
        DataError: Two ids would be the same in the file.
        StorageError: The file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    questions, passages = TrecIds("questions"), TrecIds("passages")
    count = 0
    try:
        with part.open("w", encoding="utf-8", errors="replace") as stream:
            for question, hits in ranked:
                name = questions.column(question)
                scores = falling_scores(score for _, score in hits)
                for rank, ((id_, _), score) in enumerate(zip(hits, scores, strict=True), start=1):
                    stream.write(f"{name} Q0 {passages.column(id_)} {rank} {score} {TAG}\n")
                count += len(hits)
        part.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing is left either
            part.unlink(missing_ok=True)
    return count


def write_run(
    path: Path, questions: Sequence[Question], rankings: Iterable[Ranking], k: int
) -> int:
    """Write the rankings of questions as a TREC run.

    Pieces of one long record count once, at the rank of the best.

    Args:
        path: The file.
        questions: What was asked.
        rankings: A ranking for each.
        k: How many lines of each question at most.

    Returns:
        Number of lines.

    Raises:
        DataError: Two ids would be the same in the file.
        StorageError: The file cannot be written.
    """
    return write_ranked(
        path,
        (
            (question.id, [(id_, hit.score) for id_, hit in best_pieces(ranking.hits).items()][:k])
            for question, ranking in zip(questions, rankings, strict=True)
        ),
    )


def read_run(path: Path) -> dict[str, list[str]]:
    """Passage ids of every question of a TREC run, by rank; ids as its columns hold them.

    Raises:
        DataError: The file cannot be read, or a line has not six columns with a rank and a score;
            says which.
    """
    ranked: dict[str, list[tuple[int, str]]] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", str(path)) from error
    for number, line in enumerate(lines[: -1 if lines[-1] == b"" else None], start=1):
        try:
            question, _, passage, rank, score, _ = line.decode("utf-8").split()
            place = int(rank)
            if not math.isfinite(float(score)):
                raise ValueError(score)
        except ValueError as error:
            expected = "expected six columns in UTF-8, the 4th a rank, the 5th a finite score"
            raise DataError(expected, str(path), number) from error
        ranked.setdefault(question, []).append((place, passage))
    return {question: [id_ for _, id_ in sorted(hits)] for question, hits in ranked.items()}
