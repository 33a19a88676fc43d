"""What an index holds, in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphmem.storage.snapshot import Snapshot


def index_statistics(index: Path, snapshot: Snapshot) -> dict[str, Any]:
    """Counts, degrees, sizes in bytes, and fingerprints, as JSON values.

    Passages beside are those of the extension of a snapshot, until all is assembled anew.
    """
    manifest = snapshot.manifest
    df = snapshot.df
    per_passage = np.bincount(snapshot.graph.weights.indices, minlength=snapshot.passages)
    sentences, words = snapshot.sentences, snapshot.sparse
    extension, *base = snapshot.parts
    files = [file for file in index.iterdir() if file.is_file()]
    return {
        "passages": snapshot.passages,
        "passages_beside": extension.array("id_keys").size if base else 0,
        "passages_missing": manifest.get("missing", 0),
        "passages_failed": manifest.get("failed", 0),
        "entities": snapshot.entities,
        "context_edges": int(df.sum()),
        "titled_passages": int(np.count_nonzero(snapshot.subjects >= 0)),
        "passages_without_entity": int(np.count_nonzero(per_passage == 0)),
        "entities_per_passage": _spread(per_passage),
        "passages_per_entity": _spread(df),
        "facts": 0 if snapshot.facts is None else len(snapshot.facts.table.predicates),
        "sentences_kept": 0 if sentences is None else len(sentences.vectors),
        "learned_words": 0 if words is None else words.weights.size,
        "vector_dimensions": snapshot.vectors.width,
        "bytes_snapshot": snapshot.size(),
        "bytes_store": sum(file.stat().st_size for file in files),
        "snapshot": snapshot.folder.name,
        **{name: manifest[name] for name in ("extractor", "embedder", "format")},
    }


def _spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    if not values.size:
        return {"mean": 0.0, "median": 0.0, "max": 0.0}
    return {
        "mean": round(float(values.mean()), 2),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }
