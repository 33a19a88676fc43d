"""Records of JSON, JSONL, CSV and TSV text, and the passages they stand for."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from graphmem.base.counts import counted
from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.sources.options import ReadOptions
from graphmem.types import Passage

ID_FIELDS = ("id", "_id", "idx")
"""Names of a record's id, the first that is there counts: the usual one, BEIR's, HippoRAG's."""

_DEFAULT = ReadOptions()
_LARGEST_CELL = 1 << 30
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_BLANK = re.compile(r"\s{101,}")
_BLANK = re.compile(r"[ \t\r\n]*")
_SAYS_DELIMITER = re.compile('\ufeff?"?sep=(.)"?\r?\n?', re.IGNORECASE)
_JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
# What may stand between the items of a JSON list, and what it leads to.
_LIST_MARKS = {
    ("the list", "["): "an object or ]",
    ("an object or ]", "]"): "nothing more",
    (", or ]", ","): "an object",
    (", or ]", "]"): "nothing more",
}


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


# NaN and infinities are no JSON, but other programs write them for missing values; 1e999 is JSON,
# but an infinity in Python.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite)
_SEPARATORS = ",;\t|"

Skip = Callable[[DataError], None]
"""Told of a record that is no good, where reading goes on."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a line (lines, rows) or an item (lists) of a file, from 1."""

    path: str
    line: int | None = None
    item: int | None = None

    def error(self, message: str, hint: str = "") -> DataError:
        """An error that points here."""
        if self.item is not None:
            message = f"item {self.item}: {message}"
        return DataError(message, self.path, self.line, hint)

    def __str__(self) -> str:
        """As "file:line" or "file: item 3"."""
        if self.item is not None:
            return f"{self.path}: item {self.item}"
        return self.path if self.line is None else f"{self.path}:{self.line}"


