"""The clock of the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes, in seconds of wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
