"""How sources are read, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphmem.errors import DataError

NAMED = 1000
"""Records at most that a report names; all are counted."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files, folders and records are read.

    Attributes:
        strict: The first file or record that cannot be read is an error; else it is left out,
            reported, and the rest is read.
        include: Globs as in .gitignore, of which a file in a folder must match one; () is all.
        exclude: Globs of files in folders that are left out without a word.
        gitignore: Whether .gitignore and .graphmemignore in folders are obeyed.
        encoding: Of all text files, a name that Python knows; "" finds it out for each.
        text_field: Name of the field or column that holds the text of a record.
        title_field: Of its title.
        id_field: Of its id; "" is the first that is there of "id", "_id" and "idx".
        delimiter: Between the cells of a .csv or .tsv file, one character; "" finds it out.
        max_bytes: A document, or a line of records, that is larger is left out.
    """

    strict: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    gitignore: bool = False
    encoding: str = ""
    text_field: str = "text"
    title_field: str = "title"
    id_field: str = ""
    delimiter: str = ""
    max_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or record that could not be read.

    Attributes:
        path: The file.
        reason: What is wrong with it.
        hint: What would help, "" where nothing is known to.
        line: Its line, from 1, None where lines mean nothing.
    """

    path: str
    reason: str
    hint: str = ""
    line: int | None = None

    @classmethod
    def from_error(cls, error: DataError) -> LeftOut:
        """What an error says."""
        return cls(error.path, error.message, error.hint, error.line)


@dataclass(slots=True)
class ReadReport:
    """Counts of one reading; they grow while the passages are consumed.

    Attributes:
        files: Files opened, standard input included.
        records: Records (lines, items, rows, whole documents) read, blank ones included.
        passages: Passages made of them.
        skipped_empty: Records without text, null included.
        skipped_files: Files in folders that no text is expected of: pictures, programs.
        skipped_records: Records that could not be read, or have the id of another one; the rest of
            their file was.
        left_out: Files that could not be read, and links that lead out of a folder.
        other_files: The `skipped_files`.
        empty_files: Files without any text, such as empty ones.
        bad_records: The first of the `skipped_records`, `NAMED` at most.
        encodings: Files whose encoding is not UTF-8 and was found out, and which it is.
        whole: Absolute paths of the files that were read from the first to the last record.
    """

    files: int = 0
    records: int = 0
    passages: int = 0
    skipped_empty: int = 0
    skipped_files: int = 0
    skipped_records: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    other_files: list[LeftOut] = field(default_factory=list)
    empty_files: list[LeftOut] = field(default_factory=list)
    bad_records: list[LeftOut] = field(default_factory=list)
    encodings: dict[str, str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def complete(self) -> bool:
        """Whether all was read that texts are expected of."""
        return not self.left_out and not self.skipped_records

    def skip_other(self, item: LeftOut) -> None:
        """Count and name a file that no text is expected of."""
        self.skipped_files += 1
        self.other_files.append(item)

    def skip_record(self, item: LeftOut) -> None:
        """Count a record that is left out, and name it while there are few."""
        self.skipped_records += 1
        if len(self.bad_records) < NAMED:
            self.bad_records.append(item)

    def add_skipped(self, other: ReadReport) -> None:
        """Count the records that another reading left out as well."""
        self.skipped_records += other.skipped_records
        self.bad_records += other.bad_records[: NAMED - len(self.bad_records)]
