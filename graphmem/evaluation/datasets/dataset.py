"""A data set: passages, and questions with their gold passages; our own JSONL, in and out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import regex

from graphmem.base.text import content_hash
from graphmem.errors import DataError, StorageError
from graphmem.sources.files import read_objects, read_records
from graphmem.sources.records import Place
from graphmem.types import Passage

SCOPE = "scope"
"""Name of the field that says within what (a conversation) a question may look."""

_HOPS = regex.compile(r"^([1-9])[ -]?hop")


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question whose gold passages are known.

    Attributes:
        id: Unique in its data set.
        text: The question.
        gold: Ids of the passages that it needs.
        answers: Accepted answers; none where the data set has none.
        type: Kind of question in the data set's own words, "" where unknown.
        hops: How many passages have to be joined; 0 where unknown.
        scope: Only passages of this scope count, "" for all.
        grades: How much a gold passage matters where not 1, for nDCG.
        metadata: Further fields, JSON values.
    """

    id: str
    text: str
    gold: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    type: str = ""
    hops: int = 0
    scope: str = ""
    grades: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Passages and judged questions, as read: `checks.check_dataset` says whether they fit.

    Attributes:
        name: Short, for tables and folders.
        passages: All passages, in the order of the source, which means nothing.
        questions: All questions.
        notes: What the reader left out or changed.
    """

    name: str
    passages: tuple[Passage, ...]
    questions: tuple[JudgedQuestion, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def content(self) -> str:
        """Hash of all passages and questions, whatever their order."""
        return content_hash(passages_hash(self.passages), questions_hash(self.questions))

    @cached_property
    def scopes(self) -> dict[str, tuple[Passage, ...]]:
        """Passages by scope, {"": all} where no question has one."""
        if not any(question.scope for question in self.questions):
            return {"": self.passages}
        scopes: dict[str, list[Passage]] = {q.scope: [] for q in self.questions}
        for passage in self.passages:
            scopes.setdefault(scope_of(passage), []).append(passage)
        if "" in {question.scope for question in self.questions}:
            scopes[""] = list(self.passages)
        return {scope: tuple(passages) for scope, passages in scopes.items()}

    def limited(self, questions: int) -> Dataset:
        """The same with its first questions only; the corpus stays whole."""
        return replace(self, questions=self.questions[:questions])


def scope_of(passage: Passage) -> str:
    """The scope of a passage, "" where it has none."""
    return str(passage.metadata.get(SCOPE, ""))


def passages_hash(passages: Iterable[Passage]) -> str:
    """Hash of passages, whatever their order."""
    lines = sorted(json.dumps(_passage_record(p), sort_keys=True) for p in passages)
    return content_hash(*lines)


def questions_hash(questions: Iterable[JudgedQuestion]) -> str:
    """Hash of questions and all that is known of them, whatever their order."""
    lines = sorted(json.dumps(question_record(q), sort_keys=True) for q in questions)
    return content_hash(*lines)


def hops_of(type_: str, gold: Sequence[str]) -> int:
    """Hops of a question whose data set does not say: as its type is called, or its gold passages.

    >>> hops_of("3hop1", ["a", "b"]), hops_of("bridge", ["a", "b"])
    (3, 2)
    """
    match = _HOPS.match(type_)
    return int(match[1]) if match else len(set(gold))


def read_own(folder: Path, name: str = "", scope: str = SCOPE) -> Dataset:
    """Read corpus.jsonl and questions.jsonl (each also .gz) of a folder.

    Args:
        folder: The folder.
        name: Name of the data set; the folder's where it is "".
        scope: Field of passages and questions that says within what a question may look.

    Raises:
        DataError: A file is missing, or a line is malformed; says which and what was expected.
    """
    corpus = _existing(folder, "corpus.jsonl")
    questions = _existing(folder, "questions.jsonl")
    passages = tuple(_with_scope(p, scope) for p in read_records([corpus]) if p.text)
    judged = tuple(_read_question(r, place, scope) for place, r in read_objects(str(questions)))
    return Dataset(name or folder.resolve().name, passages, judged)


def write_own(dataset: Dataset, folder: Path, source: str = "") -> None:
    """Write corpus.jsonl, questions.jsonl and meta.json; each appears whole or not at all.

    Raises:
        StorageError: The folder cannot be written.
    """
    meta = {
        "name": dataset.name,
        "source": source,
        "passages": len(dataset.passages),
        "questions": len(dataset.questions),
        "notes": list(dataset.notes),
    }
    write_lines(folder / "corpus.jsonl", map(_passage_record, dataset.passages))
    write_lines(folder / "questions.jsonl", map(question_record, dataset.questions))
    write_text(folder / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1) + "\n")


def write_lines(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSONL file whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    write_text(file, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def write_text(file: Path, text: str | Iterable[str]) -> None:
    """Write a file whole or not at all, and the folders above it.

    Raises:
        StorageError: It cannot be written.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", errors="replace") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
        part.replace(file)
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror or error}") from error


