"""The durable truth of an index: passages, and what was computed from them, by content (SQLite).

Extractions and vectors are the expensive part. They are stored under the hash of the text they
were made from and the fingerprint of what made them, batch by batch: a killed run goes on where
it stopped, and nothing is computed twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from graphmem.base.sqlite import connect_to_read, connect_to_write
from graphmem.base.text import content_hash
from graphmem.embedding.sparse import WordWeights
from graphmem.errors import DataError, GraphmemError, IndexMismatchError, StorageError
from graphmem.storage.changes import ADD_ONLY, ChangeRule, Changes
from graphmem.storage.filters import Filter, metadata_matcher
from graphmem.storage.incoming import Refused, delete_rows, take_in
from graphmem.storage.rows import (
    DIGEST,
    checked_metadata,
    dump_extraction,
    load_extraction,
    read_passage,
    row_key,
    text_hash,
)
from graphmem.storage.schema import FORMAT, OLDER, lend_tables, make_later_tables, make_tables
from graphmem.storage.sparse_columns import pack_words, unpack_words
from graphmem.types import Extraction, Passage

_AT_ONCE = 400
"""Hashes or document names in one statement; a name counts twice, and 999 are allowed."""
_OF_DOCUMENT = (
    "SELECT id FROM passages WHERE document = ?1 UNION "
    "SELECT id FROM passages WHERE id = ?1 AND document = ''"
)
_NEAR_ONE = 1e-3
_PASSAGE = "id, title, text, document, position, metadata, source"
"""The columns that `read_passage` reads, in its order."""
_CHANGED = "p.id IN (SELECT id FROM changed)"
_EXTRACTED = "EXISTS (SELECT 1 FROM extractions x WHERE x.hash = p.hash AND x.fingerprint = ?)"


class Store:
    """One SQLite file. One writer; every public method is one transaction or one read."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Take an open connection; use `open` instead."""
        self._db = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store at `path`, made if it is missing.

        Raises:
            StorageError: The file cannot be opened or written, or is no store.
            IndexMismatchError: It has another format.
        """
        with _storage_errors(path):
            store = cls(connect_to_write(path), path)
        return store._checked(store._prepare)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open the store at `path`, which must exist, for reading alone: its file stays as it is.

        Tables that it lacks, since it is older or its first run was killed, read as empty.

        Raises:
            StorageError: The file cannot be read, or is no store.
            IndexMismatchError: It has another format.
        """
        with _storage_errors(path):
            store = cls(connect_to_read(path), path)
        return store._checked(store._lend)

    def _checked(self, prepare: Callable[[], None]) -> Self:
        try:
            self._db.create_function("digest", 5, content_hash, deterministic=True)
            prepare()
            self._check_format()
        except BaseException:
            self.close()
            raise
        return self

    def _lend(self) -> None:
        with _storage_errors(self._path):
            lend_tables(self._db)

    def _prepare(self) -> None:
        with _storage_errors(self._path):
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                with self._transaction() as db:
                    make_tables(db)
            make_later_tables(self._db)

    def _check_format(self) -> None:
        found = self.meta().get("format")
        if found not in (FORMAT, OLDER):
            raise IndexMismatchError(
                f"{self._path}: format {found}, this version of graphmem reads format {FORMAT}: "
                "index the sources again into a new folder"
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        """Return the open store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _storage_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def meta(self) -> dict[str, str]:
        """Settings that belong to the whole index."""
        with _storage_errors(self._path):
            return dict(self._db.execute("SELECT key, value FROM meta").fetchall())

    def set_meta(self, values: Mapping[str, str]) -> None:
        """Store settings that belong to the whole index."""
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def add(
        self,
        passages: Iterable[Passage],
        rule: ChangeRule = ADD_ONLY,
        refused: Refused | None = None,
    ) -> Changes:
        """Add passages, all or none; those that are already there count for nothing.

        Of two passages with the same id and text, the one that sorts first by its other fields
        stays, so that the order of input does not matter; with a rule that replaces, of two that
        come in.

        Args:
            passages: What comes in.
            rule: What may become of passages that are there.
            refused: Told of every text that comes in under the id of another one that did; it is
                left out with all its pieces. None raises the first.

        Raises:
            DataError: An id comes twice with different text (the message names both places), or a
                passage has no id, no text, or what no JSON or UTF-8 can hold.
        """
        with self._transaction() as db:
            return take_in(db, passages, rule, refused)

    def select(
        self,
        ids: Sequence[str] = (),
        documents: Sequence[str] = (),
        where: Filter | None = None,
    ) -> list[str]:
        """Ids of passages, sorted: of these ids, of these documents, and with such metadata.

        Args:
            ids: Of passages.
            documents: Of documents, or of passages that are no pieces of one.
            where: A filter; None or no key selects nothing.

        Raises:
            DataError: There is no passage or document of a name; names them.
            ConfigError: `where` is no filter.
        """
        found: set[str] = set()
        missing = []
        matches = metadata_matcher(where) if where else None
        with _storage_errors(self._path):
            for kind, names, query in (
                ("passage", ids, "SELECT id FROM passages WHERE id = ?1"),
                ("document", documents, _OF_DOCUMENT),
            ):
                for name in names:
                    rows = {row for (row,) in self._db.execute(query, (name,))}
                    if not rows:
                        missing.append(f"{kind} {name!r}")
                    found |= rows
            if matches is not None:
                every = self._db.execute("SELECT id, metadata FROM passages")
                found |= {name for name, data in every if matches(json.loads(data))}
        if missing:
            raise DataError(f"not in this index: {', '.join(missing)}", str(self._path.parent))
        return sorted(found)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete passages, all or none; what was computed from them stays until `compact`.

        Returns:
            How many were there.
        """
        with self._transaction() as db:
            before = self._count("passages")
            delete_rows(db, ids)
            return before - self._count("passages")

    def mark_assembled(self, content: str, extractor: str, embedder: str) -> None:
        """Record that a snapshot of all passages is live: what changes is told from here on.

        Args:
            content: Of this snapshot.
            extractor: Fingerprint of what has extracted every passage.
            embedder: Fingerprint of what has embedded every passage.
        """
        with self._transaction() as db:
            total = self.content()
            db.execute("DELETE FROM changed")
            db.execute("DELETE FROM assembled")
            row = content, total, extractor, embedder
            db.execute("INSERT INTO assembled VALUES (?, ?, ?, ?)", row)

    def forget_assembled(self) -> None:
        """Tell no more what changed since a snapshot."""
        with self._transaction() as db:
            db.execute("DELETE FROM assembled")

    def changed_since(self, content: str, most: int) -> list[str] | None:
        """Ids of the passages added, replaced or deleted since a snapshot, and maybe of some more.

        Args:
            content: That of the snapshot.
            most: Where there are more, they are not told.

        Returns:
            None where it is not known, or there are too many.
        """
        with _storage_errors(self._path):
            if self._db.execute("SELECT content FROM assembled").fetchall() != [(content,)]:
                return None
            query = "SELECT id FROM changed ORDER BY id LIMIT ?"
            found = [name for (name,) in self._db.execute(query, (most + 1,))]
        return found if len(found) <= most else None

    def _among(self, extractor: str, embedder: str | None = None) -> str:
        """Of which passages p something may be missing: of those that have changed alone."""
        query = "SELECT 1 FROM assembled WHERE extractor = ?1 AND embedder = coalesce(?2, embedder)"
        with _storage_errors(self._path):
            known = self._db.execute(query, (extractor, embedder)).fetchone()
        return _CHANGED if known else "TRUE"

    def damaged_passages(self) -> Iterator[str]:
        """What is wrong with each passage that is not what was stored."""
        with _storage_errors(self._path):
            for row in self._db.execute(f"SELECT {_PASSAGE}, row_key, hash FROM passages"):
                name = row[0]
                try:
                    passage = read_passage(row[:7])
                    whole = checked_metadata(passage) == row[5]
                except (DataError, ValueError, TypeError) as error:
                    yield f"passage {name!r}: {error}"
                    continue
                if text_hash(passage) != row[8]:
                    yield f"passage {name!r}: its title or text is not what was stored"
                elif not whole or row_key(passage.id) != row[7]:
                    yield f"passage {name!r}: its id or metadata is not what was stored"

    def damaged_results(self) -> Iterator[tuple[str, str, str]]:
        """Table, hash of the text, and what is wrong, of what was computed and cannot be used."""
        widths: dict[str, int] = {}
        with _storage_errors(self._path):
            for digest, data in self._db.execute("SELECT hash, data FROM extractions"):
                try:
                    load_extraction(data)
                except (ValueError, KeyError, TypeError, AttributeError):
                    yield "extractions", digest, "cannot be read"
            rows = self._db.execute("SELECT hash, fingerprint, data FROM vectors")
            for digest, fingerprint, data in rows:
                if not isinstance(data, bytes) or len(data) % 4:
                    yield "vectors", digest, "is no vector"
                    continue
                vector = np.frombuffer(data, dtype="<f4").astype(np.float64)
                if vector.size != widths.setdefault(fingerprint, vector.size):
                    yield "vectors", digest, "has another length than the others"
                elif not abs(float(vector @ vector) - 1) < _NEAR_ONE:
                    yield "vectors", digest, "is not of length 1"
            for digest, data in self._db.execute("SELECT hash, data FROM words"):
                try:
                    unpack_words(data)
                except (ValueError, TypeError):
                    yield "words", digest, "are no learned words"

    def drop_results(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Remove what `damaged_results` found, so that it is computed again.

        What is noted of changes since the last snapshot goes too: it would leave these texts out.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM assembled")
            for table, digest, _ in found:
                db.execute(f"DELETE FROM {table} WHERE hash = ?", (digest,))

    def orphans(self) -> int:
        """How many extractions and failures belong to texts that no passage has."""
        query = "SELECT count(*) FROM {} WHERE hash NOT IN (SELECT hash FROM passages)"
        with _storage_errors(self._path):
            tables = ("extractions", "failures")
            counts = [self._db.execute(query.format(t)).fetchone()[0] for t in tables]
        return sum(counts)

    def compact(self, needed: Iterable[str]) -> int:
        """Remove what was computed from texts that no passage has, and their bytes from the file.

        Args:
            needed: Hashes of the texts beside those of passages whose vectors stay.

        Returns:
            How many extractions and vectors went.
        """
        with _storage_errors(self._path):
            self._db.execute("PRAGMA secure_delete = ON")
        with self._transaction() as db:
            db.execute("CREATE TEMP TABLE needed (hash TEXT PRIMARY KEY) WITHOUT ROWID")
            db.executemany("INSERT OR IGNORE INTO needed VALUES (?)", ((h,) for h in needed))
            removed = 0
            for table in ("extractions", "vectors", "failures", "packs", "words"):
                query = f"DELETE FROM {table} WHERE hash NOT IN (SELECT hash FROM passages)"
                if table == "vectors":
                    query += " AND hash NOT IN (SELECT hash FROM needed)"
                count = db.execute(query).rowcount
                removed += count if table in ("extractions", "vectors") else 0
            db.execute("DROP TABLE needed")
        with _storage_errors(self._path):
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def sources(self, names: Sequence[str]) -> dict[str, str]:
        """Where each document of these names was read, of those that are there."""
        found: dict[str, str] = {}
        for part in _parts(names):
            ids = {key: name for name in part for key in (name, f"{name}#0")}
            marks = ", ".join("?" * len(ids))
            query = f"SELECT id, source FROM passages WHERE id IN ({marks})"
            with _storage_errors(self._path):
                found |= {ids[key]: source for key, source in self._db.execute(query, tuple(ids))}
        return found

    def pending(self, extractor: str, embedder: str) -> list[str]:
        """Hashes of the texts that lack an extraction or a vector of these fingerprints, sorted."""
        query = f"""
            SELECT DISTINCT hash FROM passages p WHERE {self._among(extractor, embedder)} AND (
               NOT EXISTS (SELECT 1 FROM extractions e WHERE e.hash = p.hash AND fingerprint = ?)
               OR NOT EXISTS (SELECT 1 FROM vectors v WHERE v.hash = p.hash AND fingerprint = ?))
            ORDER BY hash"""
        with _storage_errors(self._path):
            return [row[0] for row in self._db.execute(query, (extractor, embedder))]

    def unextracted(self, fingerprint: str, *, whole: bool = False) -> list[str]:
        """Hashes of the texts that lack an extraction of this fingerprint, sorted.

        Args:
            fingerprint: Of the extractor.
            whole: Look at all, else at what has changed since the last `mark_assembled`.
        """
        among = "TRUE" if whole else self._among(fingerprint)
        query = (
            f"SELECT DISTINCT hash FROM passages p WHERE {among} AND NOT {_EXTRACTED} ORDER BY hash"
        )
        with _storage_errors(self._path):
            return [row[0] for row in self._db.execute(query, (fingerprint,))]

    def packs(self, fingerprint: str) -> dict[str, str]:
        """The name of the pack of every text that waits in one; texts of a pack share a name."""
        query = "SELECT hash, name FROM packs WHERE fingerprint = ?"
        with _storage_errors(self._path):
            return dict(self._db.execute(query, (fingerprint,)).fetchall())

    def save_packs(self, fingerprint: str, packs: Iterable[Sequence[str]]) -> None:
        """Record which texts are asked about together; a pack is named by its first hash."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO packs VALUES (?, ?, ?)",
                ((digest, fingerprint, pack[0]) for pack in packs for digest in pack),
            )

    def save_outcomes(
        self, fingerprint: str, outcomes: Mapping[str, Extraction | GraphmemError]
    ) -> None:
        """Commit what became of a pack of texts, all or nothing, by hash.

        A text that failed stays without an extraction, and is a pack of its own from now on.
        """
        with self._transaction() as db:
            for digest, outcome in outcomes.items():
                key = digest, fingerprint
                for table in ("failures", "packs"):
                    db.execute(f"DELETE FROM {table} WHERE hash = ? AND fingerprint = ?", key)
                if isinstance(outcome, Extraction):
                    row = (*key, dump_extraction(outcome))
                    db.execute("INSERT OR REPLACE INTO extractions VALUES (?, ?, ?)", row)
                else:
                    failure = (*key, str(outcome), time.time())
                    db.execute("INSERT INTO failures VALUES (?, ?, ?, ?)", failure)
                    db.execute("INSERT INTO packs VALUES (?, ?, ?)", (*key, digest))

    def failures(self, fingerprint: str) -> dict[str, str]:
        """Id and error of every passage that failed and has no extraction yet, by id."""
        query = (
            "SELECT id, error FROM passages p JOIN failures f ON f.hash = p.hash "
            f"AND f.fingerprint = ? WHERE NOT {_EXTRACTED} ORDER BY id"
        )
        with _storage_errors(self._path):
            return dict(self._db.execute(query, (fingerprint, fingerprint)).fetchall())

    def texts(self, hashes: Sequence[str]) -> list[Passage]:
        """One passage for each hash, in the order of `hashes`."""
        with _storage_errors(self._path):
            rows = {
                digest: read_passage(row)
                for digest, *row in self._db.execute(
                    f"SELECT hash, {_PASSAGE} "
                    f"FROM passages WHERE hash IN ({','.join('?' * len(hashes))})",
                    tuple(hashes),
                )
            }
        return [rows[digest] for digest in hashes]

    def save(
        self,
        hashes: Sequence[str],
        extractor: str,
        extractions: Sequence[Extraction],
        embedder: str,
        vectors: NDArray[np.float32],
    ) -> None:
        """Commit what was computed from the texts of these hashes.

        Args:
            hashes: n text hashes.
            extractor: Fingerprint of the extractor.
            extractions: n extractions.
            embedder: Fingerprint of the embedder.
            vectors: float32 [n, d].
        """
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO extractions VALUES (?, ?, ?)",
                [
                    (h, extractor, dump_extraction(x))
                    for h, x in zip(hashes, extractions, strict=True)
                ],
            )
            db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(h, embedder, row.tobytes()) for h, row in zip(hashes, rows, strict=True)],
            )

    def passages(self, extracted: str | None = None) -> list[Passage]:
        """All passages, or those extracted with this fingerprint, by the hash of their id."""
        where, values = ("", ()) if extracted is None else (f"WHERE {_EXTRACTED}", (extracted,))
        with _storage_errors(self._path):
            rows = self._db.execute(
                f"SELECT {_PASSAGE} FROM passages p {where} ORDER BY row_key, id",
                values,
            )
            return [read_passage(row) for row in rows]

    def passages_of(self, ids: Sequence[str]) -> list[Passage]:
        """Those of the passages with these ids that are there, by the hash of their id."""
        found = []
        for part in _parts(ids):
            marks = ", ".join("?" * len(part))
            query = f"SELECT {_PASSAGE} FROM passages WHERE id IN ({marks})"
            with _storage_errors(self._path):
                found += [read_passage(row) for row in self._db.execute(query, tuple(part))]
        return sorted(found, key=lambda passage: (row_key(passage.id), passage.id))

    def pieces_of(self, document: str, most: int) -> list[str]:
        """Ids of the passages of a document, the first `most` of them."""
        query = "SELECT id FROM passages WHERE document = ? LIMIT ?"
        with _storage_errors(self._path):
            return [name for (name,) in self._db.execute(query, (document, most))]

    def has_document(self, name: str) -> bool:
        """Whether there is a passage of a document, or one with this id that is of none."""
        with _storage_errors(self._path):
            return self._db.execute(f"{_OF_DOCUMENT} LIMIT 1", (name,)).fetchone() is not None

    def extractions_of(self, hashes: Sequence[str], fingerprint: str) -> list[Extraction]:
        """The extraction of each text, in the order of `hashes`; all must be there."""
        found: dict[str, str] = {}
        for part in _parts(hashes):
            marks = ", ".join("?" * len(part))
            query = (
                f"SELECT hash, data FROM extractions WHERE fingerprint = ? AND hash IN ({marks})"
            )
            with _storage_errors(self._path):
                found |= dict(self._db.execute(query, (fingerprint, *part)).fetchall())
        return [load_extraction(found[digest]) for digest in hashes]

    def extractions(self, fingerprint: str) -> Iterator[Extraction]:
        """The extraction of every passage that has one, in the order of `passages`."""
        query = """
            SELECT data FROM passages p JOIN extractions e
            ON e.hash = p.hash AND fingerprint = ? ORDER BY row_key, id"""
        with _storage_errors(self._path):
            for (data,) in self._db.execute(query, (fingerprint,)):
                yield load_extraction(data)

    def vectors(
        self, fingerprint: str, extracted: str | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """The vector of every passage, float32 [d], in the order of `passages`."""
        where, values = ("", ()) if extracted is None else (f"WHERE {_EXTRACTED}", (extracted,))
        query = f"""
            SELECT data FROM passages p JOIN vectors v
            ON v.hash = p.hash AND v.fingerprint = ? {where} ORDER BY row_key, id"""
        with _storage_errors(self._path):
            for (data,) in self._db.execute(query, (fingerprint, *values)):
                yield np.frombuffer(data, dtype="<f4")

    def width(self, fingerprint: str) -> int | None:
        """Length of the vectors of this embedder, None where there are none."""
        query = "SELECT length(data) / 4 FROM vectors WHERE fingerprint = ? LIMIT 1"
        with _storage_errors(self._path):
            row = self._db.execute(query, (fingerprint,)).fetchone()
        return None if row is None else int(row[0])

    def missing_vectors(self, hashes: Sequence[str], fingerprint: str) -> list[str]:
        """Those of the hashes that have no vector of this embedder, in their order."""
        return self._missing("vectors", hashes, fingerprint)

    def save_vectors(
        self, hashes: Sequence[str], fingerprint: str, vectors: NDArray[np.float32]
    ) -> None:
        """Store vectors of texts that are no passages, float32 [n, d]."""
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(h, fingerprint, row.tobytes()) for h, row in zip(hashes, rows, strict=True)],
            )

    def vectors_of(self, hashes: Sequence[str], fingerprint: str) -> Iterator[NDArray[np.float32]]:
        """The vector of each hash, float32 [d], in the order of `hashes`; all must be there."""
        for data in self._each("vectors", hashes, fingerprint):
            yield np.frombuffer(data, dtype="<f4")

    def missing_words(self, hashes: Sequence[str], fingerprint: str) -> list[str]:
        """Those of the hashes whose learned words are not there, in their order."""
        return self._missing("words", hashes, fingerprint)

    def save_words(
        self, hashes: Sequence[str], fingerprint: str, found: Sequence[WordWeights]
    ) -> None:
        """Store the learned words of texts."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO words VALUES (?, ?, ?)",
                [(h, fingerprint, pack_words(w)) for h, w in zip(hashes, found, strict=True)],
            )

    def words_of(self, hashes: Sequence[str], fingerprint: str) -> Iterator[WordWeights]:
        """The learned words of each hash, in the order of `hashes`; all must be there."""
        return map(unpack_words, self._each("words", hashes, fingerprint))

    def _missing(self, table: str, hashes: Sequence[str], fingerprint: str) -> list[str]:
        known: set[str] = set()
        for part in _parts(hashes):
            known.update(self._results_of(table, part, fingerprint))
        return [digest for digest in hashes if digest not in known]

    def _each(self, table: str, hashes: Sequence[str], fingerprint: str) -> Iterator[bytes]:
        for part in _parts(hashes):
            found = self._results_of(table, part, fingerprint)
            for digest in part:
                yield found[digest]

    def _results_of(self, table: str, hashes: Sequence[str], fingerprint: str) -> dict[str, bytes]:
        marks = ", ".join("?" * len(hashes))
        query = f"SELECT hash, data FROM {table} WHERE fingerprint = ? AND hash IN ({marks})"
        with _storage_errors(self._path):
            return dict(self._db.execute(query, (fingerprint, *hashes)).fetchall())

    def content(self, *, whole: bool = False) -> str:
        """Hash of all passages with all their fields, whatever the order they came in.

        Args:
            whole: Read all passages; else what has changed since the last `mark_assembled`.
        """
        with _storage_errors(self._path):
            known = None if whole else self._db.execute("SELECT total FROM assembled").fetchone()
            total, where = (0, "TRUE") if known is None else (int(known[0], 16), _CHANGED)
            for (was,) in self._db.execute("SELECT was FROM changed") if known else ():
                total -= int(was or "0", 16)
            for (now,) in self._db.execute(f"SELECT {DIGEST} FROM passages p WHERE {where}"):
                total += int(now, 16)
        return f"{total % (1 << 128):032x}"

    def count(self) -> int:
        """Number of passages."""
        return self._count("passages")

    def _count(self, table: str) -> int:
        with _storage_errors(self._path):
            row: tuple[int] = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return row[0]


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at once as one statement may name."""
    return (hashes[start : start + _AT_ONCE] for start in range(0, len(hashes), _AT_ONCE))


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}; check free space and permissions") from error
