"""Parquet and Arrow files: a record for each row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import IO, Any

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from graphmem.errors import DataError
from graphmem.sources.records import Place

_ROWS = 1000


def read(stream: IO[bytes], kind: str, path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Rows as records of JSON values, with their number from 1.

    Raises:
        DataError: The file is damaged.
    """
    number = 0
    try:
        for batch in _batches(stream, kind):
            batch.validate(full=True)  # an offset out of bounds would end the process
            for row in batch.to_pylist():
                number += 1
                fields = {str(key): _json(value) for key, value in row.items()}
                yield Place(path, item=number), fields
    except pyarrow.ArrowException as error:
        raise DataError(f"a damaged {kind} file: {error}", path) from error


def _batches(stream: IO[bytes], kind: str) -> Iterator[Any]:
    if kind == "parquet":
        yield from pyarrow.parquet.ParquetFile(stream).iter_batches(_ROWS)
        return
    try:
        yield from pyarrow.ipc.open_stream(stream)
    except pyarrow.ArrowInvalid:
        stream.seek(0)
        table = pyarrow.ipc.open_file(stream)
        for at in range(table.num_record_batches):
            yield table.get_batch(at)


def _json(value: Any) -> Any:
    """A value as JSON has it: dates as text, numbers that are none as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    return value
