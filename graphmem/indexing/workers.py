"""Worker processes that compute batches, each with its own copies of the models."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any, TypeVar

from graphmem.embedding.sparse import SparseEncoder
from graphmem.errors import GraphmemError
from graphmem.protocols import Embedder, Extractor, Threaded

_AHEAD = 3  # batches handed out for each worker, so that none runs dry

Models = tuple[Extractor | None, Embedder | SparseEncoder]
M = TypeVar("M", bound=Models)
Keys = TypeVar("Keys")
Items = TypeVar("Items")
Result = TypeVar("Result")


def compute_batches(
    work: Callable[[M, Items], Result],
    models: M,
    batches: Sequence[Keys],
    load: Callable[[Keys], Items],
    workers: int | None,
) -> Generator[tuple[Keys, Result], None, None]:
    """Results of all batches, in their order.

    Args:
        work: Computes one batch; a function of a module, which other processes can find.
        models: What it computes with.
        batches: What stands for each batch in the result.
        load: What is handed to `work` for it, read when its turn comes.
        workers: Processes; None is one for each core, 1 computes in this process.

    Raises:
        GraphmemError: A worker process died.
    """
    import loky

    workers = min(workers or loky.cpu_count(), len(batches))
    if workers > 1:
        yield from _in_workers(work, models, batches, load, workers)
    else:
        for batch in batches:
            yield batch, work(models, load(batch))


def compute_texts(
    work: Callable[[M, Sequence[str]], Result],
    models: M,
    text_of: Mapping[str, str],
    missing: Sequence[str],
    tell: Callable[[int, int], None],
    *,
    size: int,
    few: int,
    workers: int | None,
) -> Generator[tuple[Sequence[str], Result], None, None]:
    """Results of texts, batch by batch, each with the hashes of its texts.

    Args:
        work: As for `compute_batches`.
        models: What it computes with.
        text_of: Texts by their hashes.
        missing: Hashes of those to compute.
        tell: Told of every batch when it was taken: how many texts are done, of how many.
        size: Texts of a batch.
        few: Fewer texts are computed in this process.
        workers: Processes for more; None is one for each core.

    Raises:
        GraphmemError: A worker process died.
    """
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    tell(0, len(missing))
    done = 0
    results = compute_batches(
        work,
        models,
        batches,
        lambda batch: [text_of[digest] for digest in batch],
        1 if len(missing) < few else workers,
    )
    with closing(results):
        for batch, found in results:
            yield batch, found
            done += len(batch)
            tell(done, len(missing))


# What each worker process computes with, set when it starts.
_worker_models: Models | None = None


def _start_worker(extractor: Extractor | None, embedder: Embedder | SparseEncoder) -> None:
    global _worker_models  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    single = embedder.with_threads(1) if isinstance(embedder, Threaded) else embedder
    _worker_models = extractor, single


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: a killed parent cannot stop its workers."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, where the system can; it comes when this is left.

    The mask is for processes that are started meanwhile, which inherit it. Other threads of this
    one may hear the signal all the same, and Python hands it to the main thread: it is put off.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    handler = signal.getsignal(signal.SIGINT)
    put_off = callable(handler) and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if put_off:
        signal.signal(signal.SIGINT, lambda *what: heard.append(what))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if put_off:
            signal.signal(signal.SIGINT, handler)
        if heard and callable(handler):
            handler(*heard[0])


def _work(work: Callable[[Any, Any], Any], items: Any) -> Any:
    if _worker_models is None:
        raise RuntimeError("the worker was not started with its models")
    return work(_worker_models, items)


def _in_workers(
    work: Callable[[M, Items], Result],
    models: M,
    batches: Sequence[Keys],
    load: Callable[[Keys], Items],
    workers: int,
) -> Generator[tuple[Keys, Result], None, None]:
    """Compute batches in worker processes, a few ahead of the one that is taken."""
    import loky
    from loky.process_executor import BrokenProcessPool

    pool = loky.ProcessPoolExecutor(workers, initializer=_start_worker, initargs=models)
    running: deque[tuple[Keys, Future[Result]]] = deque()
    try:
        for batch in batches:
            items = load(batch)
            with interrupts_held():  # workers start here, and inherit that they hear none
                running.append((batch, pool.submit(_work, work, items)))
            if len(running) >= workers * _AHEAD:
                ready, future = running.popleft()
                yield ready, future.result()
        while running:
            ready, future = running.popleft()
            yield ready, future.result()
    except BrokenProcessPool as error:
        raise GraphmemError(
            f"a worker process died ({error}); what was committed is kept: "
            "run the same command again, with fewer --workers if memory ran out"
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)
