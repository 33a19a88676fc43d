"""A chat model whose answers are kept in a file, which is opened at the first call."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from graphmem.base.sqlite import connect_to_read
from graphmem.errors import StorageError
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.usage import Meter, UsageLine
from graphmem.llm.wrapper import ChatWrapper
from graphmem.protocols import ChatModel
from graphmem.types import ChatRequest, Completion


class KeptChat(ChatWrapper):
    """A chat model that asks another one only what this file does not hold.

    Args:
        chat: Who is asked.
        file: Where answers are kept; its folder must be there at the first call.
        meter: Stops before a budget is passed; None is no budget.
    """

    def __init__(self, chat: ChatModel, file: Path, meter: Meter | None = None) -> None:
        """Touch nothing yet."""
        super().__init__(chat)
        self._file = file
        self._meter = meter
        self._lock = threading.Lock()
        self._open: tuple[CachedChat, ResponseCache] | None = None

    def complete(self, request: ChatRequest) -> Completion:
        """Answer from the file, or ask and keep the answer.

        Raises:
            BudgetExceeded: The call was not made, for it could pass the budget.
            ModelError: The call failed; nothing is kept.
            StorageError: The file cannot be written.
        """
        return self._cached().complete(request)

    def stream(self, request: ChatRequest) -> Generator[str, None, Completion]:
        """Answer piece by piece, from the file or anew.

        Raises:
            ModelError: As for `complete`.
        """
        return (yield from self._cached().stream(request))

    def kept(self, request: ChatRequest) -> Completion | None:
        """The answer in the file, None where there is none; a file that is missing stays so.

        Raises:
            StorageError: The file cannot be read.
        """
        if self._open is None and not self._file.exists():
            return None
        return self._cached().kept(request)

    def forget(self, request: ChatRequest) -> None:
        """Ask anew when the same request comes again."""
        self._cached().forget(request)

    def flush(self) -> None:
        """Write what is counted but not yet in the ledger: answers that cost nothing."""
        if self._open is not None:
            self._open[1].usage()

    def _cached(self) -> CachedChat:
        with self._lock:
            if self._open is None:
                cache = ResponseCache(self._file)
                weakref.finalize(self, cache.close)
                self._open = CachedChat(self._chat, cache, self._meter), cache
            return self._open[0]


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
