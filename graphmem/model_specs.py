"""Which models an index is opened with: those that are named, else those it was made with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphmem.base.layout import STORE
from graphmem.embedding import load_embedder
from graphmem.embedding import sparse as learned
from graphmem.errors import IndexMismatchError, IndexNotFoundError, StorageError
from graphmem.extraction import load_extractor
from graphmem.protocols import Embedder, Extractor
from graphmem.storage.current import open_current
from graphmem.storage.sentence_columns import RULE, SETTING
from graphmem.storage.store import Store


@dataclass(frozen=True, slots=True)
class Models:
    """The models of an index.

    Attributes:
        embedder: Makes the vectors.
        extractor: Finds entities and facts; None is the chat model.
        settings: Words by which the same models can be found again.
        chat_model: Name of the chat model that the index was extracted with, "" for none.
        pack: How many passages shared its calls.
    """

    embedder: Embedder
    extractor: Extractor | None
    settings: Mapping[str, str]
    chat_model: str
    pack: int = 1


def find_models(
    folder: Path,
    embedder: str | Embedder | None,
    spacy_model: str | None,
    extractor: str | Extractor | None,
    sentences: bool = False,
    sparse: bool | str = False,
) -> Models:
    """The models for an index, by what is named and what the index says.

    An index that keeps its sentences goes on doing so, whether `sentences` says it or not; so does
    one that keeps learned words.

    Raises:
        ConfigError: There is no such embedder, extractor or encoder of learned words.
        IndexMismatchError: The index has another format.
    """
    recorded = _recorded_settings(folder)
    spec = embedder or recorded.get("embedder_spec") or "default"
    model = recorded.get("spacy_model", "") if spacy_model is None else spacy_model
    settings = {"embedder_spec": "", "spacy_model": model, "extractor_spec": ""}
    if isinstance(spec, str):
        settings["embedder_spec"] = str(Path(spec).resolve()) if Path(spec).is_dir() else spec
        spec = load_embedder(spec)
    if extractor is None:
        extractor = _extractor_spec(recorded)
    if isinstance(extractor, str):
        kind, _, file = extractor.partition(":")
        if kind.endswith("import") and file:
            extractor = f"{kind}:{os.path.realpath(file)}"
        settings["extractor_spec"] = extractor
        extractor = None if asks_a_model(extractor) else load_extractor(model, spec=extractor)
    if sentences or SETTING in recorded:
        settings[SETTING] = RULE
    words = recorded.get(learned.SPEC, "")
    if sparse:
        words = learned.DEFAULT if sparse is True else str(Path(sparse).resolve())
    if words:
        encoder = learned.load_sparse(words)
        settings |= {learned.SPEC: words, learned.SETTING: encoder.fingerprint}
    pack = int(recorded.get("pack", "1"))
    return Models(spec, extractor, settings, recorded.get("chat_model", ""), pack)


def asks_a_model(spec: str) -> bool:
    """Whether an extractor of this name needs a chat model."""
    return spec in ("llm", "spacy+llm")


def recorded_extractor(folder: Path) -> str:
    """The name of the extractor that an index was made with; "spacy" where it names none."""
    return _extractor_spec(_recorded_settings(folder))


def _extractor_spec(recorded: Mapping[str, str]) -> str:
    return recorded.get("extractor_spec") or "spacy"


def _recorded_settings(folder: Path) -> Mapping[str, str]:
    """What the index says it was made with, from the snapshot, else from the store.

    An index whose snapshot is missing or damaged is mended by `add`; a search in it fails.
    """
    try:
        return open_current(folder).manifest
    except (IndexNotFoundError, IndexMismatchError, StorageError):
        if not (folder / STORE).exists():
            return {}
        with Store.read(folder / STORE) as store:
            return store.meta()
