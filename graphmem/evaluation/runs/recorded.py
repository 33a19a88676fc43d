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
