"""What kind, size and range each column of a snapshot has: others in their place are refused.

Sizes are named: E entities, P passages, M context edges, K beginnings of names, D names, N phrases,
F facts, S sentences, W learned words, Z weights of these, V numbers of a vector; a size that comes
twice is the same both times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_COLUMNS: Final = {  # kind of the numbers, sizes, and what rows in it are below
    "df": ("i", "E", ""),
    "subjects": ("i", "P", "E"),
    "copied": ("i", "P", "P"),
    "id_keys": ("i", "P", ""),
    "text_keys": ("u", "P", ""),
    "vectors": ("f", "P V", ""),
    "labels_offsets": ("i", "E+1", ""),
    "records_offsets": ("i", "P+1", ""),
    "context_indptr": ("i", "E+1", "rising to M"),
    "context_passages": ("i", "M", "P"),
    "context_weights": ("f", "M", ""),
    "context_counts": ("i", "M", ""),
    "context_subjects": ("b", "M", ""),
    "dictionary_prefixes": ("u", "K", ""),
    "dictionary_names": ("u", "D", ""),
    "dictionary_rows": ("i", "D", "E"),
    "dictionary_proper": ("b", "D", ""),
    "dictionary_lettered": ("b", "D", ""),
    "facts/subjects": ("i", "F", "N"),
    "facts/objects": ("i", "F", "N"),
    "facts/phrases_offsets": ("i", "N+1", ""),
    "facts/predicates_offsets": ("i", "F+1", ""),
    "facts/phrase_vectors": ("f", "N V", ""),
    "facts/fact_vectors": ("f", "F V", ""),
    **{
        f"facts/{name}_{column}": (kind, f"edges of {name}".replace(" ", "-"), below)
        for name, source, target in (
            ("statements", "F", "P"),
            ("context", "N", "P"),
            ("links", "N", "N"),
            ("synonyms", "N", "N"),
        )
        for column, kind, below in (
            ("sources", "i", source),
            ("targets", "i", target),
            ("weights", "if", ""),
        )
    },
    "sentences/sentences": ("i", "P+1", ""),
    "sentences/starts": ("i", "S+1", ""),
    "sentences/entities": ("i", "named", ""),
    "sentences/vectors": ("f", "S V", ""),
    "sparse/indptr": ("i", "W+1", "rising to Z"),
    "sparse/passages": ("i", "Z", "P"),
    "sparse/weights": ("f", "Z", ""),
}
_EXTENDING: Final = {
    "gone": ("i", "gone", ""),
    "id_keys": ("i", "P", ""),
    "text_keys": ("u", "P", ""),
    "vectors": ("f", "P V", ""),
    "labels_offsets": ("i", "labels+1", ""),
    "records_offsets": ("i", "P+1", ""),
    "terms_offsets": ("i", "terms+1", ""),
    "counts_data": ("i", "counts", ""),
    "counts_indices": ("i", "counts", ""),
    "counts_indptr": ("i", "P+1", ""),
    "context_entities": ("i", "M", ""),
    "context_passages": ("i", "M", ""),
    "context_counts": ("i", "M", ""),
    "context_subjects": ("b", "M", ""),
    **{name: rule for name, rule in _COLUMNS.items() if name.startswith("dictionary_")},
    "dictionary_rows": ("i", "D", ""),
}


def check_shapes(
    arrays: Mapping[str, NDArray[Any]], sizes: Mapping[str, int], *, extending: bool = False
) -> dict[str, int]:
    """Compare kinds and sizes, without reading what is in the columns.

    Args:
        arrays: The columns by their names.
        sizes: Those that are known.
        extending: Whether they are columns of an extension (`storage.extension`).

    Returns:
        All sizes.

    Raises:
        ValueError: A column has another kind or size; its name.

    >>> check_shapes({"df": np.zeros(3, dtype=np.int32)}, {"E": 3})
    {'E': 3}
    >>> check_shapes({"df": np.zeros(3)}, {"E": 3})
    Traceback (most recent call last):
        ...
    ValueError: df
    """
    found = dict(sizes)
    for name, array in arrays.items():
        kinds, shape, _ = (_EXTENDING if extending else _COLUMNS).get(name, ("", "", ""))
        if name.endswith("_data") and not kinds:
            kinds, shape = "u", name
        if not kinds:
            continue
        sought = shape.split()
        if array.dtype.kind not in kinds or array.ndim != len(sought):
            raise ValueError(name)
        for size, has in zip(sought, array.shape, strict=True):
            known = size.removesuffix("+1")
            has -= known != size
            if (known != "V" or len(array)) and found.setdefault(known, has) != has:
                raise ValueError(name)
    return found


def check_range(name: str, array: NDArray[Any], sizes: Mapping[str, int]) -> None:
    """Refuse a column of rows where one of them does not exist; a subject may be -1, none.

    Raises:
        ValueError: One does not; the column's name.
    """
    below = _COLUMNS.get(name, ("", "", ""))[2]
    if not below or not array.size:
        return
    if below.startswith("rising to "):
        end = sizes.get(below.removeprefix("rising to "), 0)
        good = array[0] == 0 and array[-1] == end and bool((np.diff(array) >= 0).all())
    else:
        least = -1 if name == "subjects" else 0
        good = least <= int(array.min()) and int(array.max()) < sizes.get(below, 0)
    if not good:
        raise ValueError(name)
