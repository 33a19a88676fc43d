"""Answers that were paid for are kept: a cache and a usage ledger in one SQLite file.

An answer and its line in the ledger are committed together as soon as the answer comes, so that a
killed run pays for none of them again. The file holds answers and hashes of what was asked: no
prompts, no keys.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Self

from graphmem.base.keyed_lock import KeyedLock
from graphmem.base.sqlite import connect_to_read, refuse_programs
from graphmem.base.text import content_hash
from graphmem.errors import StorageError
from graphmem.llm.prompts import as_json, estimate_tokens, request_tokens
from graphmem.llm.usage import Meter, UsageLine
from graphmem.llm.wrapper import ChatWrapper
from graphmem.protocols import ChatModel
from graphmem.types import ChatRequest, Completion

_KEY_VERSION = "1"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
  key TEXT PRIMARY KEY, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
  stage TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS usage (
  model TEXT, stage TEXT, calls INTEGER NOT NULL, cached INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (model, stage));
"""
_ADD_USAGE = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (model, stage) DO UPDATE SET
  calls = calls + excluded.calls, cached = cached + excluded.cached,
  prompt_tokens = prompt_tokens + excluded.prompt_tokens,
  completion_tokens = completion_tokens + excluded.completion_tokens,
  seconds = seconds + excluded.seconds
"""


class ResponseCache:
    """The SQLite file; safe for several threads and processes. Opened when it is first needed.

    Args:
        path: The file. Its folder must be there when the first answer is written.

    Attributes:
        asking: Held by key while the answer is asked for.
    """

    def __init__(self, path: Path) -> None:
        """Touch nothing yet."""
        self._path = path
        self.asking = KeyedLock(path.with_suffix(".lock"))
        self._lock = threading.RLock()
        self._free: Counter[tuple[str, str]] = Counter()
        self._connection: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        """The open file, made if it is missing; closed at the latest when the cache goes."""
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=60.0, isolation_level=None, check_same_thread=False
            )
            try:
                refuse_programs(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            weakref.finalize(self, connection.close)
        return self._connection

    def close(self) -> None:
        """Write what is counted and close the file; it opens again when it is needed again."""
        with self._lock:
            if self._connection is None:
                return
            try:
                self.flush()
            finally:
                self._connection.close()
                self._connection = None

    def flush(self) -> None:
        """Write what is counted but not yet in the ledger: answers that cost nothing."""
        if self._free:
            with self._transaction():
                self._write_free()

    def __enter__(self) -> Self:
        """Return the open cache."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def get(self, key: str) -> Completion | None:
        """The answer kept under a key, marked as cached; None where there is none, or no file."""
        with self._errors():
            if self._connection is None and not self._path.exists():
                return None
            row = self._db.execute(
                "SELECT text, prompt_tokens, completion_tokens, finish FROM responses"
                " WHERE key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        text, prompt_tokens, completion_tokens, finish = row
        return Completion(text, prompt_tokens, completion_tokens, finish, cached=True)

    def put(self, key: str, completion: Completion, model: str, stage: str) -> None:
        """Keep an answer and count what it cost, in one transaction."""
        answer = completion.text, completion.prompt_tokens, completion.completion_tokens
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, *answer, completion.finish, model, stage, time.time()),
            )
            self._db.execute(_ADD_USAGE, (model, stage, 1, 0, *answer[1:], completion.seconds))
            self._write_free()

    def count(self, line: UsageLine) -> None:
        """Add to the ledger."""
        with self._transaction():
            self._db.execute(_ADD_USAGE, astuple(line))

    def count_cached(self, model: str, stage: str) -> None:
        """Count an answer that cost nothing; written with the next that did, or when closing."""
        with self._lock:
            self._free[model, stage] += 1

    def forget(self, key: str) -> None:
        """Drop an answer; what it cost stays in the ledger."""
        with self._transaction():
            self._db.execute("DELETE FROM responses WHERE key = ?", (key,))

    def clear(self) -> int:
        """Drop all answers, and their bytes; what they cost stays in the ledger.

        Returns:
            How many there were.
        """
        with self._errors():
            self._db.execute("PRAGMA secure_delete = ON")
            dropped = self._db.execute("DELETE FROM responses").rowcount
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return dropped

    def usage(self) -> list[UsageLine]:
        """The ledger, over all runs, by model and stage."""
        self.flush()
        with self._errors():
            rows = self._db.execute("SELECT * FROM usage ORDER BY model, stage").fetchall()
        return [UsageLine(*row) for row in rows]

    def __len__(self) -> int:
        """How many answers are kept."""
        with self._errors():
            return int(self._db.execute("SELECT count(*) FROM responses").fetchone()[0])

    def _write_free(self) -> None:
        for (model, stage), count in self._free.items():
            self._db.execute(_ADD_USAGE, (model, stage, 0, count, 0, 0, 0.0))
        self._free.clear()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error


