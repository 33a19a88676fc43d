"""Files and folders of documents and records, read as a stream of passages."""

from __future__ import annotations

import gzip
import io
import logging
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.sources.chunking import Document, TokenCounter, cut_documents, cut_passages
from graphmem.sources.encoding import SAMPLE, codec_name, find_encoding
from graphmem.sources.folders import (
    STANDARD_INPUT,
    Found,
    KnownSources,
    find_files,
    name_documents,
)
from graphmem.sources.formats import (
    BY_NAME,
    FORMATS,
    HEAD,
    RECORDS,
    Format,
    OtherTypeError,
    by_ending,
    tell_format,
)
from graphmem.sources.formats.archive import SMALL, check_ratio
from graphmem.sources.formats.content import LONGEST_TITLE, Content, one_line
from graphmem.sources.formats.line_places import line_places
from graphmem.sources.options import LeftOut, ReadOptions
from graphmem.sources.options import ReadReport as ReadReport
from graphmem.sources.records import (
    Place,
    Skip,
    clean_text,
    parse_lines,
    parse_list,
    parse_rows,
    to_passage,
    without_surrogates,
)
from graphmem.types import Passage

logger = logging.getLogger(__name__)

FILE_TYPES = tuple(ending for item in FORMATS for ending in item.endings)
"""Endings of what is read, each also with .gz behind it."""

_CHUNK = 1 << 20
_JSON_LIST = re.compile(r"\s*\[\s*(\{|$)")
_STRICT = ReadOptions(strict=True)

Sources = str | os.PathLike[str] | Passage | Sequence[str | os.PathLike[str]] | Iterable[Passage]
"""Paths or passages, one or several."""

T = TypeVar("T")
Records = Iterator[tuple[Place, dict[str, Any]]]


def gather_passages(
    sources: Sources,
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
    report: ReadReport | None = None,
    options: ReadOptions = _STRICT,
    known: KnownSources | None = None,
) -> Iterable[Passage]:
    """Passages as they are given, or those of files and folders, cut where they are too long.

    Raises:
        DataError: Paths and passages are given at once, or something else; else as for
            `read_passages`.
        ConfigError: As for `read_passages`.
    """
    passages, paths = sorted_sources(sources)
    if not paths:
        return cut_passages(
            passages, count_tokens=count_tokens, passage_tokens=passage_tokens, overlap=overlap
        )
    if passages:
        raise DataError("expected paths or passages, not both at once")
    return read_passages(
        paths,
        count_tokens=count_tokens,
        passage_tokens=passage_tokens,
        overlap=overlap,
        report=report,
        options=options,
        known=known,
    )


def sorted_sources(sources: Any) -> tuple[list[Passage], list[str]]:
    """Passages and paths among what was given.

    Raises:
        DataError: Something is neither; says how a passage is made of it.
    """
    if isinstance(sources, str | os.PathLike | Passage | Mapping | bytes):
        sources = [sources]
    elif not isinstance(sources, Iterable):
        raise DataError(f"expected paths or Passage objects, not {_shown(sources)}")
    passages, paths = [], []
    for number, item in enumerate(sources, 1):
        if isinstance(item, Passage):
            passages.append(_of_strings(item, number))
        elif isinstance(item, str | os.PathLike):
            paths.append(os.fspath(item))
        else:
            raise _no_passage(item, number)
    return passages, paths


def _of_strings(passage: Passage, number: int) -> Passage:
    """The passage, which can be cut and counted; what it holds is checked where it is stored."""
    for name in ("id", "text", "title"):
        value = getattr(passage, name)
        if not isinstance(value, str):
            raise DataError(f"item {number}: {name!r} must be a string, it is {_shown(value)}")
    return passage


