"""Hostile input, made at random from a seed: does all of it end in an answer or an error of ours?

    python pipelines/fuzz.py --seconds 300 --record
    python pipelines/fuzz.py --target documents --seed 7 --case 1234

Targets: `bombs` (files that become large, deep or endless, the same whatever the seed), `documents`
(every reader of `graphmem formats`: samples that are cut, spliced and mutated, and such whose XML,
JSON, tables or lines are others and well-formed, inside zip files too), `texts` (passages that are
indexed), `questions` (every preset), `indexes` (a folder with facts, with learned words or that is
extended, with other bytes, headers, manifests, tables and links) and `answers` (what a model may
say: extraction, facts, answers, OpenIE files).

A finding is an exception that is no `GraphmemError`, a process that dies, more than 30 s of the
processor for an input below 1 MB, more than 1.5 GB of memory, and a file written, program run,
connection made or pickle read outside the folder of the case. Each is a JSON line on standard
output with the number of its case, by which --case tries it again; what was tried stands in the
last line of each target, which --record keeps in pipelines/results/fuzz.json. The exit code is 1
where something was found. Linux.
"""

from __future__ import annotations

import copy
import csv
import gzip
import importlib
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import click
from bm25s.stopwords import STOPWORDS_EN_PLUS
from kills import Names
from kills import passages as numbered

from graphmem import GraphMemory, Passage
from graphmem.answering.iterative import clues, ircot, residual
from graphmem.answering.reader import Reader
from graphmem.config import PRESETS
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import GraphmemError
from graphmem.extraction.imported import ImportedExtractor
from graphmem.extraction.openie import LlmExtractor
from graphmem.indexing.extending import SMALLEST
from graphmem.llm.fact_filter import ModelFactFilter
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.structured_output import parse_object
from graphmem.sources.files import read_passages
from graphmem.sources.formats import FORMATS
from graphmem.sources.markup import as_read
from graphmem.sources.options import ReadOptions
from graphmem.types import ChatRequest, Triple

SMALL = 1 << 20
"""Bytes of an input that is not large."""
MOST_MEMORY = 1536 << 20
LIMIT = 8 << 30
"""Address space of the process that tries the cases: a bomb must not take the machine."""
PATIENCE, LONGEST = 30.0, 180.0
"""Seconds of the processor after which a case of up to SMALL bytes is interrupted, a larger one in
proportion; of the clock, and it is killed."""

Case = tuple[str, int, Callable[[], object]]
"""What is tried, for people; bytes of the input; and how."""
Target = Callable[[int, Random, Path], Case]
"""Makes the case of a number in an empty folder."""

RESULTS = Path(__file__).with_name("results") / "fuzz.json"
TESTS = Path(__file__).parents[1] / "tests" / "sources"
PASSAGES = [
    Passage("1", "Alien is a film by Ridley Scott (R. S.). It came out on 25 May 1979.", "Alien"),
    Passage("2", "Ridley Scott was born in South Shields.", metadata={"year": 1937}),
    Passage("3", "Ticket PPR-7195: see `amber_inlet.py` and [South Shields](x.html)."),
    Passage("4", "Čapek wrote R.U.R. in Prague; 東京タワー is in Tokyo.", "Karel Čapek"),
]
NAMES = ["Alien", "Ridley Scott", "South Shields", "Prague"]
TRIPLES = [["Alien", "directed by", "Ridley Scott"], ["Ridley Scott", "born in", "South Shields"]]
ODD = (
    *("\0", "\ud800", "\ufeff", "\u202e", "\u2066", "\u200d", "\xad", "\x1b[31m", "\u0301", "ﷺ"),
    *("İ", "ß", "🏳️‍🌈", "\U0010ffff", "\x85", "\u2028", "ก็็็", "٣", "²", "Ⅷ", "ǅ", "\r", "\n\n", "\t"),
    *("../../x", "/etc/passwd", "A. B. C. ", "Ada Byron ", '"', "'", "`", "<", "[[", "{{", "\\"),
)

PLAIN = (
    *STOPWORDS_EN_PLUS,
    *("Dr", "Jr", "III", "M.D", "A.", "van", "O'Neil", "ada.byron", "Ada", "Byron", "Alien"),
    *("1979", "3 May", '"Bo', "(Bo", "prince", "film", "USA", "iPhone", "Ridley Scott"),
)


