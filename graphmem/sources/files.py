"""Files and folders of texts and records, read as a stream of passages."""

from __future__ import annotations

import gzip
import logging
import os
import re
import sys
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.sources.chunking import TokenCounter, cut_passages
from graphmem.sources.records import (
    Place,
    clean_text,
    parse_lines,
    parse_list,
    parse_rows,
    to_passage,
    without_surrogates,
)
from graphmem.types import Passage

logger = logging.getLogger(__name__)

FILE_TYPES = (".txt", ".md", ".jsonl", ".json", ".csv", ".tsv")
"""What is read, each also with .gz behind it."""

_TYPE_LIST = ", ".join(FILE_TYPES) + " (each also as .gz)"
_CHUNK = 1 << 20
_PARSERS: dict[str, Callable[[Iterable[str], str], Iterator[tuple[Place, dict[str, Any]]]]] = {
    ".jsonl": parse_lines,
    ".json": parse_list,
    ".csv": parse_rows,
    ".tsv": partial(parse_rows, delimiter="\t"),
}
_JSON_LIST = re.compile(r"\s*\[\s*(\{|$)")
_FENCE = ("```", "~~~")

Sources = str | os.PathLike[str] | Passage | Sequence[str | os.PathLike[str]] | Iterable[Passage]
"""Paths or passages, one or several."""


@dataclass(slots=True)
class ReadReport:
    """Counts of one reading; they grow while the passages are consumed.

    Attributes:
        files: Files opened, standard input included.
        records: Records (lines, items, rows, whole text files) read, blank ones included.
        passages: Passages made of them.
        skipped_empty: Records without text.
        skipped_files: Files in folders of another type, or links that lead out of the folder.
    """

    files: int = 0
    records: int = 0
    passages: int = 0
    skipped_empty: int = 0
    skipped_files: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    kind: str  # one of FILE_TYPES, "-" for standard input
    name: str  # relative to the folder that was given, with "/"; an id for text files
    named: bool  # given by name, not found in a folder


def gather_passages(
    sources: Sources,
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
    report: ReadReport | None = None,
) -> Iterable[Passage]:
    """Passages as they are given, or those of files and folders by `read_passages`.

    Raises:
        DataError: Paths and passages are given at once; else as for `read_passages`.
        ConfigError: As for `read_passages`.
    """
    items = [sources] if isinstance(sources, str | os.PathLike | Passage) else list(sources)
    passages = [item for item in items if isinstance(item, Passage)]
    for item in items:
        if not isinstance(item, str | os.PathLike | Passage):
            raise DataError(f"expected a path or a Passage, not a {type(item).__name__}")
    paths = [str(item) for item in items if not isinstance(item, Passage)]
    if not paths:
        return passages
    if passages:
        raise DataError("expected paths or passages, not both at once")
    return read_passages(
        paths,
        count_tokens=count_tokens,
        passage_tokens=passage_tokens,
        overlap=overlap,
        report=report,
    )


def read_passages(
    sources: Sequence[str | Path],
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
    report: ReadReport | None = None,
) -> Iterator[Passage]:
    """Read files and folders as passages that fit the budget, in a stream.

    As `read_records`, then `graphmem.sources.chunking.cut_passages`.

    Raises:
        DataError: A source is missing, unreadable or malformed.
        ConfigError: The budget is too small, or the overlap not below it.
    """
    report = ReadReport() if report is None else report
    pieces = cut_passages(
        read_records(sources, report=report),
        count_tokens=count_tokens,
        passage_tokens=passage_tokens,
        overlap=overlap,
    )
    return _counted(pieces, report)


def _counted(passages: Iterable[Passage], report: ReadReport) -> Iterator[Passage]:
    for passage in passages:
        report.passages += 1
        yield passage


def read_records(
    sources: Sequence[str | Path], *, report: ReadReport | None = None
) -> Iterator[Passage]:
    """Read files and folders as whole records, uncut, in a stream.

    Folders are read recursively and sorted, without hidden files, without links that lead out of
    them, and without indexes and results of experiments in them. Text is UTF-8, with or without a
    byte order mark. A record is an object (.jsonl, a .json list) or a row (.csv and .tsv, with a
    header and quotes as in CSV) with "text", perhaps "title" and an id ("id", "_id" or "idx",
    else one is made of the content); everything else, and the fields of a "metadata" object, is
    metadata. A .txt or .md file is one document with its path as id; its title is the first
    "# heading" or the file's name.

    "-" is standard input: one JSON object per line if its first character that is not blank is
    "{", a JSON list if it begins with "[" and then "{" or a new line, plain text otherwise.

    In texts NUL becomes a space, a lone surrogate U+FFFD, CR LF a line feed, and more than
    100 blanks in a row become one.

    Args:
        sources: Files, folders and "-". All are looked up before the first is read.
        report: Counts what is read.

    Raises:
        DataError: A source is missing, unreadable or malformed; says where.
    """
    report = ReadReport() if report is None else report
    files = [file for source in sources for file in _find(source, report)]
    return _read_all(files, report)


