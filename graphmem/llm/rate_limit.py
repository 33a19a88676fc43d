"""How fast a server may be called: at most so many at once, so many a minute, none when told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

LONGEST_WAIT = 120.0
"""Seconds of Retry-After that are waited; a server that asks for more gets no further try."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Gate:
    """Lets calls pass one by one, shared by all threads that use one server.

    Args:
        concurrency: Calls under way at once, 1 or more.
        per_minute: Calls started in a minute, spread evenly; 0 is no limit.
        clock: Seconds from anywhere, rising.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        concurrency: int,
        per_minute: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep the limits."""
        self._places = threading.BoundedSemaphore(concurrency)
        self._holders: set[int] = set()  # threads that have a place
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0  # when the next call may start

    @contextmanager
    def passing(self) -> Iterator[ExitStack]:
        """Wait for a place and for the time to start; the place is held until the end.

        A thread that holds a place already, for a stream that it reads, gets another one at once:
        it would wait for itself.

        Yields:
            What gives the place back; `pop_all` takes it over, to hold it longer.
        """
        with ExitStack() as place:
            place.enter_context(self._place())
            while (wait := self._claim()) > 0:
                self._sleep(wait)
            yield place

    @contextmanager
    def _place(self) -> Iterator[None]:
        thread = threading.get_ident()
        with self._lock:
            another = thread in self._holders
        if another:
            yield
            return
        with self._places:
            with self._lock:
                self._holders.add(thread)
            try:
                yield
            finally:  # of a stream, perhaps in another thread
                with self._lock:
                    self._holders.discard(thread)

    def hold(self, seconds: float) -> None:
        """Let nobody start for so long: one thread was told to slow down, and all share its key."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def _claim(self) -> float:
        """Take the next start if it is due, else how long to wait before asking again."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + self._interval
            return 0.0


def pause_before(attempt: int) -> float:
    """Seconds before a further try, doubling from half a second up to 30, less 0 to 25 %.

    >>> 0.375 <= pause_before(1) <= 0.5 and 1.5 <= pause_before(3) <= 2 and pause_before(99) <= 30
    True
    """
    pause = min(_FIRST_PAUSE * 2.0 ** min(attempt - 1, 30), _LONGEST_PAUSE)
    return pause * (1 - 0.25 * random.random())