class CachedChat(ChatWrapper):
    """A chat model that asks another one only what it was not asked before.

    The same question from two threads or processes at once is paid once, but for streams: who
    reads one may leave it open as long as he likes, and nobody waits for that.

    Args:
        chat: Who is asked.
        cache: Where answers are kept.
        meter: Stops before a budget is passed; None is no budget.
    """

    def __init__(self, chat: ChatModel, cache: ResponseCache, meter: Meter | None = None) -> None:
        """Stand before `chat`."""
        super().__init__(chat)
        self._cache = cache
        self._meter = meter

    def complete(self, request: ChatRequest) -> Completion:
        """Answer from the cache, or ask and keep the answer.

        Raises:
            BudgetExceeded: The call was not made, for it could pass the budget.
            ModelError: The call failed; nothing is kept.
        """
        key = request_key(self.fingerprint, request)
        with self._cache.asking.holding(key):
            found = self._cache.get(key)
            if found is not None:
                self._cache.count_cached(self.model, request.stage)
                return found
            with self._metered(request) as used:
                completion = self._chat.complete(request)
                used.append(completion)
                self._cache.put(key, completion, self.model, request.stage)
        return completion

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """Answer from the cache in one piece, or ask and keep the answer when it is whole.

        A stream that is broken off is not kept, but what came of it is counted.

        Raises:
            BudgetExceeded: As for `complete`.
            ModelError: As for `complete`.
        """
        key = request_key(self.fingerprint, request)
        found = self._cache.get(key)
        if found is not None:
            self._cache.count_cached(self.model, request.stage)
            if found.text:
                yield found.text
            return found
        parts: list[str] = []
        with self._metered(request, streamed=True) as used:
            pieces = self._chat.stream(request)
            try:
                while True:
                    try:
                        piece = next(pieces)
                    except StopIteration as stop:
                        completion: Completion = stop.value
                        break
                    parts.append(piece)
                    yield piece
                used.append(completion)
                self._cache.put(key, completion, self.model, request.stage)
            finally:
                pieces.close()
                if not used and parts:
                    tokens = request_tokens(request), estimate_tokens("".join(parts))
                    used.append(Completion("", *tokens))
                    self._cache.count(UsageLine(self.model, request.stage, 1, 0, *tokens))
        return completion

    def kept(self, request: ChatRequest) -> Completion | None:
        """The answer that is kept, None where there is none; nothing is asked or counted."""
        return self._cache.get(request_key(self.fingerprint, request))

    def forget(self, request: ChatRequest) -> None:
        """Ask anew when the same request comes again."""
        self._cache.forget(request_key(self.fingerprint, request))

    def flush(self) -> None:
        """Write what is counted but not yet in the ledger: answers that cost nothing."""
        self._cache.flush()

    @contextmanager
    def _metered(
        self, request: ChatRequest, *, streamed: bool = False
    ) -> Iterator[list[Completion]]:
        """Reserve what the call can cost, and settle what it cost in the end."""
        used: list[Completion] = []
        reserved = self._meter.reserve(request, streamed=streamed) if self._meter else None
        try:
            yield used
        finally:
            if self._meter and reserved:
                self._meter.settle(reserved, used[0] if used else None)


def request_key(fingerprint: str, request: ChatRequest) -> str:
    """Hash of all that decides an answer: model and parameters, messages, schema, length limit."""
    messages = [part for message in request.messages for part in (message.role, message.content)]
    schema = "" if request.schema is None else as_json(request.schema)
    return content_hash(_KEY_VERSION, fingerprint, schema, str(request.max_tokens), *messages)


def read_usage(file: Path) -> list[UsageLine]:
    """The ledger of such a file, by model and stage; none where there is no file. Writes nothing.

    Raises:
        StorageError: The file is damaged or something else.
    """
    if not file.exists():
        return []
    try:
        with closing(connect_to_read(file)) as connection:
            rows = connection.execute("SELECT * FROM usage ORDER BY model, stage").fetchall()
    except sqlite3.Error as error:
        raise StorageError(f"{file}: {error}") from error
    return [UsageLine(*row) for row in rows]
