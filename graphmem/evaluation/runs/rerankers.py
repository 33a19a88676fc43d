"""The reranker of a variant: which it is, by word and by fingerprint, and how deep it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphmem.errors import ConfigError
from graphmem.reranking import load_reranker
from graphmem.searching.rerank_step import RERANK_DEPTH, require_depth


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """A reranker, and how many of the first passages it orders."""

    spec: str
    depth: int
    fingerprint: str


def rerank_options(spec: str, depth: int = RERANK_DEPTH) -> RerankOptions:
    """The reranker of this name, looked up now so that a wrong one is known before all work.

    Raises:
        ConfigError: There is none, or the depth is below 1.
    """
    return RerankOptions(spec, require_depth(depth), load_reranker(spec).fingerprint)


def read_rerank(item: Mapping[str, Any], folder: Path) -> RerankOptions | None:
    """The reranker of one of 'variants' in an experiment file; None where it names none.

    Args:
        item: The variant.
        folder: Where the file is: a path that begins with . or / is relative to it.

    Raises:
        ConfigError: As for `rerank_options`, or a depth without a reranker.
    """
    spec = item.get("reranker", "")
    if not spec:
        if "rerank_depth" in item:
            raise ConfigError("'variants.rerank_depth' goes with 'reranker'")
        return None
    kind, colon, place = spec.rpartition(":")
    if place.startswith((".", "/")):
        spec = f"{kind}{colon}{(folder / place).resolve()}"
    return rerank_options(spec, item.get("rerank_depth", RERANK_DEPTH))


def searching(rerank: RerankOptions | None) -> dict[str, Any]:
    """Arguments of `GraphMemory.open`."""
    return {} if rerank is None else {"reranker": rerank.spec, "rerank_depth": rerank.depth}
