"""Texts that are read as they stand: .txt, logs, YAML, source code."""

from __future__ import annotations

from collections.abc import Iterator

from graphmem.sources.formats.content import Content


def read(text: str) -> Iterator[Content]:
    """The text, from its first line on."""
    body = text.lstrip()
    yield Content(text, places=[(0, {"line": 1 + text.count("\n", 0, len(text) - len(body))})])
