"""How far a long run has come: bars with rate and time left, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphmem.protocols import Progress

_STAGES = {
    "downloading": "fetching the model",
    "verifying": "verifying the model",
    "read": "reading",
    "extract": "asking the model",
    "compute": "extracting and embedding",
    "facts": "embedding facts",
    "synonymy": "finding synonyms",
    "sentences": "embedding sentences",
    "sparse": "learning words",
    "assemble": "assembling the graph",
    "search": "searching",
}


@contextmanager
def progress() -> Iterator[Progress]:
    """A callback that shows bars with rate and time left, and nothing where no terminal looks."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_STAGES.get(stage, stage), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield tell
