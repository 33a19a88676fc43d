"""Extractions from an OpenIE file in HippoRAG's form, and back into one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from graphmem.base.text import content_hash, normalise_phrase, tokens
from graphmem.errors import DataError, StorageError
from graphmem.llm.structured_output import storable
from graphmem.types import Extraction, Passage, Triple


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found.

    Attributes:
        documents: Entries of the file that hold a passage.
        malformed_documents: Entries that do not, or whose lists are none.
        malformed_triples: Triples that are not three non-empty strings; they are skipped.
        malformed_entities: Entities that are no non-empty string; they are skipped.
        matched: Passages that were looked up and have an entry.
        missing: Passages without one; their extraction is empty.
    """

    documents: int
    malformed_documents: int
    malformed_triples: int
    malformed_entities: int
    matched: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    fingerprint: str
    extractions: dict[str, Extraction]
    report: ImportReport


class ImportedExtractor:
    """Extractor that looks passages up in a file made by another program.

    The file is `{"docs": [{"passage", "extracted_entities", "extracted_triples"}, ...]}`. A
    passage is found by its text but for white space, else by its words, whatever their case and
    punctuation; each as title and text together or as text alone. Triples are taken as they
    stand, also those that come twice. The file is read when it is first needed.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        """Keep the path."""
        self._path = Path(path)
        self._matched = 0
        self._missing = 0

    def __getstate__(self) -> dict[str, Any]:
        """Workers read the file themselves."""
        return {"_path": self._path, "_matched": 0, "_missing": 0}

    @property
    def fingerprint(self) -> str:
        """Hash of the file, and the version of the rules here.

        Raises:
            DataError: The file cannot be read.
        """
        return self._file.fingerprint

    @property
    def report(self) -> ImportReport:
        """What the file holds, and what was looked up so far.

        Raises:
            DataError: The file cannot be read.
        """
        read = self._file.report
        return ImportReport(
            read.documents,
            read.malformed_documents,
            read.malformed_triples,
            read.malformed_entities,
            self._matched,
            self._missing,
        )

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """What the file holds for every passage; empty where it has no entry, which is counted.

        Raises:
            DataError: The file cannot be read or has another form.
        """
        known = self._file.extractions
        found = []
        for passage in passages:
            texts = (f"{passage.title}\n{passage.text}", passage.text)
            keys = [key(text) for key in (_letters, _words) for text in texts]
            extraction = next((known[key] for key in keys if key in known), None)
            self._matched += extraction is not None
            self._missing += extraction is None
            found.append(extraction or Extraction())
        return found

    @cached_property
    def _file(self) -> _File:
        try:
            data = self._path.read_bytes()
            documents = json.loads(data)["docs"]
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", str(self._path)) from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise DataError(
                f'expected JSON with "docs" (HippoRAG\'s OpenIE results): {error}', str(self._path)
            ) from error
        if not isinstance(documents, list):
            raise DataError('expected a list under "docs"', str(self._path))
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        extractions, report = _read_documents(documents)
        return _File(f"imported:{digest}:1", extractions, report)


def _read_documents(documents: list[Any]) -> tuple[dict[str, Extraction], ImportReport]:
    """Extractions by the keys of their passages; of two, the first that has triples."""
    found: dict[str, Extraction] = {}
    good = bad_documents = bad_triples = bad_entities = 0
    for document in documents:
        parts = _parts(document)
        if parts is None:
            bad_documents += 1
            continue
        passage, entities, triples = parts
        good += 1
        names = {
            normalise_phrase(name): storable(name) for name in reversed(entities) if _is_text(name)
        }
        names.pop("", None)
        statements = [Triple(*map(storable, entry)) for entry in triples if _is_statement(entry)]
        bad_entities += sum(not _is_text(name) for name in entities)
        bad_triples += len(triples) - len(statements)
        extraction = Extraction(tuple(reversed(names.values())), tuple(statements))
        for key in (_letters(passage), _words(passage)):
            if not found.get(key, Extraction()).triples:
                found[key] = extraction
    return found, ImportReport(good, bad_documents, bad_triples, bad_entities)


def _parts(document: Any) -> tuple[str, list[Any], list[Any]] | None:
    """Passage, entities and triples of an entry; None where it has another form."""
    if not isinstance(document, dict) or not _is_text(document.get("passage")):
        return None
    entities = document.get("extracted_entities")
    triples = document.get("extracted_triples")
    entities = [] if entities is None else entities
    triples = [] if triples is None else triples
    if not isinstance(entities, list) or not isinstance(triples, list):
        return None
    return document["passage"], entities, triples


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_statement(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 3 and all(map(_is_text, entry))


def _letters(text: str) -> str:
    """Key of a text but for its white space."""
    return content_hash(" ".join(text.split()))


def _words(text: str) -> str:
    """Key of a text's words; the count keeps it apart from the other kind of key."""
    words = tokens(text)
    return content_hash(str(len(words)), *words) if words else _letters(text)


def export_openie(path: str | Path, found: Iterable[tuple[Passage, Extraction]]) -> int:
    """Write extractions in HippoRAG's form, one after the other, and put the file there whole.

    Returns:
        How many passages it holds.

    Raises:
        StorageError: The file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            count = _write(file.write, found)
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _write(write: Any, found: Iterable[tuple[Passage, Extraction]]) -> int:
    count = characters = words = names = 0
    write('{"docs": [')
    for count, (document, entities) in enumerate(_documents(found), start=1):
        write(("" if count == 1 else ",") + "\n" + json.dumps(document, ensure_ascii=False))
        names += len(entities)
        characters += sum(map(len, entities))
        words += sum(len(name.split()) for name in entities)
    averages = {
        "avg_ent_chars": round(characters / names, 4) if names else 0,
        "avg_ent_words": round(words / names, 4) if names else 0,
    }
    write("\n], " + json.dumps(averages)[1:] + "\n")
    return count


def _documents(
    found: Iterable[tuple[Passage, Extraction]],
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    for passage, extraction in found:
        text = f"{passage.title}\n{passage.text}" if passage.title else passage.text
        triples = [[t.subject, t.predicate, t.object] for t in extraction.triples]
        document = {
            "idx": passage.id,
            "passage": text,
            "extracted_entities": list(extraction.entities),
            "extracted_triples": triples,
        }
        yield document, extraction.entities
