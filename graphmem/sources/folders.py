"""Which files sources stand for, and the ids of documents that are made of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from graphmem.base.layout import EXPERIMENT, STORE
from graphmem.errors import DataError
from graphmem.sources.options import LeftOut, ReadOptions, ReadReport

logger = logging.getLogger(__name__)

IGNORE_FILES = (".gitignore", ".graphmemignore")
KnownSources = Callable[[Sequence[str]], Mapping[str, str]]
"""Of names of documents those that an index has, and the path of the file of each."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes:
        path: As it was given, or in the folder that was given.
        name: Id of the document that it may be: relative to that folder, with "/".
        named: Whether it was given by name, not found in a folder.
        root: The folder that `name` is relative to.
    """

    path: Path
    name: str
    named: bool
    root: Path


STANDARD_INPUT = Found(Path("-"), "-", True, Path("."))


def find_files(
    sources: Sequence[str | Path], options: ReadOptions, report: ReadReport
) -> list[Found]:
    """The files of all sources; folders recursively and sorted, without hidden files.

    Raises:
        DataError: A source is missing, or a folder of it cannot be listed.
    """
    return [file for source in sources for file in _find(source, options, report)]


def _find(source: str | Path, options: ReadOptions, report: ReadReport) -> list[Found]:
    path = Path(source)
    if str(source) == "-":
        return [STANDARD_INPUT]
    if not str(source):
        raise DataError("expected a path, found an empty string", hint="this folder is '.'")
    try:
        folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", str(path)) from error
    except ValueError:  # a NUL in it
        folder = exists = False
    if not exists:
        hint = "a text is given as Passage(id, text)" if _looks_like_text(str(source)) else ""
        raise DataError("no such file or folder", str(path), hint=hint)
    if folder:
        return _Walk(path, options, report).files()
    return [Found(path, path.name, True, path.parent)]


def _looks_like_text(source: str) -> bool:
    return " " in source or "\n" in source


class _Walk:
    """One folder that was given."""

    def __init__(self, folder: Path, options: ReadOptions, report: ReadReport) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._options = options
        self._report = report
        self._include = GitIgnoreSpec.from_lines(options.include)
        self._exclude = GitIgnoreSpec.from_lines(options.exclude)
        self._ignored: list[tuple[str, GitIgnoreSpec]] = []

    def files(self) -> list[Found]:
        def fail(error: OSError) -> None:
            refused = DataError(f"cannot be read: {error.strerror}", str(error.filename))
            if self._options.strict or error.filename == str(self._folder):
                raise refused from error
            self._report.left_out.append(LeftOut.from_error(refused))

        found = []
        for parent, folders, names in os.walk(self._folder, onerror=fail):
            here = Path(parent).relative_to(self._folder).as_posix()
            here = "" if here == "." else f"{here}/"
            if self._options.gitignore:
                self._read_ignore_files(Path(parent), here)
            folders[:] = sorted(f for f in folders if self._is_entered(Path(parent, f), here + f))
            for name in sorted(names):
                if not name.startswith(".") and self._is_wanted(here + name):
                    found += self._file(Path(parent, name), here + name)
        return found

    def _read_ignore_files(self, parent: Path, here: str) -> None:
        for name in IGNORE_FILES:
            try:
                lines = (parent / name).read_text("utf-8", errors="replace").splitlines()
            except OSError:
                continue
            self._ignored.append((here, GitIgnoreSpec.from_lines(lines)))

    def _is_ignored(self, relative: str) -> bool:
        """As git does: the last file that says something of it counts, the deepest last."""
        for here, spec in reversed(self._ignored):
            if relative.startswith(here):
                said = spec.check_file(relative[len(here) :]).include
                if said is not None:
                    return said
        return False

    def _is_wanted(self, relative: str) -> bool:
        if self._options.include and not self._include.match_file(relative):
            return False
        return not self._exclude.match_file(relative) and not self._is_ignored(relative)

    def _is_entered(self, folder: Path, relative: str) -> bool:
        if folder.name.startswith(".") or any(
            (folder / name).is_file() for name in (STORE, EXPERIMENT)
        ):
            return False
        if self._exclude.match_file(f"{relative}/") or self._is_ignored(f"{relative}/"):
            return False
        if folder.is_symlink():
            self._leave_out_link(folder)
            return False
        return True

    def _file(self, path: Path, relative: str) -> list[Found]:
        if not Path(os.path.realpath(path)).is_relative_to(self._root):
            self._leave_out_link(path)
        elif not path.is_file():
            if path.is_symlink():
                self._report.left_out.append(LeftOut(str(path), "a broken link"))
            else:
                self._report.skip_other(LeftOut(str(path), "no file, but a pipe or device"))
        else:
            return [Found(path, relative, False, self._folder)]
        return []

    def _leave_out_link(self, path: Path) -> None:
        inside = Path(os.path.realpath(path)).is_relative_to(self._root)
        if inside:
            return  # what it leads to is read where it stands
        reason = "a link that leads out of the folder is not followed"
        hint = f"name what it leads to as a source: {os.path.realpath(path)}"
        self._report.left_out.append(LeftOut(str(path), reason, hint))


def name_documents(files: Sequence[Found], known: KnownSources | None = None) -> list[Found]:
    """The files with a name of its own for each.

    A file is named by its path in the folder that was given. Where two files of one run have the
    same name, or an index has it already for another file that is still there, as many parents go
    before it as tell them apart. A file that an index has keeps its name.

    Args:
        files: As they were found.
        known: Looks names up in the index that they are added to.
    """
    named: dict[str, set[str]] = {}
    for file in files:
        named.setdefault(file.name, set()).add(os.path.realpath(file.path))
    taken: dict[str, str] = {}  # by name: the file that has it
    result = []
    choices = [_names(file) for file in files]
    everything = sorted({name for names in choices for name in names})
    owners = dict(known(everything)) if known is not None else {}
    for file, names in zip(files, choices, strict=True):
        real = os.path.realpath(file.path)
        alone = len(named[file.name]) == 1
        own = [n for n in names if _is_same(owners.get(n, ""), file.path, real)]
        free = [
            n
            for n in (names if alone else names[1:])
            if taken.get(n, real) == real and not _is_other(owners.get(n, ""), file.path, real)
        ]
        name = (own or free or [real])[0]
        taken[name] = real
        result.append(file if name == file.name else replace(file, name=name))
    return result


def _names(file: Found) -> list[str]:
    """Names that it may have, the shortest first."""
    if file.path == STANDARD_INPUT.path and file.named:
        return [file.name]
    parents = PurePosixPath(Path(os.path.abspath(file.root)).as_posix()).parts[1:]
    return ["/".join([*parents[len(parents) - n :], file.name]) for n in range(len(parents) + 1)]


def _is_same(owner: str, path: Path, real: str) -> bool:
    return bool(owner) and (os.path.isabs(owner) and os.path.realpath(owner) == real)


def _is_other(owner: str, path: Path, real: str) -> bool:
    """Whether a name belongs to another file that is still there."""
    if not owner or owner == str(path) or os.path.realpath(owner) == real:
        return False
    return os.path.isfile(owner)
