"""Everything that can go wrong, by name; the command line turns each into a line and a code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line ends with; the only place where the numbers stand."""

    DONE = 0
    """What was asked for is done."""
    FAILED = 1
    """A failure at work: a model, a disk, a limit, an output that cannot be written."""
    WRONG_INPUT = 2
    """Wrong input or usage: nothing was done."""
    LEFT_OUT = 3
    """Done, but files or records that could not be read were left out."""


class GraphmemError(Exception):
    """Base of all errors that graphmem raises on purpose. `exit_code` is the command line's."""

    exit_code = ExitCode.FAILED


class ConfigError(GraphmemError):
    """An option is unknown or out of range."""

    exit_code = ExitCode.WRONG_INPUT


class DataError(GraphmemError):
    """Input that cannot be read.

    Args:
        message: What was expected and what stands there instead.
        path: The file, "-" for standard input.
        line: Line number, counted from 1, or None where lines mean nothing.
        hint: What would help.
    """

    exit_code = ExitCode.WRONG_INPUT

    def __init__(
        self, message: str, path: str = "", line: int | None = None, hint: str = ""
    ) -> None:
        """Keep the place beside the message, so that programs can point at it too."""
        place = f"{path}:{line}" if line is not None else path
        whole = f"{message}; {hint}" if hint else message
        super().__init__(f"{place}: {whole}" if place else whole)
        self.message = message
        self.hint = hint
        self.path = path
        self.line = line


class MissingExtraError(GraphmemError):
    """An optional library is not installed; the message says what to install."""


class ModelError(GraphmemError):
    """A model could not be loaded or a call to it failed after its retries."""


class EndpointError(ModelError):
    """Every call to this model would fail alike: wrong key, unknown model, no such server."""


class ExtractionError(GraphmemError):
    """A model answered an extraction in the wrong shape."""


class NotConvergedError(GraphmemError):
    """A walk cannot be computed as exactly as asked: its damping is too near 1."""


class BudgetExceeded(GraphmemError):
    """The next call to a model could pass the budget; all answers paid for so far are kept."""


class TooManyFailures(GraphmemError):
    """More passages failed than allowed; what succeeded is kept."""


class StorageError(GraphmemError):
    """The index folder cannot be written (disk full, read-only) or is damaged."""


class OutputError(GraphmemError):
    """The standard output is closed, full, or closed early by the program that reads it."""


class IndexNotFoundError(GraphmemError):
    """No index at this place, or one that was never finished."""

    exit_code = ExitCode.WRONG_INPUT


class IndexMismatchError(GraphmemError):
    """The index was written with another format, model or option."""

    exit_code = ExitCode.WRONG_INPUT


class IndexLockedError(GraphmemError):
    """Another process is writing to this index."""
