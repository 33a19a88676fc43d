"""The columns of a snapshot that hold facts: written beside the others, read when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.base.columns import StringColumn, map_array, write_strings, write_vectors
from graphmem.base.layout import FACTS
from graphmem.graph.fact_graph import Edges, FactGraph, FactTable
from graphmem.graph.synonymy import Synonyms, Told, eligible_phrases, find_synonyms

_EDGES = ("statements", "context", "links", "synonyms")
_KEYS = "synonym_keys"
SYNONYM_FILES = tuple(
    f"{FACTS}/{name}.npy"
    for name in (
        *(f"synonyms_{column}" for column in ("sources", "targets", "weights")),
        *("phrases_data", "phrases_offsets", _KEYS),
    )
)
"""What `read_synonyms` reads."""


@dataclass(frozen=True, slots=True)
class FactSource:
    """What the columns are written from.

    Attributes:
        table: N phrases and F facts.
        phrase_vectors: Their N unit vectors, float32 [d] each.
        fact_vectors: F unit vectors of the facts' texts.
        tell: Told of the search for near phrases.
        known: Near phrases of an earlier snapshot, which are not searched again.
    """

    table: FactTable
    phrase_vectors: Iterable[NDArray[np.float32]]
    fact_vectors: Iterable[NDArray[np.float32]]
    tell: Told | None = None
    known: Synonyms | None = None


def write_facts(snapshot: Path, source: FactSource) -> None:
    """Write the columns into a folder of the snapshot that is being written."""
    folder = snapshot / FACTS
    folder.mkdir()
    table = source.table
    write_vectors(folder / "phrase_vectors.npy", source.phrase_vectors, len(table.phrases))
    write_vectors(folder / "fact_vectors.npy", source.fact_vectors, len(table.predicates))
    vectors = map_array(folder / "phrase_vectors.npy")
    eligible = eligible_phrases(table.phrases)
    names = [table.phrases[row] for row in eligible.tolist()]
    found = find_synonyms(names, vectors, eligible, source.known, tell=source.tell)
    np.save(folder / f"{_KEYS}.npy", found.keys)
    near = found.edges
    ends = [eligible[end].astype(np.int32) for end in (near.sources, near.targets)]
    synonyms = Edges(ends[0], ends[1], near.weights)
    np.save(folder / "subjects.npy", table.subjects)
    np.save(folder / "objects.npy", table.objects)
    kinds = (table.statements, table.context, table.links, synonyms)
    for name, edges in zip(_EDGES, kinds, strict=True):
        np.save(folder / f"{name}_sources.npy", edges.sources)
        np.save(folder / f"{name}_targets.npy", edges.targets)
        np.save(folder / f"{name}_weights.npy", edges.weights)
    write_strings(folder, "phrases", _listed(table.phrases))
    write_strings(folder, "predicates", _listed(table.predicates))


def read_facts(array: Callable[[str], NDArray[Any]]) -> FactGraph:
    """The facts of a snapshot.

    Args:
        array: Gives the column of a name, mapped from disk.
    """

    def strings(name: str) -> StringColumn:
        return StringColumn(array(f"{FACTS}/{name}_data"), array(f"{FACTS}/{name}_offsets"))

    kinds = {
        name: Edges(*(array(f"{FACTS}/{name}_{c}") for c in ("sources", "targets", "weights")))
        for name in _EDGES
    }
    synonyms = kinds.pop("synonyms")
    table = FactTable(
        strings("phrases"),
        strings("predicates"),
        array(f"{FACTS}/subjects"),
        array(f"{FACTS}/objects"),
        **kinds,
    )
    vectors = array(f"{FACTS}/phrase_vectors"), array(f"{FACTS}/fact_vectors")
    return FactGraph(table, synonyms, *vectors)


def read_synonyms(array: Callable[[str], NDArray[Any]]) -> Synonyms:
    """The near phrases of a snapshot, in the form that a search for those of another takes over.

    Args:
        array: Gives the column of a name, mapped from disk.
    """
    phrases = StringColumn(array(f"{FACTS}/phrases_data"), array(f"{FACTS}/phrases_offsets"))
    eligible = eligible_phrases(phrases)
    ends = [
        np.searchsorted(eligible, array(f"{FACTS}/synonyms_{end}")).astype(np.int32)
        for end in ("sources", "targets")
    ]
    edges = Edges(ends[0], ends[1], array(f"{FACTS}/synonyms_weights"))
    names = [phrases[row] for row in eligible.tolist()]
    return Synonyms(names, array(f"{FACTS}/{_KEYS}"), edges)


def _listed(strings: Any) -> list[str]:
    return [strings[row] for row in range(len(strings))]