def question_record(question: JudgedQuestion) -> dict[str, Any]:
    """A question as a line of questions.jsonl; what is unknown is left out."""
    record: dict[str, Any] = {
        "id": question.id,
        "question": question.text,
        "answers": list(question.answers),
        "gold": list(question.gold),
    }
    optional = {
        "type": question.type,
        "hops": question.hops,
        SCOPE: question.scope,
        "grades": dict(question.grades),
        "metadata": dict(question.metadata),
    }
    return record | {name: value for name, value in optional.items() if value}


def read_question(record: Mapping[str, Any], place: Place) -> JudgedQuestion:
    """The question of a line of questions.jsonl.

    Raises:
        DataError: A field is missing or has the wrong type.
    """
    return _read_question(record, place, SCOPE)


_KNOWN = {"id", "_id", "question", "text", "answers", "answer", "gold", "type", "hops", "grades"}


def _read_question(record: Mapping[str, Any], place: Place, scope: str) -> JudgedQuestion:
    name = record.get("id", record.get("_id"))
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise place.error("expected 'id', a string or an integer")
    text = record.get("question", record.get("text"))
    if not isinstance(text, str) or not text.strip():
        raise place.error("expected 'question', a string that is not blank")
    gold = strings(record.get("gold", []), "gold", place)
    type_ = str(record.get("type") or "")
    hops = record.get("hops") or hops_of(type_, gold)
    if isinstance(hops, bool) or not isinstance(hops, int):
        raise place.error("'hops' must be an integer")
    grades = record.get("grades") or {}
    if not isinstance(grades, dict) or not all(isinstance(n, int) for n in grades.values()):
        raise place.error("'grades' must be an object of integers")
    return JudgedQuestion(
        id=str(name),
        text=text.strip(),
        gold=gold,
        answers=strings(record.get("answers", record.get("answer", [])), "answers", place),
        type=type_,
        hops=hops,
        scope=str(record.get(scope) or ""),
        grades=grades,
        metadata=dict(record.get("metadata") or {})
        | {key: record[key] for key in record if key not in _KNOWN | {scope, "metadata"}},
    )


def strings(value: Any, name: str, place: Place) -> tuple[str, ...]:
    """A string, a number or a list of them, as strings without repeats.

    Raises:
        DataError: It is something else.
    """
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise place.error(f"{name!r} must be a list of strings")
    return tuple(dict.fromkeys(map(str, items)))


def _existing(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    if not folder.is_dir():
        raise DataError("no such folder", str(folder))
    raise DataError(f"expected {name} or {name}.gz in this folder", str(folder))


def _with_scope(passage: Passage, field_: str) -> Passage:
    if field_ == SCOPE or field_ not in passage.metadata:
        return passage
    return replace(passage, metadata={**passage.metadata, SCOPE: str(passage.metadata[field_])})


def _passage_record(passage: Passage) -> dict[str, Any]:
    record: dict[str, Any] = {"id": passage.id, "title": passage.title, "text": passage.text}
    return record | ({"metadata": dict(passage.metadata)} if passage.metadata else {})
