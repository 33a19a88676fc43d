"""One holder for each key, among all threads and all processes that use the same file."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PLACES = 1 << 30  # bytes of the file that stand for keys; none of them is ever written
_PAUSE = 0.05


class KeyedLock:
    """A lock for every key: a byte of a file, which the system frees when its process ends.

    Threads of this process are told apart by locks of their own. Where the file cannot be made or
    its file system has no locks, processes are not held back; a link is not followed.

    Args:
        file: Stays empty; its folder need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        """Touch nothing yet."""
        self._file = file
        self._guard = threading.Lock()
        self._threads: dict[str, threading.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._descriptor: int | None = None

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Wait until nobody else holds the key, and hold it."""
        with self._guard:
            mine = self._threads.setdefault(key, threading.Lock())
            self._waiting[key] += 1
        try:
            with mine:
                place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % _PLACES
                locked = self._wait_for(place)
                try:
                    yield
                finally:
                    if locked:
                        self._lock(place, False)
        finally:
            with self._guard:
                self._waiting[key] -= 1
                if not self._waiting[key]:
                    del self._waiting[key], self._threads[key]

    def _wait_for(self, place: int) -> bool:
        """Lock a byte against other processes; False where that cannot be done."""
        # Asked again and again, for a system that waits itself takes two threads of two processes
        # that wait for each other's bytes for a deadlock.
        while True:
            try:
                self._lock(place, True)
            except (BlockingIOError, PermissionError):  # another process has it
                time.sleep(_PAUSE)
            except OSError:
                return False
            else:
                return True

    def _lock(self, place: int, take: bool) -> None:
        with self._guard:
            if self._descriptor is None:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
                self._descriptor = os.open(self._file, flags, 0o666)
                weakref.finalize(self, os.close, self._descriptor)
            if sys.platform == "win32":
                import msvcrt

                os.lseek(self._descriptor, place, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK if take else msvcrt.LK_UNLCK, 1)
            else:
                import fcntl

                kind = fcntl.LOCK_EX | fcntl.LOCK_NB if take else fcntl.LOCK_UN
                fcntl.lockf(self._descriptor, kind, 1, place)
