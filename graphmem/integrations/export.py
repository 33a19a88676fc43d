"""An index for other programs: OpenIE results in HippoRAG's form, and the graph as GraphML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import regex

from graphmem.base.layout import STORE
from graphmem.errors import MissingExtraError, StorageError
from graphmem.extraction.imported import export_openie
from graphmem.graph.fact_graph import Edges
from graphmem.storage.current import open_current
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.store import Store

_NO_XML = regex.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")

Edge = tuple[str, str, str, float]


def export_index_openie(index: Path, path: Path) -> int:
    """Write entities and triples in HippoRAG's form, which the extractor "import:FILE" reads.

    Returns:
        How many passages the file holds.

    Raises:
        IndexNotFoundError: There is no finished index.
        StorageError: The file cannot be written.
    """
    extractor = open_current(index).manifest["extractor"]
    with Store.read(index / STORE) as store:
        found = zip(store.passages(extractor), store.extractions(extractor), strict=True)
        return export_openie(path, found)


def export_graphml(index: Path, path: Path) -> tuple[int, int]:
    """Write nodes (entity, phrase, passage) and edges with their kind and weight.

    Entities are names and the passages that mention them; phrases are the ends of facts, where the
    index has facts. Edge kinds: context (passage with entity or phrase), fact, synonymy.

    Args:
        index: The index folder.
        path: The file; it appears whole or not at all.

    Returns:
        Number of nodes and of edges.

    Raises:
        IndexNotFoundError: There is no finished index.
        MissingExtraError: networkx is not installed.
        StorageError: The file cannot be written.
    """
    try:
        import networkx  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("GraphML needs networkx: pip install 'graphmem[export]'") from error
    snapshot = open_current(index)
    graph: Any = networkx.MultiGraph()
    for node, kind, label in _nodes(snapshot):
        graph.add_node(node, kind=kind, label=_NO_XML.sub(" ", label))
    for source, target, kind, weight in _edges(snapshot):
        graph.add_edge(source, target, key=kind, kind=kind, weight=weight)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            networkx.write_graphml(graph, file)
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return graph.number_of_nodes(), graph.number_of_edges()


def _nodes(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Id, kind and label of every node; ids are rows, since names may hold what XML cannot."""
    for row in range(snapshot.entities):
        yield f"e{row}", "entity", snapshot.labels[row]
    for row in range(snapshot.passages):
        passage = snapshot.passage(row)
        yield f"p{row}", "passage", f"{passage.title} [{passage.id}]".lstrip()
    if snapshot.facts is not None:
        phrases = snapshot.facts.table.phrases
        for row in range(len(phrases)):
            yield f"f{row}", "phrase", phrases[row]


def _edges(snapshot: Snapshot) -> Iterator[Edge]:
    context = snapshot.graph.weights.tocoo()
    for entity, passage, weight in zip(context.row, context.col, context.data, strict=True):
        yield f"e{entity}", f"p{passage}", "context", float(weight)
    if snapshot.facts is not None:
        table = snapshot.facts.table
        yield from _of(table.context, "f", "p", "context")
        yield from _of(table.links, "f", "f", "fact")
        yield from _of(snapshot.facts.synonyms, "f", "f", "synonymy")


def _of(edges: Edges, source: str, target: str, kind: str) -> Iterator[Edge]:
    columns = (np.asarray(c) for c in (edges.sources, edges.targets, edges.weights))
    for one, other, weight in zip(*columns, strict=True):
        yield f"{source}{one}", f"{target}{other}", kind, float(weight)
