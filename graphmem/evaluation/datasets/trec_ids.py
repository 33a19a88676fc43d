"""Ids as TREC files hold them, whose columns are divided by white space."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from graphmem.errors import DataError


def trec_id(name: str) -> str:
    r"""An id as a column of a run or of qrels: white space as in a URL, all else as it is.

    >>> trec_id("log 7\t#x")
    'log%207%09#x'
    """
    return re.sub(r"\s", lambda found: quote(found[0]), name)


def alike(names: Iterable[str]) -> list[str]:
    """Names that are not what they look like in a TREC file, for another one looks the same.

    >>> alike(["a b", "a%20b", "c d"])
    ['a b', 'a%20b']
    """
    by_column: dict[str, dict[str, None]] = {}
    for name in names:
        by_column.setdefault(trec_id(name), {})[name] = None
    return [name for same in by_column.values() if len(same) > 1 for name in same]


class TrecIds:
    """Ids of one kind as columns; two that would be the same are refused."""

    def __init__(self, kind: str) -> None:
        """Start with none.

        Args:
            kind: What they are ids of, for the error.
        """
        self._kind = kind
        self._names: dict[str, str] = {}

    def column(self, name: str) -> str:
        """The `trec_id` of a name.

        Raises:
            DataError: Another name has the same.
        """
        column = trec_id(name)
        known = self._names.setdefault(column, name)
        if known != name:
            raise DataError(
                f"the {self._kind} {known!r} and {name!r} are both {column} in a TREC run",
                hint="give one of them another id: TREC files have no white space in ids",
            )
        return column
