"""Standard input, output and error as they may be: closed at the start, full, closed early."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from graphmem.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TERMINAL_ENCODING = "utf-8"


class _Output(io.FileIO):
    """Standard output: the first write that fails is an `OutputError`, what follows is dropped.

    No `OSError`, since click ends without a word on a broken pipe; dropped, since Python writes
    once more what is left in the buffer when it ends, and would fail with a traceback.
    """

    _failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        if not self._failed:
            try:
                return super().write(data)
            except OSError as error:
                self._failed = True
                raise OutputError(f"standard output: {error.strerror}") from error
        return memoryview(data).nbytes


class _Messages(io.FileIO):
    """Standard error: what cannot be written is dropped; the work goes on."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def guard_streams() -> None:
    """Make the standard streams those that this module describes; once is as good as twice.

    Descriptors 0 to 2 that are closed lead to the null device from now on, so that no data file
    gets such a number. Reading 0 and writing 1 fail still, since they are opened the other way
    round; what is written to 2 is dropped. Streams that a caller put in place stay.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding=_TERMINAL_ENCODING, closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(2, "wb", closefd=False), sys.stderr)


def _text(raw: io.FileIO, like: TextIO | None) -> TextIO:
    """A stream in the encoding of another; what it cannot show is shown by its number."""
    if like is not None:
        like.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=_TERMINAL_ENCODING if like is None else like.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