def clean_text(text: str) -> str:
    r"""Trim; NUL to a space, CR LF and CR to a line feed, more than 100 blanks in a row to one.

    >>> clean_text(" a\0b\r\nc\n" + " " * 1000 + "\n\nd")
    'a b\nc\n\nd'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ").strip()
    return _LONG_BLANK.sub(lambda run: "\n\n" if "\n" in run[0] else " ", text)


def without_surrogates(text: str) -> str:
    r"""Replace lone surrogates, which have no UTF-8, by U+FFFD.

    >>> without_surrogates("a\ud800") == "a\ufffd"
    True
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def parse_lines(
    lines: Iterable[str], path: str, skip: Skip | None = None
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """One JSON object per line; blank lines are passed over.

    Args:
        lines: The lines of the file.
        path: For error messages.
        skip: Told of every line that is no object; None raises the first.

    Raises:
        DataError: A line is not an object.
    """
    for number, line in enumerate(lines, 1):
        line = line.strip("\ufeff \t\r\n")
        if not line:
            continue
        place = Place(path, number)
        try:
            record = _parse_line(line, place)
        except DataError as error:
            if skip is None:
                raise
            skip(error)
            continue
        yield place, record


def _parse_line(line: str, place: Place) -> dict[str, Any]:
    try:
        value, end = _parse(line, 0)
    except (ValueError, RecursionError) as error:
        raise place.error(f"expected one JSON object: {_reason(error)}") from error
    if not isinstance(value, dict):
        raise place.error(f"expected an object, found {_JSON_TYPES[type(value)]}")
    if end < len(line):
        raise place.error(f"expected one JSON object, found more after character {end}")
    return value


def parse_list(chunks: Iterable[str], path: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    r"""Items of a JSON list of objects, without holding the whole of it.

    Args:
        chunks: The text in parts of any size, cut anywhere.
        path: For error messages.

    Raises:
        DataError: It is no list, or an item is not an object.

    >>> [record for _, record in parse_list(['[{"text": ', '"a"}, {"te', 'xt": "b"}]'], "x.json")]
    [{'text': 'a'}, {'text': 'b'}]
    """
    text, expected, number, enough = "", "the list", 0, 0
    for chunk in chain(chunks, [None]):
        text += chunk or ""
        if chunk is not None and len(text) < enough:
            continue
        at = 0
        while (at := _skip_blanks(text, at)) < len(text):
            if (expected, text[at]) in _LIST_MARKS:
                expected = _LIST_MARKS[expected, text[at]]
                at += 1
                continue
            place = Place(path, item=number + 1)
            if text[at] != "{" or not expected.startswith("an object"):
                raise _unexpected(text[at], expected, place)
            try:
                value, at = _parse(text, at)
            except (ValueError, RecursionError) as error:
                if chunk is None or _is_final(error, len(text)):
                    raise place.error(f"expected an object: {_reason(error)}") from error
                enough = 2 * (len(text) - at)  # a large item is not tried again for every chunk
                break
            number, expected = number + 1, ", or ]"
            yield place, value
        text = text[at:]
    if expected not in ("the list", "nothing more"):
        raise Place(path, item=number + 1).error(f"expected {expected}, found the end of the file")


def parse_rows(
    lines: Iterable[str],
    path: str,
    skip: Skip | None = None,
    *,
    delimiter: str = "",
    text_field: str = "text",
) -> Iterator[tuple[Place, dict[str, Any]]]:
    r"""Rows of a table under the names of its first row; quoted cells may hold line breaks.

    A line "sep=;" before the header, which Excel writes and reads, says what stands between cells.
    Between tabs, quotes are characters like others, unless every name of the first row has them.

    Args:
        lines: The lines of the file.
        path: For error messages.
        skip: Told of every row that does not fit the first; None raises the first such.
        delimiter: What stands between cells; "" is the one of , ; tab | that makes a column of
            texts of the first row, else the most columns.
        text_field: The name of that column.

    Raises:
        DataError: The header has no such column or a name twice, or a row does not fit it.

    >>> rows = parse_rows(['id;text\n', '7;"a\n', 'b"\n'], "x.csv")
    >>> [(str(place), row) for place, row in rows]
    [('x.csv:2', {'id': '7', 'text': 'a\nb'})]
    >>> [row for _, row in parse_rows(['sep=|\n', 'id|text\n', '7|a,b\n'], "x.csv")]
    [{'id': '7', 'text': 'a,b'}]
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    stream = iter(lines)
    first, blank, said = _first_row(stream)
    first = first.removeprefix("\ufeff")
    delimiter = delimiter or said or _delimiter(first, text_field)
    cells = first.strip().split(delimiter)
    plain = delimiter == "\t" and not all(len(c) > 1 and c[0] == c[-1] == '"' for c in cells)
    whole = chain([first], stream)
    if plain:
        rows = csv.reader(whole, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(whole, delimiter=delimiter, strict=True)
    header: list[str] = []
    place = Place(path, blank + 1)
    try:
        for row in rows:
            if not header:
                header = _checked_header(row, place, text_field)
            elif row and len(row) == len(header):
                yield place, dict(zip(header, row, strict=True))
            elif row:
                error = place.error(f"expected {counted(len(header), 'cell')}, found {len(row)}")
                if skip is None:
                    raise error
                skip(error)
            place = Place(path, blank + rows.line_num + 1)
    except csv.Error as error:
        raise place.error(f"not a row of a table: {error}") from error


def _first_row(stream: Iterator[str]) -> tuple[str, int, str]:
    """The first line of a table with anything in it, how many stand before, and what they say.

    That is what stands between cells, "" where they do not.
    """
    line, before, said = "", 0, ""
    for line in stream:
        delimiter = _SAYS_DELIMITER.fullmatch(line)
        if delimiter:
            said = delimiter[1]
        elif line.strip("\ufeff \t\r\n;,|"):
            return line, before, said
        before += 1
    return line, before, said


def _delimiter(line: str, text_field: str) -> str:
    """What stands between the names of a header.

    >>> _delimiter("id;text,with", "text,with"), _delimiter("a|b,c|d", "text")
    (';', '|')
    """

    def cells(separator: str) -> list[str]:
        return [cell.strip(' "\r\n') for cell in line.split(separator)]

    def fitness(separator: str) -> tuple[bool, int, bool]:
        names = cells(separator)
        return _field(text_field, names) in names, len(names), separator == ","

    return max(_SEPARATORS, key=fitness)


def _field(name: str, fields: Collection[str]) -> str:
    """How this name is written here: as it is, or as the only field but for capitals writes it.

    >>> _field("text", ["Text", "text"]), _field("id", ["ID"]), _field("id", ["ID", "Id"])
    ('text', 'ID', 'id')
    """
    if name in fields:
        return name
    alike = [field for field in fields if field.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else name


def to_passage(record: Mapping[str, Any], place: Place, options: ReadOptions = _DEFAULT) -> Passage:
    """The passage that a record stands for; its text is "" where it is blank or null.

    Raises:
        DataError: The field of the text is missing, or a field has the wrong type.

    >>> to_passage({"_id": 3, "text": "Ada.", "metadata": {"year": 1843}}, Place("a.jsonl", 1))
    Passage(id='3', text='Ada.', title='', document='', position=0, metadata={'year': 1843}, \
source='a.jsonl:1')
    """
    fields = dict(record)
    text_field = _field(options.text_field, fields)
    title_field = _field(options.title_field, fields)
    if text_field not in fields:
        found = ", ".join(map(repr, fields)) or "no field"
        hint = "name it with --text-field" if fields else ""
        raise place.error(f"expected a field {text_field!r}, found {found}", hint)
    text, title = fields.pop(text_field), fields.pop(title_field, None)
    if not isinstance(text, str | None):
        raise place.error(f"{text_field!r} must be a string, it is {_type(text)}")
    if not isinstance(title, str | None):
        raise place.error(f"{title_field!r} must be a string or null, it is {_type(title)}")
    text, title = clean_text(text or ""), clean_text(title or "")
    keys = (options.id_field,) if options.id_field else ID_FIELDS
    name = _pop_id(fields, place, keys) or content_hash(title, text)[:16]
    nested = fields.get("metadata")
    if isinstance(nested, dict):
        del fields["metadata"]
        fields = nested | fields
    return Passage(name, text, title, metadata=fields, source=str(place))


def _pop_id(fields: dict[str, Any], place: Place, keys: Sequence[str]) -> str:
    for key in (*keys, *(_field(key, fields) for key in keys)):
        value = fields.get(key)
        if value is None or value == "":
            continue
        del fields[key]
        if isinstance(value, bool) or not isinstance(value, str | int):
            found = repr(value) if isinstance(value, float) else _type(value)
            raise place.error(
                f"{key!r} must be a string or an integer, it is {found}",
                "make it a string, or name another field with --id-field",
            )
        return str(value).replace("\0", "\ufffd")
    return ""


def _type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), f"of type {type(value).__name__}")


def _checked_header(row: list[str], place: Place, text_field: str) -> list[str]:
    header = [name.strip() for name in row]
    if any(header) and (_field(text_field, header) not in header or len(set(header)) < len(header)):
        raise place.error(
            f"expected a header of different names, {text_field!r} among them, "
            f"found {', '.join(header)!r}",
            "name the column of the texts with --text-field, the separator with --delimiter",
        )
    return header if any(header) else []


def _parse(text: str, at: int) -> tuple[Any, int]:
    value, end = _DECODER.raw_decode(text, at)
    if _SURROGATE_ESCAPE.search(text, at, end):
        value = _mend(value)
    return value, end


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def _skip_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _is_final(error: ValueError | RecursionError, length: int) -> bool:
    """Whether reading on cannot help: the fault lies well before the end of what was read."""
    if not isinstance(error, json.JSONDecodeError):
        return True
    return not error.msg.startswith("Unterminated") and error.pos < length - 16


def _unexpected(found: str, expected: str, place: Place) -> DataError:
    if expected == "the list":
        hint = "one object per line is .jsonl" if found == "{" else ""
        return place.error(f"expected a list of objects, found {found!r}", hint)
    return place.error(f"expected {expected}, found {found!r}")


def _reason(error: ValueError | RecursionError) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