def _no_passage(item: Any, number: int) -> DataError:
    known = ("id", "text", "title", "document", "position", "metadata")
    message = f"item {number}: expected a path or a Passage, not {_shown(item)}"
    if isinstance(item, Mapping):
        missing = [key for key in ("id", "text") if key not in item]
        other = [key for key in item if key not in known]
        if missing:
            keys = "key" if len(missing) == 1 else "keys"
            message += f" without the {keys} {' and '.join(map(repr, missing))}"
        hint = "make Passage(id=..., text=..., title=...)" if missing else "make Passage(**item)"
        texts = [key for key in other if isinstance(item[key], str)]
        if "text" in missing and texts:  # under another name
            hint = hint.replace("text=...", f"text=item[{texts[0]!r}]")
            other.remove(texts[0])
        if other:
            hint += f"; {', '.join(map(repr, other))} belong into its metadata={{...}}"
        return DataError(message, hint=hint)
    return DataError(message, hint="make Passage(id=..., text=...)")


def _shown(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def read_passages(
    sources: Sequence[str | Path],
    *,
    count_tokens: TokenCounter,
    passage_tokens: int,
    overlap: int = 0,
    report: ReadReport | None = None,
    options: ReadOptions = _STRICT,
    known: KnownSources | None = None,
) -> Iterator[Passage]:
    """Read files and folders as passages that fit the budget, in a stream.

    As `read_records`, then `graphmem.sources.chunking.cut_passages`; documents are cut where
    their structure allows, and their pieces say in their metadata where they stand.

    Args:
        sources: Files, folders and "-".
        count_tokens: Length of each text in the embedder's tokens.
        passage_tokens: Budget of tokens for a title and a text.
        overlap: Tokens that a piece repeats of the one before.
        report: Counts what is read, and names what is left out.
        options: How to read.
        known: Looks up the names of documents in the index that they are added to.

    Raises:
        DataError: A source is missing, nothing at all can be read, or with `options.strict`
            anything cannot.
        ConfigError: The budget is too small, or the overlap not below it.
    """
    report = ReadReport() if report is None else report
    pieces = cut_documents(
        _documents(sources, report, options, known),
        count_tokens=count_tokens,
        passage_tokens=passage_tokens,
        overlap=overlap,
    )
    return _counted(pieces, report)


def _counted(passages: Iterable[Passage], report: ReadReport) -> Iterator[Passage]:
    for passage in passages:
        report.passages += 1
        yield passage
    if not report.passages and (not report.complete or report.skipped_files):
        raise _nothing(report)


def _nothing(report: ReadReport) -> DataError:
    """What to raise where nothing but unfit files was given."""
    first, *others = [*report.left_out, *report.bad_records, *report.other_files]
    more = f" (and {len(others)} more: no file to read)" if others else ""
    return DataError(f"{first.reason}{more}", first.path, first.line, first.hint)


def read_records(
    sources: Sequence[str | Path],
    *,
    report: ReadReport | None = None,
    options: ReadOptions = _STRICT,
) -> Iterator[Passage]:
    """Read files and folders as whole records and documents, uncut, in a stream.

    Folders are read recursively and sorted, without hidden files, without links that lead out of
    them, and without indexes and results of experiments in them. What a file is, its content says
    before its ending does: see `graphmem.sources.formats`; its encoding is found out. A record is
    an object (.jsonl, a .json list) or a row (.csv and .tsv with a header) with "text", perhaps
    "title" and an id ("id", "_id" or "idx", else one is made of the content); everything else,
    and the fields of a "metadata" object, is metadata. Any other file is a document with its path
    as id; its title is what it says of itself, else the file's name.

    "-" is standard input: one JSON object per line if its first character that is not blank is
    "{", a JSON list if it begins with "[" and then "{" or a new line, plain text otherwise.

    In texts NUL becomes a space, a lone surrogate U+FFFD, CR LF a line feed, and more than
    100 blanks in a row become one.

    Args:
        sources: Files, folders and "-". All are looked up before the first is read.
        report: Counts what is read, and names what is left out.
        options: How to read; by default the first fault is an error.

    Raises:
        DataError: A source is missing, unreadable or malformed; says where.
    """
    report = ReadReport() if report is None else report
    documents = _documents(sources, report, options, None)
    return (document.passage for document in documents)


def read_objects(path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects of a JSONL file (also .gz, "-" for standard input), one a line, with their place.

    Raises:
        DataError: There is no such file, or a line is not an object.
    """
    if path != "-" and not Path(path).is_file():
        raise DataError("no such file", path)
    file = STANDARD_INPUT if path == "-" else Found(Path(path), path, True, Path())
    with _opened(file) as stream:
        yield from parse_lines(_lines(file, stream, _STRICT, ReadReport()), path)


def _documents(
    sources: Sequence[str | Path],
    report: ReadReport,
    options: ReadOptions,
    known: KnownSources | None,
) -> Iterator[Document]:
    if options.encoding:
        options = replace(options, encoding=codec_name(options.encoding))
    files = find_files(sources, options, report)
    if not files and report.complete and not report.skipped_files:
        raise DataError("no file to read in this folder", str(sources[0]))
    return _read_all(name_documents(files, known), report, options)


def _read_all(
    files: Iterable[Found], report: ReadReport, options: ReadOptions
) -> Iterator[Document]:
    for file in files:
        report.files += 1
        before, skipped = _good(report), report.skipped_records
        try:
            yield from _read_file(file, report, options)
        except DataError as error:
            if isinstance(error, OtherTypeError) and not file.named:
                report.skip_other(LeftOut.from_error(error))
                logger.info("%s: skipped, %s", ascii_path(file.path), error.message)
                continue
            if not error.path:
                error = DataError(error.message, str(file.path), error.line, error.hint)
            if options.strict:
                raise error from error.__cause__
            _leave_out(error, report, _good(report) > before)
            continue
        if file != STANDARD_INPUT and report.skipped_records == skipped:
            report.whole.add(os.path.abspath(file.path))
        if _good(report) == before:
            if report.skipped_records > skipped:  # no record of it was any good
                _leave_out_records(file, report, skipped)
                continue
            report.empty_files.append(LeftOut(str(file.path), "no text in it"))
            if file.named:
                logger.warning("%s: no text in it", without_surrogates(ascii_path(file.path)))


def _good(report: ReadReport) -> int:
    return report.records - report.skipped_empty - report.skipped_records


def ascii_path(path: Path) -> str:
    """A path without characters that would move a terminal's cursor."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(path))


def _leave_out(error: DataError, report: ReadReport, read_some: bool) -> None:
    if read_some:  # what stands before the fault was read
        item = LeftOut.from_error(error)
        reason = f"{item.reason}; the rest of the file is not read"
        report.skip_record(replace(item, reason=reason))
    else:
        report.left_out.append(LeftOut.from_error(error))


def _leave_out_records(file: Found, report: ReadReport, before: int) -> None:
    """Say of a file as a whole what its first bad record says."""
    count = report.skipped_records - before
    mine = [item for item in report.bad_records if item.path == str(file.path)]
    report.bad_records = [item for item in report.bad_records if item.path != str(file.path)]
    report.skipped_records -= count
    report.records -= count
    first = mine[0] if mine else LeftOut(str(file.path), "no record in it can be read")
    more = f" ({count} records are like it)" if count > 1 else ""
    report.left_out.append(replace(first, reason=first.reason + more))


def _read_file(file: Found, report: ReadReport, options: ReadOptions) -> Iterator[Document]:
    with _opened(file) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        whole = partial(_whole, file, stream, options)
        if file == STANDARD_INPUT:
            kind, lines = _standard_input(file, stream, options, report)
        else:
            kind, lines = tell_format(file.path.name, head, whole, str(file.path)), None
        if kind.missing:
            raise DataError(
                f"{kind.name} files need {', '.join(kind.missing)}",
                str(file.path),
                hint=f"pip install 'graphmem[{kind.extra}]'" if kind.extra else "",
            )
        if kind.name in RECORDS:
            yield from _read_records(file, kind, stream, lines, report, options)
            return
        text = ""
        if kind.binary:
            reader = cast("Callable[[bytes], Iterator[Content]]", kind.reader())
            contents = reader(whole())
        else:
            text = "".join(lines) if lines is not None else _text(file, stream, options, report)
            contents = cast("Callable[[str], Iterator[Content]]", kind.reader())(text)
        for content in _shallow(contents):
            report.records += 1
            document = _to_document(file, kind, content, text)
            if document.passage.text:
                yield document
            else:
                report.skipped_empty += 1
                logger.info("%s: skipped, no text", ascii_path(file.path))


def _shallow(contents: Iterator[T]) -> Iterator[T]:
    """The same contents or records; what a reader meets too deep inside itself is said.

    Readers are made of other people's parsers, and no list of what those raise is whole.
    """
    try:
        yield from contents
    except (DataError, OSError, EOFError, zlib.error):
        raise
    except RecursionError as error:
        raise DataError("nested too deeply") from error
    except Exception as error:  # noqa: BLE001 as said above
        raise DataError(f"damaged: {type(error).__name__}: {one_line(str(error))[:200]}") from error


def _read_records(
    file: Found,
    kind: Format,
    stream: IO[bytes],
    lines: Iterator[str] | None,
    report: ReadReport,
    options: ReadOptions,
) -> Iterator[Document]:
    def skip(error: DataError) -> None:
        if options.strict:
            raise error
        report.records += 1
        report.skip_record(LeftOut.from_error(error))

    path = str(file.path)
    records: Records
    if kind.binary:
        from graphmem.sources.formats.columns import read

        records = _shallow(read(stream, kind.name, path))
    else:
        chunks = kind.name == "json"
        if lines is None:
            lines = _lines(file, stream, options, report, chunks=chunks)
        records = _parse(kind.name, lines, path, skip, options)
    for place, record in records:
        try:
            passage = to_passage(record, place, options)
        except DataError as error:
            skip(error)
            continue
        report.records += 1
        if passage.text:
            yield Document(passage if file == STANDARD_INPUT else _placed(passage, file))
        else:
            report.skipped_empty += 1
            logger.info("%s: skipped, no text", ascii_path(Path(passage.source)))


def _placed(passage: Passage, file: Found) -> Passage:
    """The passage of a record with the absolute path in its source, which lasts."""
    return replace(
        passage, source=os.path.abspath(file.path) + passage.source.removeprefix(str(file.path))
    )


def _parse(kind: str, lines: Iterator[str], path: str, skip: Skip, options: ReadOptions) -> Records:
    if kind in ("csv", "tsv"):
        delimiter = options.delimiter or ("\t" if kind == "tsv" else "")
        return parse_rows(lines, path, skip, delimiter=delimiter, text_field=options.text_field)
    return parse_list(lines, path) if kind == "json" else parse_lines(lines, path, skip)


@contextmanager
def _opened(file: Found) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where it ends in .gz; they can be read again from the start.

    Raises:
        DataError: It cannot be read; also while it is read.
    """
    path = str(file.path)
    try:
        if file == STANDARD_INPUT:
            with tempfile.SpooledTemporaryFile(max_size=SAMPLE << 9) as spooled:
                shutil.copyfileobj(sys.stdin.buffer, spooled)
                spooled.seek(0)
                yield cast("IO[bytes]", spooled)
        elif file.path.name.lower().endswith(".gz"):
            with gzip.open(file.path) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with file.path.open("rb") as opened:
                yield opened
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a whole gzip file: {error}", path) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error


def _whole(file: Found, stream: IO[bytes], options: ReadOptions) -> bytes:
    """All of a document's bytes.

    Raises:
        DataError: They are too many.
    """
    stream.seek(0)
    data = stream.read(options.max_bytes + 1)
    if len(data) > options.max_bytes:
        raise _too_large(file, options)
    _check_ratio(file, len(data))
    return data


def _check_ratio(file: Found, size: int) -> None:
    """Refuse a packed file of which so many bytes or characters came.

    Raises:
        DataError: They are too many times as large as the file.
    """
    if size > SMALL and file != STANDARD_INPUT and file.path.name.lower().endswith(".gz"):
        check_ratio(file.path.stat().st_size, size)


def _too_large(file: Found, options: ReadOptions, line: int | None = None) -> DataError:
    what = "a document" if line is None else "a line"
    size = f"{what} of more than {options.max_bytes:,} bytes"
    return DataError(size, str(file.path), line, "raise --max-bytes, or split it")


def _encoding(file: Found, stream: IO[bytes], options: ReadOptions, report: ReadReport) -> str:
    if options.encoding:
        return options.encoding
    try:
        found = find_encoding(iter(lambda: stream.read(_CHUNK), b""), str(file.path))
    except DataError as error:
        hint = error.hint or "name its encoding: --encoding cp1252"
        binary = "binary" in error.message
        if binary and by_ending(file.path.name) is None:
            raise OtherTypeError(error.message, error.path) from error
        raise DataError(error.message, error.path, error.line, "" if binary else hint) from error
    stream.seek(0)
    if not found.codec.startswith("utf-8"):
        report.encodings[str(file.path)] = found.codec
    return "utf-8-sig" if found.codec == "utf-8" else found.codec


def _text(file: Found, stream: IO[bytes], options: ReadOptions, report: ReadReport) -> str:
    data = _whole(file, stream, options)
    codec = _encoding(file, io.BytesIO(data), options, report)
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise _undecodable(error, codec, str(file.path), 1) from error


def _lines(
    file: Found,
    stream: IO[bytes],
    options: ReadOptions,
    report: ReadReport,
    chunks: bool = False,
) -> Iterator[str]:
    """Decode a file by lines, or by large chunks for JSON that has no lines."""
    codec = _encoding(file, stream, options, report)
    text = io.TextIOWrapper(stream, encoding=codec, newline="\n")
    number, size = 1, 0
    try:
        if chunks:
            for chunk in iter(lambda: text.read(_CHUNK), ""):
                _check_ratio(file, size := size + len(chunk))
                yield chunk
            return
        for line in iter(lambda: text.readline(options.max_bytes), ""):
            if len(line) >= options.max_bytes:
                raise _too_large(file, options, number)
            _check_ratio(file, size := size + len(line))
            yield line
            number += 1
    except UnicodeDecodeError as error:
        raise _undecodable(error, codec, str(file.path), number) from error
    finally:
        if not stream.closed:  # who reads it may have gone on without the rest
            text.detach()


def _undecodable(error: UnicodeDecodeError, codec: str, path: str, line: int) -> DataError:
    line += error.object[: error.start].count(b"\n")
    message = f"expected {codec}, found the byte 0x{error.object[error.start]:02x}"
    return DataError(message, path, line, "name another encoding: --encoding cp1252")


def _standard_input(
    file: Found, stream: IO[bytes], options: ReadOptions, report: ReadReport
) -> tuple[Format, Iterator[str]]:
    """The type of what is piped in, and its lines."""
    lines = _lines(file, stream, options, report)
    head: list[str] = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    start = "".join(head).lstrip()
    kind = "jsonl" if start.startswith("{") else "json" if _JSON_LIST.match(start) else "text"
    return BY_NAME[kind], chain(head, lines)


def _to_document(file: Found, kind: Format, content: Content, whole: str) -> Document:
    text = clean_text(without_surrogates(content.text))
    title = one_line(without_surrogates(content.title))
    before = ""
    if len(title) > LONGEST_TITLE:
        before, title = f"{title}\n\n", ""
    metadata = dict(content.metadata)
    if file == STANDARD_INPUT:  # no path that could be its id
        text = before + text
        passage = Passage(content_hash("", text)[:16], text, title, source="-")
        return Document(passage, cut=kind.cut)
    name = without_surrogates(file.name)
    if content.part:
        name = f"{name}/{content.part}"
    if not title:
        stem = re.sub(r"(?i)\.gz$", "", file.path.name)
        ending = by_ending(stem)
        title = (stem[: stem.rindex(".")] if ending else stem).replace("_", " ")
        title = without_surrogates(title).strip()
    source = os.path.abspath(file.path)
    passage = Passage(name, before + text, title, name, metadata=metadata, source=source)
    places = content.places or line_places(whole, text)
    return Document(passage, [(at + len(before), said) for at, said in places], kind.cut)
