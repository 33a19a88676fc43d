"""What can be read: one table of formats, and how a file's format is told by its content."""

from __future__ import annotations

import importlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content

Reader = Callable[[str], Iterator[Content]] | Callable[[bytes], Iterator[Content]]
Cut = Literal["prose", "markdown", "lines"]
"""What borders a text has beside sentences: none, those of Markdown, or its lines."""


class OtherTypeError(DataError):
    """A file of a kind that no text is expected of."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    Attributes:
        name: Its name here.
        title: What it is, for people.
        endings: File names end so, each also with .gz behind.
        module: Which module of this package reads it, "" for records.
        binary: Whether it is bytes and no text.
        cut: Where its text may be cut.
        needs: Modules that must be there.
        extra: What installs them, "" where graphmem does itself.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    module: str = ""
    binary: bool = False
    cut: Cut = "markdown"
    needs: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Those of the modules that are not there."""
        return tuple(name for name in self.needs if find_spec(name) is None)

    def reader(self) -> Reader:
        """The function that reads it: of str or bytes and an iterator of contents."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        reader: Reader = module.read
        return reader


_DOCUMENTS = "documents"
_CODE = (
    *(".py", ".pyi", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".scala", ".c", ".h"),
    *(".cc", ".cpp", ".hpp", ".cs", ".go", ".rs", ".rb", ".php", ".pl", ".swift", ".lua", ".r"),
    *(".jl", ".hs", ".ml", ".clj", ".ex", ".erl", ".sh", ".bash", ".ps1", ".bat", ".sql", ".css"),
    *(".scss", ".toml", ".ini", ".cfg", ".conf", ".properties", ".proto", ".cmake", ".diff"),
)
FORMATS = (
    Format("text", "Plain text, and any other file of text", (".txt", ".text"), "plain"),
    Format("markdown", "Markdown, with its front matter", (".md", ".markdown", ".mdx"), "markdown"),
    Format("jsonl", "Records, one JSON object a line", (".jsonl", ".ndjson")),
    Format("json", "Records in a JSON list", (".json",)),
    Format("csv", "Records in a table", (".csv",)),
    Format("tsv", "Records in a table with tabs", (".tsv", ".tab")),
    Format(
        *("parquet", "Records in Parquet", (".parquet",), "", True),
        needs=("pyarrow",),
        extra="parquet",
    ),
    Format(
        "arrow",
        "Records in Arrow, as Hugging Face data sets keep them",
        (".arrow", ".feather"),
        binary=True,
        needs=("pyarrow",),
        extra="parquet",
    ),
    Format(
        *("html", "Web pages: their main text", (".html", ".htm", ".xhtml"), "html"),
        needs=("selectolax",),
    ),
    Format("pdf", "PDF: text by pages", (".pdf",), "pdf", True, "prose", ("pypdfium2",)),
    Format(
        *("docx", "Word", (".docx", ".docm"), "docx", True),
        needs=("mammoth", "selectolax"),
        extra=_DOCUMENTS,
    ),
    Format(
        *("pptx", "PowerPoint: slides, tables and notes", (".pptx", ".pptm"), "pptx", True),
        needs=("pptx",),
        extra=_DOCUMENTS,
    ),
    Format(
        *("xlsx", "Workbooks: a table for each sheet", (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")),
        *("workbook", True),
        needs=("python_calamine",),
        extra=_DOCUMENTS,
    ),
    Format(
        *("odt", "OpenDocument text", (".odt",), "odt", True),
        needs=("odfdo",),
        extra=_DOCUMENTS,
    ),
    Format(
        *("rtf", "Rich text", (".rtf",), "rtf", True, "prose"),
        needs=("striprtf",),
        extra=_DOCUMENTS,
    ),
    Format("epub", "Electronic books", (".epub",), "epub", True, needs=("selectolax",)),
    Format(
        *("eml", "Mail, without what it quotes", (".eml",), "mail", True),
        needs=("mailparser_reply", "selectolax"),
    ),
    Format(
        *("mbox", "Mailboxes: a document for each mail", (".mbox",), "mailbox", True),
        needs=("mailparser_reply", "selectolax"),
    ),
    Format("ipynb", "Notebooks: text, code and printed results", (".ipynb",), "notebook"),
    Format(
        *("rst", "reStructuredText", (".rst", ".rest"), "rst"),
        needs=("docutils", "selectolax"),
    ),
    Format(
        *("tex", "LaTeX", (".tex", ".latex"), "tex"),
        needs=("pylatexenc",),
    ),
    Format("org", "Org mode", (".org",), "org", needs=("orgparse",), extra=_DOCUMENTS),
    Format(
        *("subtitles", "Subtitles, with their times", (".srt", ".vtt"), "subtitles"),
        cut="lines",
        needs=("pysubs2",),
        extra=_DOCUMENTS,
    ),
    Format("xml", "XML: its text", (".xml", ".xsd", ".xsl"), "xml", True, "lines"),
    Format("yaml", "YAML, as it stands", (".yaml", ".yml"), "plain", cut="lines"),
    Format("log", "Logs, as they stand", (".log",), "plain", cut="lines"),
    Format("code", "Source code and settings, as they stand", _CODE, "plain", cut="lines"),
)
BY_NAME = {item.name: item for item in FORMATS}
RECORDS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow")
"""Formats of many records, each a passage with an id of its own."""

_BY_ENDING = {ending: item for item in FORMATS for ending in item.endings}
HEAD = 4096
"""Bytes by which a format is told."""
_MARKS = (
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
)
_MEMBERS = (  # of zip files, and what has them
    ("word/document.xml", "docx"),
    ("ppt/presentation.xml", "pptx"),
    ("xl/workbook.xml", "xlsx"),
    ("xl/workbook.bin", "xlsx"),
)
_MIME_TYPES = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "xlsx",
}
_TEXT_IN_BYTES = ("eml", "mbox", "xml")  # their readers find out the encoding
_SAYS_LITTLE = ("text", "xml")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HTML = re.compile(
    rb"(\xef\xbb\xbf)?\s*+(?:<\?xml[^>]{0,200}>\s*+)?(?:<!--.{0,2000}?-->\s*+)?"
    rb"<(?:!doctype html|html[\s>])",
    re.IGNORECASE | re.DOTALL,
)
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml\s")
# What is told by its first bytes and never read.
_OTHERS = (
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"BM", "a picture"),
    (b"RIFF", "a picture, sound or film"),
    (b"\x00\x00\x01\x00", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"OggS", "sound"),
    (b"ID3", "sound"),
    (b"fLaC", "sound"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3\x00", "a data base"),
    (b"7z\xbc\xaf'\x1c", "an archive"),
    (b"Rar!", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ\x00", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\x00\x01\x00\x00\x00", "a font"),
)


def by_ending(name: str) -> Format | None:
    """The format that a file's name tells, None where it tells none.

    >>> by_ending("Notes.MD.gz").name
    'markdown'
    """
    stem = name.lower().removesuffix(".gz")
    dot = stem.rfind(".")
    return _BY_ENDING.get(stem[dot:]) if dot >= 0 else None


def tell_format(name: str, head: bytes, whole: Callable[[], bytes], path: str) -> Format:
    """The format of a file: what its first bytes say, else its ending, else text.

    Args:
        name: The file's name.
        head: Its first `HEAD` bytes.
        whole: Reads all of it, for archives.
        path: For error messages.

    Raises:
        DataError: It is of a kind that is not read; says which.
    """
    kind = _by_mark(head, whole, path)
    if kind:
        return BY_NAME[kind]
    named = by_ending(name)
    if named is not None and named.binary and named.name not in _TEXT_IN_BYTES:
        return _instead(named, head, path)
    if not _is_text(head):
        _refuse_others(head, path)
    if (named is None or named.name in _SAYS_LITTLE) and _HTML.match(head):
        return BY_NAME["html"]
    if named is None:
        return BY_NAME["xml" if _XML.match(head) else "text"]
    return named


def _by_mark(head: bytes, whole: Callable[[], bytes], path: str) -> str:
    for mark, kind in _MARKS:
        if head.startswith(mark):
            return kind
    if b"%PDF-" in head[:1024] and not _is_text(head):
        return "pdf"
    return _in_zip(whole(), path) if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else ""


def _instead(named: Format, head: bytes, path: str) -> Format:
    """What a file is that has not the marks which its ending promises."""
    if head.startswith(_OLD_OFFICE) and named.name == "xlsx":
        return named
    _refuse_others(head, path)
    if named.name == "arrow" and not _is_text(head):
        return named  # a stream of record batches has no mark
    if _HTML.match(head):
        return BY_NAME["html"]
    if _is_text(head):
        return BY_NAME["text"]
    raise DataError(f"no {named.name} file, whatever its name says, and no text", path)


def _refuse_others(head: bytes, path: str) -> None:
    if head.startswith(_OLD_OFFICE):
        raise DataError("an old Office file", path, hint="save it as .docx, .pptx or .pdf")
    for mark, what in _OTHERS:
        if head.startswith(mark):
            raise OtherTypeError(f"{what}, which has no text to read", path)


def _is_text(head: bytes) -> bool:
    """Whether the first bytes are UTF-8 without control characters; the last one may be cut."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return not any(char < "\t" for char in text)


def _in_zip(data: bytes, path: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            for member, kind in _MEMBERS:
                if member in names:
                    return kind
            if "mimetype" in names and archive.getinfo("mimetype").file_size < HEAD:
                kind = _MIME_TYPES.get(archive.read("mimetype").strip(), "")
                if kind:
                    return kind
    except ZIP_ERRORS as error:
        raise DataError(f"a damaged zip file: {error}", path) from error
    raise OtherTypeError("an archive", path, hint="unpack it")


ZIP_ERRORS = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, ValueError, OSError, zipfile.zlib.error),  # type: ignore[attr-defined]
)
"""What `zipfile` raises for damaged, encrypted and unknown archives."""
