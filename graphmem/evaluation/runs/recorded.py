"""What the runs of a results folder hold, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import JudgedQuestion, read_question
from graphmem.sources.files import read_objects

_RECORD_FIELDS = ("route", "error", "queries", "gold_ranks", "hits")


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


def read_records(folder: Path) -> list[tuple[JudgedQuestion, dict[str, Any]]]:
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


def read_run(path: Path) -> dict[str, list[str]]:
    """Passage ids of every question of a TREC run, by rank; ids as its columns hold them.

    Raises:
        DataError: A line has not six columns, or no number for a rank.
    """
    ranked: dict[str, list[tuple[int, str]]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                columns = line.split()
                if len(columns) != 6 or not columns[3].isdigit():
                    raise DataError(
                        "expected six columns with a rank in the 4th", str(path), number
                    )
                ranked.setdefault(columns[0], []).append((int(columns[3]), columns[2]))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", str(path)) from error
    return {question: [id_ for _, id_ in sorted(hits)] for question, hits in ranked.items()}
