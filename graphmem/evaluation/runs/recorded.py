"""The files of a results folder as typed records: written by an experiment, read by its reports.

A record's fields are the keys of its JSON. Keys that a record does not know are passed over, and
one that older versions did not write has a default: old folders go on to be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import JudgedQuestion, read_question, write_text
from graphmem.sources.files import read_objects

_RECORD_FIELDS = ("route", "error", "queries", "gold_ranks", "hits")

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a language model read and wrote."""

    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Paid(Tokens):
    """Of that, what no cache answered."""

    calls: int = 0


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What a method took of a model, whether it was paid now or answered from the cache."""

    model: str
    tokens: Tokens = Tokens()
    calls: int = 0
    cost: float = 0.0
    paid: Paid = Paid()


@dataclass(frozen=True, slots=True)
class ReaderUse(ModelUse):
    """The same of a reader, and how many passages of each ranking it was shown."""

    passages: int = 0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one question at a time; None where none was timed."""

    questions: int = 0
    median_ms: float | None = None
    p95_ms: float | None = None
    embed_median_ms: float | None = None
    search_median_ms: float | None = None


@dataclass(frozen=True, slots=True)
class IndexCosts:
    """What the indexes of one run hold and cost together.

    Attributes:
        indexes: How many, one for every scope.
        passages: In all of them, after long ones were cut.
        entities: In all of them.
        bytes: Size of what queries read.
        seconds: How long every stage took when they were made.
        whole: Whether these seconds are of builds from nothing.
        reused: Whether all were there already.
    """

    indexes: int
    passages: int
    entities: int
    bytes: int
    seconds: dict[str, float]
    whole: bool
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNumbers:
    """run.json: what a run took.

    Attributes:
        key: Hash of all that decides the run.
        dataset: Name of what was searched.
        variant: Name of how.
        seed: Of the shuffle.
        seconds: Of opening and searching; of opening alone where a model led.
        questions_per_second: All questions in batches; None where a model led.
        latency: One question at a time.
        tokens: Of all language models.
        calls: Of all language models.
        cost: Of all language models.
        index: What was searched.
        chat: The model that led the searches.
        reader: The model that answered.
        judge: The model that graded the answers.
    """

    key: str = ""
    dataset: str = ""
    variant: str = ""
    seed: int = 0
    seconds: dict[str, float]
    questions_per_second: float | None
    latency: Latency
    tokens: Tokens = Tokens()
    calls: int = 0
    cost: float = 0.0
    index: IndexCosts
    chat: ModelUse | None = None
    reader: ReaderUse | None = None
    judge: ModelUse | None = None


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """What an experiment says of one data set, and the names of the variants that ran on it."""

    name: str
    content: str
    passages: int
    questions: int
    variants: tuple[str, ...]
    path: str = ""
    format: str = ""
    limit: int = 0
    options: dict[str, str] = field(default_factory=dict)
    scopes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """One way to retrieve, with every option of it."""

    name: str
    preset: str
    method: str
    overrides: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)
    rerank: dict[str, Any] | None = None
    iterate: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """experiment.json: what was asked, complete."""

    name: str
    datasets: tuple[DatasetRecord, ...]
    variants: tuple[VariantRecord, ...]
    k: tuple[int, ...]
    depth: int
    seeds: tuple[int, ...]
    baseline: str = ""
    fail_on: float = 0.05
    explain: int = 10
    latency: int = 100
    chat: dict[str, str] | None = None
    price: dict[str, float] | None = None
    shuffled: str = "the passages of every data set are shuffled with each seed before indexing"


def as_json(record: Any) -> dict[str, Any]:
    """A record as JSON values."""
    values: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return values


def write_record(file: Path, record: Any) -> None:
    """Write a record as JSON.

    Raises:
        StorageError: The file cannot be written.
    """
    write_text(file, json.dumps(as_json(record), ensure_ascii=False, indent=1) + "\n")


def read_record(file: Path, kind: type[Record]) -> Record:
    """Read back what `write_record` wrote.

    Raises:
        DataError: It is missing, no JSON, or a field is missing or of another type.
    """
    try:
        found: Record = TypeAdapter(kind).validate_python(read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(
            f"{place}: {first['msg']}; was it written by graphmem?", str(file)
        ) from error
    return found


def read_json(file: Path) -> Any:
    """A JSON file of a results folder.

    Raises:
        DataError: It is missing or no JSON.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except OSError as error:
        hint = "is this a results folder of graphmem eval, and was it finished?"
        raise DataError(f"cannot be read: {error.strerror or error}; {hint}", str(file)) from error
    except ValueError as error:
        raise DataError(f"expected JSON: {error}", str(file)) from error


def read_records(folder: Path) -> list[tuple[JudgedQuestion, Mapping[str, Any]]]:
    """Questions of a run, each with what was recorded of it.

    Raises:
        DataError: The file is missing or malformed.
    """
    return [
        (
            read_question({k: v for k, v in record.items() if k not in _RECORD_FIELDS}, place),
            record,
        )
        for place, record in read_objects(str(folder / "questions.jsonl"))
    ]