def odd_text(random: Random, longest: int) -> str:
    """Characters of any script, words, controls and runs."""
    parts: list[str] = []
    size, wanted = 0, int(longest ** random.random()) + 1
    while size < wanted:
        match random.randrange(7):
            case 0:
                part = chr(random.randrange(0x110000))
            case 1:
                part = "".join(chr(random.randrange(32, 0x2FF)) for _ in range(8))
            case 2:
                part = random.choice(ODD)
            case 3:
                part = random.choice(ODD) * random.randrange(1, 1 + wanted // 2)
            case 4:
                part = random.choice(PASSAGES).text[random.randrange(20) :]
            case 5:
                part = plain_words(random)
            case _:
                part = random.choice((" ", ", ", ". ", " Ada ", "a", "1", "-"))
        parts.append(part)
        size += len(part)
    return "".join(parts)[:longest]


def plain_words(random: Random) -> str:
    """Words as people type them, with any capitals: names, and what questions are made of."""
    words = [
        random.choice((str.title, str.title, str.lower, str.upper, str))(random.choice(PLAIN))
        + random.choice(("", "", "", ",", ".", "?", "'s", "-", '"', ")"))
        for _ in range(random.randrange(1, 9))
    ]
    return " ".join(words) + " "


def mutated(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The data with a few changes: bytes, cuts, copies, parts of others, long runs."""
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
        match random.randrange(9):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[min(end, at + 64) :]
            case 2:
                data = data[:at] + random.randbytes(random.randrange(1, 16)) + data[at:]
            case 3 if data:
                place = min(at, len(data) - 1)
                data = data[:place] + bytes([random.randrange(256)]) + data[place + 1 :]
            case 4:
                data = data[:at] + data[at:end] * random.choice((2, 3, 50)) + data[end:]
            case 5 if others:
                other = random.choice(others)
                data = data[:at] + other[random.randrange(len(other) + 1) :]
            case 6:
                number = random.choice((b"0", b"-1", b"99999999999", b"1e999", b"NaN", b"null"))
                data = data[:at] + number + data[at + random.randrange(4) :]
            case 7:
                odd = random.choice(ODD).encode("utf-8", "surrogatepass")
                data = data[:at] + odd + data[end if random.random() < 0.1 else at :]
            case _:
                unit = data[at : at + random.randrange(1, 13)] or b"("
                size = int(10 ** random.uniform(1, 5.9))
                run = unit * max(1, (min(size, 900_000) - len(data)) // len(unit))
                data = data[:at] + run + (data[end:] if random.random() < 0.5 else data[at:])
        data = data[:SMALL]
    return data


def members(data: bytes) -> dict[str, bytes]:
    """Members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    """A zip file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return out.getvalue()


@cache
def samples() -> dict[str, bytes]:
    """A valid file of every kind, by its name."""
    sys.path.insert(0, str(TESTS))
    made = importlib.import_module("documents")
    known = importlib.import_module("test_document_formats")
    found = {
        name: content if isinstance(content, bytes) else content.encode()
        for name, (content, _, _) in known.CASES.items()
    }
    found["a.mbox"], found["a.pdf"] = known.BOX, made.pdf([["Ada", "wrote."], ["On."]], "T")
    found["a.md"] = (
        b"---\ntitle: Ada\ndate: 1843-01-01\n---\n# Ada\n\n* a\n  1. b\n\n| x |\n| - |\n| 1 |\n"
    )
    found["a.md"] += b"\n```py\nx\n```\n[a](b 'c') **d** <b>e</b> [^1] ~~f~~ > g\n\n[a]: b\n"
    found["wiki.txt"] = b"'''Ada''' [[a|b]] {{c|d=e}} <ref>f</ref>\n== G ==\n{|\n| h\n|}\n"
    found["a.txt"] = "\n".join(passage.text for passage in PASSAGES).encode()
    rows = [{"id": "1", "text": "Ada", "title": "T", "metadata": {"a": [1]}}, {"text": "\\ud800"}]
    found["a.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    found["a.json"] = json.dumps(rows, indent=1).encode()
    found["a.csv"] = b'id,text,title\n1,"Ada\nwrote, ""x""",T\n2,b,c\n'
    found["a.tsv"] = b"id\ttext\n1\tAda\n"
    with suppress(ImportError):
        arrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
        table = arrow.table({"text": ["Ada", "Bo"], "n": [[1], [2]], "d": [b"x", None]})
        out = io.BytesIO()
        parquet.write_table(table, out)
        found["a.parquet"] = out.getvalue()
        stream, file = io.BytesIO(), io.BytesIO()
        for sink, writer in ((stream, arrow.ipc.new_stream), (file, arrow.ipc.new_file)):
            with writer(sink, table.schema) as written:
                written.write_table(table)
        found["a.arrow"], found["b.arrow"] = stream.getvalue(), file.getvalue()
    return found


PARTS = {
    "a.docx": "word/document.xml",
    "a.epub": "OEBPS/c0.xhtml",
    "a.xlsx": "xl/worksheets/sheet1.xml",
    "a.odt": "content.xml",
    "a.pptx": "ppt/slides/slide1.xml",
}
"""The member of each zip file that holds its text."""
DEEP = {
    "html": ("<div>", "<ul><li>", "<table><tr><td>", "<b>", "<blockquote>", "<font><p>"),
    "xml": ("<a>", "<a x='1'>y", "<![CDATA["),
    "json": ("[", '{"a":', '[{"text":"a","b":['),
    "jsonl": ("[", '{"text":'),
    "ipynb": ("[", '{"cells":['),
    "yaml": ("[", "- ", "{a: ", "a:\n ", "&a [*a, "),
    "md": ("> ", "- ", "[", "![", "**a", "<b>", "---\na: [", "(", "`", "_a", "[a](", "<!--"),
    "rst": (
        "* ",
        "> ",
        "  a\n ",
        "`a",
        "|a",
        ".. a::\n  ",
        "=\n",
        "*a",
        "[a]_ ",
        "a_ ",
        "::\n ",
    ),
    "tex": (
        "{",
        r"\begin{a}",
        r"\a{",
        "$",
        r"\title{",
        r"\section{",
        r"\[",
        r"\cite{",
        "[",
        "%",
    ),
    "rtf": (r"{\rtf1 {", r"\u1 ", r"\'4", "{\\*\\a "),
    "org": ("*" * 40 + " a\n", "* a\n", "#+begin_src\n", "[[", "<2020-01-01 ", ":a:\n", "- "),
    "eml": (
        "Subject: a\n ",
        "> ",
        "From: a\n",
        "On a wrote:\n",
        "=?utf-8?q?a",
        "<a@",
        "(",
        '"',
    ),
    "mbox": ("From a\n\n", "From a\nSubject: x\n\n> y\n\n", "\n>From "),
    "srt": ("1\n00:00:01,000 --> 00:00:02,000\na\n\n", "<i>", "{\\b1", "00:00:01 --> "),
    "csv": ('"', "text,", ",", "text\n", "a;"),
    "txt": (
        "A. ",
        "Ab Cd ",
        "a=b ",
        "{{",
        "[[",
        "\\a{",
        "<a ",
        "&a",
        "1.",
        "x-",
        "a_b",
        "\x1b[",
    ),
    "pdf": ("%PDF-1.4\n", "%PDF-1.4 1 0 obj << /A [", "%PDF-1.4 << /Kids [1 0 R] >>"),
}
"""What comes again and again in a file of each ending."""


def swollen(name: str, part: str, size: int) -> bytes:
    """A sample with blanks in one of its members."""
    inner = members(samples()[name])
    whole = inner[part]
    at = whole.rfind(b">", 0, len(whole) // 2) + 1
    return zipped({**inner, part: whole[:at] + b" " * size + whole[at:]})


def lying(name: str, part: str) -> bytes:
    """The same, where the archive says that each member is small."""
    data = bytearray(swollen(name, part, 300 << 20))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 24 : at + 28] = (1000).to_bytes(4, "little")  # the size unpacked
        at += 4
    return bytes(data)


def with_members(name: str, more: dict[str, bytes]) -> bytes:
    """A sample with other members."""
    return zipped({**members(samples()[name]), **more})


def repeated(unit: bytes, size: int) -> bytes:
    """As many units as fit into a size."""
    return unit * (size // len(unit))


Made = tuple[str, Callable[[], bytes]]


def packed_bombs() -> Iterator[Made]:
    """Files that are small and become large, and entities."""
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    entities = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><x>&a9;</x>'
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    xml = [entities.encode(), outside.encode(), entities.encode("utf-16")]
    yield from (("a.xml", partial(bytes, data)) for data in xml)
    for name, part in PARTS.items():
        yield name, partial(swollen, name, part, 300 << 20)
        yield name, partial(swollen, name, part, 60 << 20)
        yield name, partial(lying, name, part)
        yield name, partial(with_members, name, {"../../x": b"x", "/tmp/fuzz-x": b"x"})
        yield from ((name, partial(with_members, name, {part: data})) for data in xml)
    yield "many.docx", partial(zipped, {f"{n}.xml": b"" for n in range(20_000)})
    for ending in ("txt", "pdf", "jsonl", "csv", "html", "xml"):
        yield f"a.{ending}.gz", lambda: gzip.compress(bytes(200 << 20), 1)
        yield f"a.{ending}.gz", lambda: gzip.compress(b"ab " * (20 << 20), 1)


def long_bombs() -> Iterator[Made]:
    """Files that are deep, endless, or name other files."""
    for ending, units in DEEP.items():
        for unit in units:
            for size in (900_000, 20_000):
                yield f"a.{ending}", partial(repeated, unit.encode(), size)
    for ending in sorted({item.endings[0] for item in FORMATS}):
        yield f"line{ending}", partial(repeated, b"Ada wrote to Bo, ", 5_000_000)
        yield f"empty{ending}", bytes
    for name in ("../../x", "/etc/x", "\\u0000", "\\ud800"):
        record = f'{{"id": "{name}", "title": "{name}", "text": "a"}}'.encode()
        yield "a.jsonl", partial(bytes, record)


@cache
def bombs() -> list[Made]:
    """What is tried once, whatever the seed."""
    return [*packed_bombs(), *long_bombs()]


def changed_sample(random: Random) -> tuple[str, bytes]:
    """A valid file that was changed, or none at all."""
    known = samples()
    name = random.choice(list(known))
    data = known[name]
    kind = random.randrange(10)
    if kind == 0:
        data = random.randbytes(random.randrange(2000))
    elif kind == 1:
        data = odd_text(random, 100_000).encode("utf-8", "surrogatepass")
    elif data.startswith(b"PK") and kind < 8:
        parts = members(data)
        for part in random.sample(list(parts), min(len(parts), random.choice((1, 1, 3)))):
            parts[part] = mutated(random, parts[part], list(parts.values()))
        data = zipped(parts)
    else:
        data = mutated(random, data, list(known.values()))
    if random.random() < 0.1:
        name = f"b{random.choice(random.choice(FORMATS).endings)}"
    if random.random() < 0.05:
        name, data = f"{name}.gz", gzip.compress(data)
        data = mutated(random, data) if random.random() < 0.5 else data
    return name, data


VALUES = (
    *("", "0", "-1", "1e999", "99999999999", "A1:XFD1048576", "#REF!", "true", "NaN", "x" * 300),
    *("../../x", "/etc/passwd", "file:///etc/passwd", "#a", "2020-13-45", "P1Y", "application/xml"),
)
"""Of attributes and cells."""
NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def other_tree(random: Random, data: bytes) -> bytes:
    """A well-formed XML file with elements that are copied, moved, nested, renamed and changed."""
    root = ElementTree.fromstring(data)
    for _ in range(random.choice((1, 2, 4, 16))):
        nodes = list(root.iter())
        change_node(random, random.choice(nodes), random.choice(nodes), len(nodes) < 2000)
    return ElementTree.tostring(root)


def change_node(random: Random, node: Element, other: Element, small: bool) -> None:
    """Change an element of a tree, with what another one of it has."""
    match random.randrange(8):
        case 0:
            node.text = NO_XML.sub("", odd_text(random, 2000))
        case 1:
            node.tail = random.choice(VALUES)
        case 2:
            node.tag = other.tag
        case 3:
            name = random.choice(list(node.attrib or other.attrib or {"id": ""}))
            node.set(name, random.choice((*VALUES, *other.attrib.values())))
        case 4 if small:
            other.append(copy.deepcopy(node))
        case 5:
            node.extend(node.makeelement(other.tag, other.attrib) for _ in range(2000))
        case 6:
            for _ in range(200):
                node = ElementTree.SubElement(node, other.tag, other.attrib)
        case _ if len(node):
            node.remove(random.choice(list(node)))


def other_value(random: Random, value: Any) -> Any:
    """What JSON holds, with a few other kinds, names, lengths and depths in it."""
    match random.randrange(12):
        case 0:
            other: tuple[Any, ...] = (
                None,
                True,
                -1,
                10**30,
                1e308,
                "",
                odd_text(random, 200),
                [],
                {},
                [[value]],
            )
            return random.choice((*other, {"": value}, *VALUES))
        case 1 if isinstance(value, list):
            return value * random.choice((0, 2, 200))
        case 2 if isinstance(value, dict):
            return {**value, odd_text(random, 9): odd_text(random, 99)}
    if isinstance(value, dict):
        return {name: other_value(random, part) for name, part in value.items()}
    if isinstance(value, list):
        return [other_value(random, part) for part in value]
    return value


def other_table(random: Random, ending: str) -> bytes:
    """A Parquet or Arrow file of columns of any kind."""
    arrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    text = odd_text(random, 200).encode("utf-8", "replace").decode()
    nested = arrow.string()
    for _ in range(random.choice((1, 5, 60))):
        nested = random.choice((arrow.list_(nested), arrow.struct([("a", nested)])))
    kinds = (
        *((arrow.string(), text), (arrow.large_string(), text), (arrow.binary(), b"\xff\xfe")),
        *((arrow.null(), None), (arrow.bool_(), True), (arrow.uint64(), 2**64 - 1), (nested, None)),
        *((arrow.float64(), float("nan")), (arrow.float64(), float("inf"))),
        *((arrow.timestamp("ns", "No/Where"), 2**62), (arrow.timestamp("s"), 2**62)),
        *((arrow.date32(), 2**31 - 1), (arrow.date64(), 86_400_000 * 2**30)),
        *(
            (arrow.time64("ns"), 2**62),
            (arrow.duration("s"), 2**62),
            (arrow.list_(arrow.int8()), [1]),
        ),
        *((arrow.struct([("a", arrow.string()), ("a", arrow.int8())]), None),),
        *((arrow.map_(arrow.string(), arrow.string()), [(text, text), (text, "")]),),
        *((arrow.dictionary(arrow.int8(), arrow.string()), text),),
        *((arrow.decimal128(38, -5), None), (arrow.binary(3), b"abc")),
    )
    names, columns = [], []
    rows = random.choice((0, 1, 3, 1000))
    for name in random.choices(("text", "title", "id", "metadata", "source", "", "a.b", text), k=4):
        few = name == "text" or random.random() < 0.7
        kind, value = random.choice(kinds[:6] if few else kinds)
        if name not in names or random.random() < 0.1:
            names.append(name)
            columns.append(arrow.array([value, None, value][:rows] * max(1, rows // 3), kind))
    size = min(map(len, columns))
    table = arrow.Table.from_arrays([column[:size] for column in columns], names)
    out = io.BytesIO()
    if ending == ".parquet":
        with suppress(OSError, arrow.ArrowException):  # Parquet has not all kinds of Arrow
            parquet.write_table(table, out)
            return out.getvalue()
    with random.choice((arrow.ipc.new_stream, arrow.ipc.new_file))(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def soup(random: Random, ending: str, data: bytes) -> bytes:
    """Lines of a sample, what comes again and again in files of its ending, and odd text."""
    lines = data.decode("utf-8", "replace").splitlines(keepends=True) or [""]
    units = DEEP.get(ending) or random.choice(list(DEEP.values()))
    parts = lines[: random.choice((0, 1, 3))]
    for _ in range(int(10 ** random.uniform(0.5, 3))):
        match random.randrange(8):
            case 0:
                part = odd_text(random, 100)
            case 1:
                part = random.choice(units) * int(10 ** random.uniform(0, 3.5))
            case 2 | 3:
                part = random.choice(units)
            case 4:
                part = random.choice(("\n", "\n\n", "  ", " ", "]", "}", ")", ">", '"', "*", "a"))
            case _:
                part = random.choice(lines)
        parts.append(part)
    text = "".join(parts).replace("\0", "")[: SMALL // 2]
    return text.encode("utf-8", "replace")[:SMALL]


def rewritten(random: Random, name: str, data: bytes) -> bytes:
    """Another file of the kind that a sample is, which its reader does not refuse at the door."""
    ending = Path(name).suffix
    if ending in (".parquet", ".arrow"):
        return other_table(random, ending)
    with suppress(ElementTree.ParseError, ValueError, RecursionError):
        if data.lstrip().startswith(b"<"):
            return other_tree(random, data)
        if ending in (".json", ".ipynb"):
            return json.dumps(other_value(random, json.loads(data))).encode()
        if ending == ".jsonl":
            records = [json.loads(line) for line in data.splitlines()] * random.choice((1, 1, 50))
            return b"\n".join(json.dumps(other_value(random, r)).encode() for r in records)
    if ending in (".csv", ".tsv"):
        out = io.StringIO()
        writer = csv.writer(out, delimiter="\t" if ending == ".tsv" else ",")
        writer.writerow(random.choices(("text", "title", "id", "", odd_text(random, 9)), k=4))
        for _ in range(random.choice((1, 3, 300))):
            cells = (*VALUES, odd_text(random, 300))
            writer.writerow(random.choices(cells, k=random.choice((1, 4, 4, 9))))
        return out.getvalue().encode("utf-8", "replace")
    return soup(random, ending[1:], data)


def rewritten_sample(random: Random) -> tuple[str, bytes]:
    """A valid file of which parts were written anew, in files of other names now and then."""
    known = samples()
    name = random.choice(list(known))
    data = known[name]
    if not data.startswith(b"PK"):
        return name, rewritten(random, name, data)
    parts = members(data)
    for part in random.sample(list(parts), min(len(parts), random.choice((1, 1, 3)))):
        parts[part] = rewritten(random, part, parts[part])
    if random.random() < 0.1:
        parts[random.choice(list(parts))] = parts.pop(random.choice(list(parts)))
    return name, zipped(parts)


def fixed_bombs(number: int, random: Random, folder: Path) -> Case:
    """One of the files that are the same whatever the seed."""
    name, make = bombs()[number]
    return document(name, make(), random, folder)


def documents(number: int, random: Random, folder: Path) -> Case:
    """A file that was changed: its bytes, or what is in it."""
    name, data = random.choice((changed_sample, rewritten_sample))(random)
    return document(name, data, random, folder)


def document(name: str, data: bytes, random: Random, folder: Path) -> Case:
    """A file, or a folder with links in it."""
    (folder / "in").mkdir()
    (folder / "in" / name).write_bytes(data)
    if random.random() < 0.05:
        for link, aim in (("out", "/etc"), ("loop", "."), ("file.txt", "/etc/passwd")):
            (folder / "in" / link).symlink_to(aim)
    embedder = HashingEmbedder()
    options = ReadOptions(text_field=random.choice(("text", "text", "title")))

    def read() -> None:
        passages = read_passages(
            [folder / "in"],
            count_tokens=embedder.count_tokens,
            passage_tokens=128,
            options=options,
        )
        for place, passage in enumerate(passages):
            assert "root:x:0" not in passage.text, "a file outside was read"
            if place < 500:  # each is short, and is read alone
                as_read(passage)

    return f"{name}: {len(data):,} bytes {data[:40]!r}", len(data), read


def texts(number: int, random: Random, folder: Path) -> Case:
    """Passages that are indexed and found again."""
    known = samples()
    made = []
    for place in range(random.choice((1, 3))):
        if random.random() < 0.5:
            text = odd_text(random, 20_000)
        else:
            data = mutated(random, random.choice([v for v in known.values() if v[:1] < b"\x7f"]))
            text = data[:20_000].decode("utf-8", "replace")
        made.append(Passage(odd_text(random, 20) + str(place), text, odd_text(random, 50)))
    size = sum(len(passage.text) for passage in made)

    def index() -> None:
        memory = GraphMemory.open(folder / "index", embedder="hashing")
        memory.add(made, workers=1)
        hits = memory.search(made[0].text[:500], k=3).hits
        memory.explain(made[0].title or "x", k=2)
        assert len(hits) <= 3

    return f"passages: {made[0].text[:60]!r}", size, index


def scripted(request: ChatRequest) -> str:
    """What a model says of any passage."""
    if request.stage == "triples":
        return json.dumps({"triples": TRIPLES})
    return json.dumps({"entities": NAMES})


WITH_FACTS, WITH_WORDS, EXTENDED = "facts", "words", "extended"
"""Indexes: with facts and sentences, with learned words, and one beside which passages stand."""
SHARES = (WITH_FACTS, WITH_FACTS, WITH_WORDS, EXTENDED)


def opened(path: Path, kind: str) -> GraphMemory:
    """An index of a kind, that is there or not."""
    if kind == WITH_FACTS:
        chat = ScriptedChat(scripted)
        return GraphMemory.open(
            path, embedder="hashing", extractor="llm", chat=chat, sentences=True
        )
    sparse = str(tiny_model()) if kind == WITH_WORDS and not path.exists() else False
    return GraphMemory.open(path, embedder="hashing", extractor=Names(), sparse=sparse)


@cache
def tiny_model() -> Path:
    """A model of learned words with random weights; none may write to it."""
    sys.path.insert(0, str(TESTS.parent))
    made = importlib.import_module("tiny_models")
    path: Path = made.make_tiny_model(Path(tempfile.gettempdir()) / "model", head="words")
    return path


@cache
def template(kind: str) -> Path:
    """An index of a kind; none may write to it."""
    path = Path(tempfile.gettempdir()) / f"template-{kind}"
    memory = opened(path, kind)
    if kind == WITH_FACTS:
        memory.add(PASSAGES, workers=1)
    else:
        many = numbered(0, SMALLEST if kind == EXTENDED else 12)
        memory.add([*PASSAGES, *many], workers=1)
        memory.add(numbered(2000, 2003), workers=1)
        memory.delete(["p2"])
    memory.search("Alien")
    return path


@cache
def whole_memory() -> GraphMemory:
    """The memory that all questions are asked."""
    return opened(template(WITH_FACTS), WITH_FACTS)


def questions(number: int, random: Random, folder: Path) -> Case:
    """A question of any characters, with any preset."""
    if number % 20 == 0:
        unit = random.choice((*ODD, *NAMES, "(", "who ", "Ada Byron and ", "1,"))
        text = (unit * (900_000 // len(unit)))[: random.choice((1000, 50_000, 900_000))]
    else:
        text = odd_text(random, 3000 if number % 10 else 300_000)
    preset = random.choice([*PRESETS, "default"])
    memory = whole_memory()

    def search() -> None:
        hits = memory.search(text, k=random.choice((1, 3, 100)), preset=preset).hits
        assert len({hit.passage.id for hit in hits}) == len(hits)
        if random.random() < 0.2:
            memory.explain(text, k=2, preset=preset)
        if random.random() < 0.1:
            memory.search([text, "Alien", ""], preset=preset)

    return (
        f"{preset}: {len(text):,} characters {text[:60]!r}",
        len(text.encode("utf-8", "replace")),
        search,
    )


def damage(random: Random, index: Path) -> str:
    """Change one thing in an index, and tell what."""
    files = sorted(file for file in index.rglob("*") if file.is_file())
    file = random.choice(files)
    live = random.choice(sorted(index.glob("snapshot-*")))
    manifest = live / "manifest.json"
    match random.randrange(8):
        case 0 | 1:
            data = mutated(random, file.read_bytes())
            keep = file.stat().st_size
            file.write_bytes(data[:keep].ljust(keep, b"\0") if random.random() < 0.7 else data)
            return f"{file.name}: other bytes"
        case 2 | 3:
            return fit_array(random, live, manifest)
        case 4:
            said = json.loads(manifest.read_text("utf-8"))
            target = said if random.random() < 0.6 else random.choice(list(said["files"].values()))
            if random.random() < 0.2:
                said["files"]["../../../etc/passwd"] = {"bytes": os.stat("/etc/passwd").st_size}
            key = random.choice(list(target))
            values: tuple[Any, ...] = (None, -1, 10**12, "x", [], {}, True, 1.5, "../../etc", key)
            target[key] = random.choice(values)
            if random.random() < 0.2:
                said["base"] = random.choice(("../x", live.name, "snapshot-000001", 7))
            manifest.write_text(json.dumps(said), "utf-8")
            return f"manifest: {key} = {target[key]!r}"
        case 5:
            return damage_tables(random, index)
        case 6:
            file.unlink()
            aim = random.choice(("/etc/passwd", "/dev/zero", "/dev/stdin", file.name, "/etc", "x"))
            if random.random() < 0.2:
                os.mkfifo(file)
                return f"{file.name}: a pipe"
            file.symlink_to(aim)
            return f"{file.name}: a link to {aim}"
        case _:
            pointer = random.choice((b"../../etc", b"snapshot-000001/..", b"\xff", b"", b"x" * 99))
            (index / "CURRENT").write_bytes(pointer)
            return f"CURRENT: {pointer!r}"


def fit_array(random: Random, live: Path, manifest: Path) -> str:
    """Another array in place of one, in a manifest that fits it."""
    file = random.choice(sorted(live.rglob("*.npy")))
    data = file.read_bytes()
    at = data.index(b"\n") + 1
    if random.random() < 0.6:
        body = bytearray(data[at:])
        for _ in range(random.choice((1, 4))):
            if body:
                place = random.randrange(len(body))
                body[place] = random.choice((0, 1, 127, 255, random.randrange(256)))
        data = data[:at] + bytes(body)
    else:
        kinds = ("<i4", "<f4", "<i8", "|O", "|u1", "<c8", "|b1", "[('a','<i4')]", "|V8", "<U4")
        shapes = ("(0,)", "()", "(1,)", "(2, 2)", "(99999999999,)", "(-1,)", "(4, 0)", "(3,)")
        head = f"{{'descr': '{random.choice(kinds)}', 'fortran_order': False, "
        head += f"'shape': {random.choice(shapes)}, }}"
        head = head.ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + data[at:]
    file.write_bytes(data)
    said = json.loads(manifest.read_text("utf-8"))
    said["files"][file.relative_to(live).as_posix()]["bytes"] = len(data)
    manifest.write_text(json.dumps(said), "utf-8")
    return f"{file.name}: {data[:80]!r}"


def damage_tables(random: Random, index: Path) -> str:
    """Tables, views and triggers that are not ours, and other values in ours."""
    file = random.choice(sorted(index.glob("*.sqlite")))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = random.choice([name for name in names if not name.startswith("sqlite_")])
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        values = ("NULL", "''", "-1", "x'ff00'", "1e999", "'[[['", "'{}'", "zeroblob(99)", "'é'")
        column, value = random.choice(columns), random.choice(values)
        statement = random.choice(
            (
                f"UPDATE {table} SET {column} = {value}",
                f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
                f"CREATE TRIGGER t BEFORE UPDATE ON {table} BEGIN SELECT load_extension('x'); END",
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} RENAME COLUMN {column} TO other",
                f"DELETE FROM {table}",
                "PRAGMA user_version = 77",
                "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
                "SELECT * FROM n",
            )
        )
        with suppress(sqlite3.Error):
            db.execute(statement)
        if random.random() < 0.2:
            with suppress(sqlite3.Error):
                db.execute(f"DROP TABLE {table}")
                endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)"
                shown = ", ".join(f"i AS {name}" for name in columns)
                db.execute(f"CREATE VIEW {table} AS {endless} SELECT {shown} FROM n")
                return f"{file.name}: {table} is an endless view"
    return f"{file.name}: {statement}"


def indexes(number: int, random: Random, folder: Path) -> Case:
    """An index that somebody changed: opened, searched, verified, and added to."""
    index, kind = folder / "index", random.choice(SHARES)
    shutil.copytree(template(kind), index)
    done = [damage(random, index)]
    if random.random() < 0.3:
        with suppress(AttributeError, LookupError, TypeError, ValueError, OSError, sqlite3.Error):
            done.append(damage(random, index))  # where what is damaged can be damaged again
    what = "; ".join(done)

    def use() -> None:
        steps: list[Callable[[], object]] = []
        there: list[GraphMemory] = []
        steps.append(lambda: there.append(opened(index, kind)))
        for name in random.sample(list(PRESETS), 4):
            steps.append(partial(lambda name: there[0].search(NAMES[1], k=4, preset=name), name))
        steps.append(lambda: there[0].search("film", filter={"year": 1937}))
        steps += [lambda: there[0].explain(NAMES[0], k=2), lambda: there[0].stats()]
        steps.append(lambda: there[0].search("Which harbour has the ferry of Skipper 7?"))
        steps += [lambda: there[0].failures(), lambda: there[0].verify(deep=True)]
        if random.random() < 0.5:
            steps.append(lambda: there[0].add([Passage("9", "Ada met Bo in Oslo.")], workers=1))
            steps.append(lambda: there[0].delete(["9"]))
            steps.append(lambda: there[0].repair())
            steps += [lambda: there[0].search("Oslo"), lambda: there[0].compact()]
        for step in steps:
            with suppress(GraphmemError):
                step()
            if not there:
                return

    return f"{kind}: {what}", 100_000, use


def answers(number: int, random: Random, folder: Path) -> Case:
    """What a model says, to all that ask one."""
    whole: list[Any] = [
        {"entities": NAMES},
        {"triples": TRIPLES},
        {"passages": [{"number": 1, "entities": NAMES, "triples": TRIPLES}, {"number": 2}]},
        {
            "found": True,
            "answer": "Ada [1].",
            "passages": [1],
            "conflicts": [{"claim": "x [1, 2]"}],
        },
        {"facts": [1, 2]},
        {"question": "Who?", "clues": ["a"]},
        {"docs": [{"passage": "Ada", "extracted_entities": NAMES, "extracted_triples": TRIPLES}]},
    ]
    said = []
    for _ in range(4):
        text = json.dumps(random.choice(whole))
        text = random.choice((text, f"```json\n{text}\n```", f"<think>x</think>{text}", text + ","))
        if random.random() < 0.3:
            text = random.choice(
                (
                    "<think>",
                    "[",
                    '{"a":',
                    '"',
                    "[1,",
                    "\\",
                    "[{",
                    "1 ",
                    "conflict: ",
                    ",",
                    " ",
                    '"\\',
                )
            )
            text *= random.choice((10, 1000, 190_000 // len(text), 900_000 // len(text)))
        elif random.random() < 0.1:
            text = odd_text(random, 10_000)
        else:
            text = mutated(random, text.encode()).decode(
                "utf-8", random.choice(("replace", "ignore"))
            )
        said.append(text)
    passages = PASSAGES[:2]
    ranking = whole_memory().search("Ridley Scott", k=2)
    (folder / "openie.json").write_text(said[0], "utf-8", "surrogatepass")

    def chat() -> ScriptedChat:
        turn = count()
        return ScriptedChat(lambda request: said[next(turn) % len(said)])

    def drained(pieces: Iterator[str]) -> None:
        for _ in pieces:
            pass

    def read() -> None:
        for text in said:
            with suppress(ValueError):
                parse_object(text, "entities")
        facts = [[Triple(*triple) for triple in TRIPLES]]
        steps: list[Callable[[], object]] = [
            lambda: LlmExtractor(chat(), 1).extract(passages),
            lambda: LlmExtractor(chat(), 1, pack=2).extract(passages),
            lambda: Reader(chat()).answer("Who?", ranking.hits),
            lambda: drained(Reader(chat()).stream("Who?", ranking.hits)),
            lambda: ModelFactFilter(chat()).keep(["Who?"], facts),
            lambda: ircot("Who?", lambda _: ranking, chat()),
            lambda: residual("Who?", lambda _: ranking, chat()),
            lambda: clues("Who?", lambda _: ranking, chat()),
            lambda: ImportedExtractor(folder / "openie.json").extract(passages),
        ]
        for step in steps:
            with suppress(GraphmemError):
                step()

    return f"{said[0][:60]!r}, {[len(text) for text in said]}", max(map(len, said)), read


TARGETS: dict[str, Target] = {
    "bombs": fixed_bombs,
    "documents": documents,
    "questions": questions,
    "indexes": indexes,
    "answers": answers,
    "texts": texts,
}

_AT = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link"}
_WRITES = {*_AT, "os.truncate"}
_NEVER = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}
_KNOWN = {"case", "cache", "model", *(f"template-{kind}" for kind in SHARES)}
_NEVER |= {"pickle.find_class", "sqlite3.load_extension", "shutil.unpack_archive"}


class TooSlow(BaseException):
    """Raised in the middle of a case; nothing that is tried catches it."""


def _interrupt(*_: object) -> None:
    raise TooSlow(f"more than {PATIENCE:.0f} s a MB")


class Guard:
    """Notes what is written outside a folder, and what is run, while a case is tried."""

    def __init__(self) -> None:
        """Begin to listen; a hook cannot be taken away again."""
        self.seen: list[str] = []
        self._inside = ""
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Note all but what is done in a folder."""
        self.seen = []
        self._inside = f"{folder.resolve()}/"
        try:
            yield
        finally:
            self._inside = ""

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._inside:
            return
        if event in _NEVER:
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif event == "open":
            path, mode, flags = arguments
            if isinstance(flags, int) and flags & os.O_NOFOLLOW and os.path.islink(path):
                return  # it fails
            writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and isinstance(path, str | bytes):
                self._note(event, path)
        elif event in _WRITES:
            fd = arguments[-1]
            for path in arguments[1:2] if event in ("os.symlink", "os.link") else arguments[:2]:
                if isinstance(path, str | bytes):
                    at = os.readlink(f"/proc/self/fd/{fd}") if event in _AT and fd >= 0 else ""
                    self._note(event, os.path.join(at, os.fsdecode(path)))

    def _note(self, event: str, path: str | bytes) -> None:
        parent, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        real = os.path.join(os.path.realpath(parent), name)
        if event == "open":
            real = os.path.realpath(real)
        if not real.startswith(self._inside) and real != os.devnull:
            self.seen.append(f"{event} {real}")


def peak() -> int:
    """Bytes of memory at most since `forget_peak`."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def forget_peak() -> None:
    """Count the peak of memory anew."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def work(target: str, seed: int, pipe: Connection) -> None:
    """Try the cases whose numbers come in, until none does."""
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _interrupt)
    guard = Guard()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        tempfile.tempdir = root
        os.environ["GRAPHMEM_CACHE"] = str(Path(root) / "cache")
        whole_memory()
        for kind in SHARES if target == "indexes" else ():
            opened(template(kind), kind).search("Ada")
        while (number := pipe.recv()) is not None:
            pipe.send(tried(target, seed, number, Path(root), guard))


def tried(target: str, seed: int, number: int, root: Path, guard: Guard) -> dict[str, Any]:
    """What became of one case."""
    folder = root / "case"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    what, size, run = TARGETS[target](number, Random(f"{seed} {target} {number}"), folder)
    tempfile.tempdir = str(folder / "tmp")
    fault, trace = "", ""
    forget_peak()
    before, begun = peak(), time.process_time()
    with guard.watching(folder):
        try:
            signal.setitimer(signal.ITIMER_PROF, PATIENCE * max(1, size / SMALL))
            run()
            signal.setitimer(signal.ITIMER_PROF, 0)
        except GraphmemError:
            signal.setitimer(signal.ITIMER_PROF, 0)
        except BaseException as error:  # noqa: BLE001 this is what is looked for
            signal.setitimer(signal.ITIMER_PROF, 0)
            fault = f"{type(error).__name__}: {str(error)[:200]}"
            trace = "".join(traceback.format_tb(error.__traceback__)[-6:])
    seconds, memory = time.process_time() - begun, peak()
    if not fault and memory > MOST_MEMORY and memory - before > MOST_MEMORY // 2:
        fault = f"{memory >> 20} MB of memory"
    others = sorted(path.name for path in root.iterdir() if path.name not in _KNOWN)
    if not fault and (guard.seen or others):
        fault = f"outside: {(guard.seen + others)[:3]}"
    done = {"what": what, "seconds": round(seconds, 2), "mib": memory >> 20}
    return {**done, "fault": fault, "trace": trace}


class Worker:
    """A process that tries cases, and is made anew where one takes it down or holds it."""

    def __init__(self, target: str, seed: int) -> None:
        """Start it when it is first needed."""
        self._arguments = target, seed
        self._process: multiprocessing.process.BaseProcess | None = None

    def try_case(self, number: int) -> dict[str, Any]:
        """What became of a case."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, inner = context.Pipe()
            self._process = context.Process(target=work, args=(*self._arguments, inner))
            self._process.start()
            inner.close()
        self._pipe.send(number)
        if not self._pipe.poll(LONGEST):
            self._process.kill()
            fault = f"more than {LONGEST:.0f} s of the clock"
        else:
            try:
                found: dict[str, Any] = self._pipe.recv()
                return found
            except EOFError:
                self._process.join()
                fault = f"the process died: {self._process.exitcode}"
        self._process.join()
        self._process = None
        return {"what": "", "seconds": PATIENCE, "mib": 0, "fault": fault, "trace": ""}

    def stop(self) -> None:
        """Let it end."""
        if self._process is not None:
            self._pipe.send(None)
            self._process.join()


def keep(line: dict[str, Any]) -> None:
    """Keep what was tried, in place of the same target with the same seed."""
    runs = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
    runs = [run for run in runs if (run["target"], run["seed"]) != (line["target"], line["seed"])]
    RESULTS.write_text(json.dumps([*runs, line], indent=1) + "\n", encoding="utf-8")


@click.command(help=__doc__)
@click.option("--seconds", default=300.0, help="For each target.")
@click.option("--seed", default=0)
@click.option("--target", type=click.Choice(list(TARGETS)), help="Only this one.")
@click.option("--case", type=int, help="Only the case of this number.")
@click.option("--first", default=0, help="Number of the first case.")
@click.option("--record", is_flag=True, help=f"Keep what was tried in {RESULTS}.")
def main(
    seconds: float, seed: int, target: str | None, case: int | None, first: int, record: bool
) -> None:
    """Try cases until the time is over, and tell what was found."""
    total = 0
    for name in [target] if target else list(TARGETS):
        worker = Worker(name, seed)
        found: dict[str, int] = {}
        begun = time.monotonic()
        slowest = largest = cases = 0.0
        numbers = range(first, len(bombs())) if name == "bombs" else count(first)
        for number in numbers if case is None else [case]:
            if case is None and time.monotonic() - begun > seconds:
                break
            outcome = worker.try_case(number)
            cases += 1
            slowest = max(slowest, outcome["seconds"])
            largest = max(largest, outcome["mib"])
            if outcome["fault"]:
                kind = outcome["fault"][:40] + outcome["trace"][-200:]
                found[kind] = found.get(kind, 0) + 1
                if found[kind] == 1 or case is not None:
                    click.echo(json.dumps({"target": name, "case": number, **outcome}))
        worker.stop()
        total += sum(found.values())
        line = {"target": name, "seed": seed, "cases": int(cases), "findings": sum(found.values())}
        line |= {"kinds": len(found), "seconds": round(time.monotonic() - begun)}
        line |= {"slowest": slowest, "largest_mib": largest}
        click.echo(json.dumps(line))
        if record:
            keep(line)
    sys.exit(int(total > 0))


if __name__ == "__main__":
    main()