def read_objects(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects of a JSONL file (also .gz, "-" for standard input), one a line, with their place.

    Raises:
        DataError: There is no such file, or a line is not an object.
    """
    kind = "-" if path == "-" else ".jsonl"
    if kind != "-" and not Path(path).is_file():
        raise DataError("no such file", path)
    yield from parse_lines(_decoded(_File(Path(path), kind, path, named=True), by_line=True), path)


def _read_all(files: Iterable[_File], report: ReadReport) -> Iterator[Passage]:
    for file in files:
        report.files += 1
        empty = True
        for record in _read_file(file):
            report.records += 1
            if record.text:
                empty = False
                yield record
            else:
                report.skipped_empty += 1
                logger.info("%s: skipped, no text", record.source)
        if empty and file.named:
            logger.warning("%s: no text in it", file.path)


def _kind(path: Path) -> str:
    """File type by its ending, "" where unknown."""
    name = path.name.lower().removesuffix(".gz")
    return next((kind for kind in FILE_TYPES if name.endswith(kind)), "")


def _find(source: str | Path, report: ReadReport) -> list[_File]:
    path = Path(source)
    if str(source) == "-":
        return [_File(path, "-", "-", named=True)]
    try:
        folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", str(path)) from error
    if not exists:
        raise DataError("no such file or folder", str(path))
    if folder:
        files = _find_in_folder(path, report)
        if not files:
            raise DataError(f"no file to read in this folder; expected {_TYPE_LIST}", str(path))
        return files
    kind = _kind(path)
    if not kind:
        raise DataError(f"unknown file type; expected {_TYPE_LIST}", str(path))
    return [_File(path, kind, path.name, named=True)]


def _find_in_folder(folder: Path, report: ReadReport) -> list[_File]:
    def fail(error: OSError) -> None:
        raise DataError(f"cannot be read: {error.strerror}", str(error.filename)) from error

    root = os.path.realpath(folder)
    files = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not _is_left_out(Path(parent, name)))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith("."):
                continue
            inside = Path(os.path.realpath(path)).is_relative_to(root)
            kind = _kind(path)
            if kind and inside and path.is_file():
                relative = path.relative_to(folder).as_posix()
                files.append(_File(path, kind, relative, named=False))
            else:
                report.skipped_files += 1
                logger.info("%s: skipped, not a type of file that is read", path)
    return files


def _is_left_out(folder: Path) -> bool:
    """Whether a folder in a folder is hidden, an index, or the results of an experiment."""
    ours = ("store.sqlite", "experiment.json")
    return folder.name.startswith(".") or any((folder / name).is_file() for name in ours)


def _read_file(file: _File) -> Iterator[Passage]:
    path = str(file.path)
    lines = _decoded(file, by_line=file.kind != ".json")
    if file.kind == "-":
        lines, kind = _sniff(lines)
        if kind == ".txt":  # no path that could be its id
            text = clean_text("".join(lines))
            yield Passage(content_hash("", text)[:16], text, source=path)
            return
    else:
        kind = file.kind
    if kind in (".txt", ".md"):
        yield _read_text(file, "".join(lines))
        return
    for place, record in _PARSERS[kind](lines, path):
        yield to_passage(record, place)


def _decoded(file: _File, by_line: bool) -> Iterator[str]:
    """Decode a file by lines, or by large chunks for JSON that has no lines."""
    decoder = getincrementaldecoder("utf-8-sig")()
    path, line = str(file.path), 1
    try:
        with _open(file) as stream:
            chunks = stream if by_line else iter(lambda: stream.read(_CHUNK), b"")
            for chunk in chunks:
                yield decoder.decode(chunk)
                line += chunk.count(b"\n")
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        byte = error.object[error.start]
        raise DataError(f"expected UTF-8, found the byte 0x{byte:02x}", path, line) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a whole gzip file: {error}", path) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error


def _open(file: _File) -> Any:
    if file.kind == "-":
        return nullcontext(sys.stdin.buffer)
    if file.path.name.lower().endswith(".gz"):
        return gzip.open(file.path)
    return file.path.open("rb")


def _sniff(lines: Iterator[str]) -> tuple[Iterator[str], str]:
    """The same lines and the type of file that they begin."""
    head: list[str] = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    start = "".join(head).lstrip()
    kind = ".jsonl" if start.startswith("{") else ".json" if _JSON_LIST.match(start) else ".txt"
    return chain(head, lines), kind


def _read_text(file: _File, text: str) -> Passage:
    text = clean_text(text)
    title = file.path.name[: file.path.name.lower().rindex(file.kind)].replace("_", " ")
    if file.kind == ".md":
        heading, body = _split_heading(text)
        title, text = heading or title, body or text
    name = without_surrogates(file.name)
    title = without_surrogates(title).strip()
    return Passage(name, text, title, document=name, source=str(file.path))


def _split_heading(text: str) -> tuple[str, str]:
    r"""The first "# heading" of a Markdown text outside code, and the text without its line.

    >>> _split_heading("Draft\n\n# Ada Lovelace #\nShe wrote it.")
    ('Ada Lovelace', 'Draft\n\nShe wrote it.')
    """
    code, at = False, 0
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith(_FENCE):
            code = not code
        elif not code and line.startswith(("# ", "#\t")):
            heading = line[1:].strip().rstrip("#").rstrip()
            return heading, (text[:at] + text[at + len(line) :]).strip()
        at += len(line)
    return "", text
