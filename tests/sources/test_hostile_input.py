"""What `pipelines/fuzz.py` found: input that is made to hold a process, fill it or run in it."""

import gzip
import io
import json
import os
import sqlite3
import time
import zipfile
from contextlib import closing, suppress

import numpy as np
import pytest
from documents import zipped
from test_document_formats import CASES
from worlds import live_snapshot

from graphmem import GraphMemory, Passage
from graphmem.answering.reader import Reader
from graphmem.base.keyed_lock import KeyedLock
from graphmem.base.text import invisible_spans as invisible
from graphmem.base.text import tokens
from graphmem.errors import GraphmemError, StorageError
from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.graph.entity_graph import assemble_graph, subject_name
from graphmem.graph.entity_linking import link_questions
from graphmem.graph.person_names import nicknamed, persons_named
from graphmem.indexing.verification import verify_index
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.structured_output import parse_object, visible, without_thoughts
from graphmem.sources.files import read_records
from graphmem.sources.formats import epub, html, mail, mailbox, org, rst, tex
from graphmem.sources.formats.line_places import line_places
from graphmem.sources.markup import read
from graphmem.sources.options import ReadOptions, ReadReport
from graphmem.storage.store import Store
from graphmem.types import Extraction, Hit

PASSAGES = [
    Passage("1", "Alien is a film by Ridley Scott.", "Alien"),
    Passage("2", "Ridley Scott was born in South Shields.", "Ridley Scott"),
]
SECONDS = 20.0
"""Of the processor, for what takes a second and took minutes: a guard against what never ends."""


def from_prose(text):
    return list(Reader(ScriptedChat([text])).stream("Who?", [Hit(1, 1.0, PASSAGES[0])]))


def linked(question):
    graph = assemble_graph(PASSAGES, [Extraction(("Ridley Scott",)) for _ in PASSAGES])
    return link_questions(graph.dictionary, TokenHasher(), [question])


ORG = "* Ada\n" + "* Bridges of Turin\n" * 100_000
LINE = "Ada" + " wrote" * 500_000


def book(package):
    root = '<rootfile full-path="a.opf"/>'
    return zipped({"META-INF/container.xml": root, "a.opf": package})


SLOW = {
    "capitals": lambda: tokens("A " * 20_000),
    "initials": lambda: tokens("A." * 20_000 + "AA"),
    "names of persons": lambda: [
        [*persons_named(piece * 20_000), *nicknamed(piece * 20_000)]
        for piece in ("A. ", "A'", "Aa ", "Aa-", "Aa, ", 'Aa "', "a.", "Aa (Aa ")
    ],
    "letters of two scripts": lambda: invisible("aб" * 50_000 + "\u0430" * 50_000),
    "groups of digits": lambda: tokens("111 " * 20_000 + "1"),
    "blanks in a title": lambda: subject_name("Ada" + " " * 100_000 + "x"),
    "numbers in brackets": lambda: from_prose("Yes [" + "1" * 200),
    "blanks in an answer": lambda: from_prose("Yes" + " " * 100_000 + "x"),
    "lines in an answer": lambda: from_prose("Yes" + "\n" * 60_000 + "x"),
    "escaped quotes": lambda: parse_object('{"a": [1,], "' + '\\"' * 90_000, "a"),
    "thoughts": lambda: without_thoughts("<think>" * 40_000),
    "streamed thoughts": lambda: list(visible(piece for piece in ["<think>"] + ["mm"] * 30_000)),
    "tables without an end": lambda: read("'''Ada''' {{a|b}} [[c]]\n" + "{|\n|" * 10_000),
    "templates without an end": lambda: read("'''Ada''' {{a|b}} [[c]]\n" + "{{a|" * 10_000),
    "titles": lambda: list(tex.read("\\title" + "\t" * 60_000)),
    "citations": lambda: list(tex.read("\\cite[" * 20_000)),
    "items of a book": lambda: list(epub.read(book("<item " + "<itemref " * 60_000))),
    "attributes of a book": lambda: list(epub.read(book(f"<item {':' * 60_000}>"))),
    "a paragraph of LaTeX": lambda: list(tex.read("e" * 700_000)),
    "roles": lambda: read(".. a::\n\n" + ":" * 200_000),
    "links": lambda: read("[" * 200_000),
    "a head of a mail": lambda: list(mail.read(b"Subject: a\n " * 60_000)),
    "links of Org": lambda: list(org.read("[[" * 200_000)),
    "dates of Org": lambda: list(org.read("<2020-01-01 " * 60_000)),
    "lines of dates of Org": lambda: list(org.read(("<2020-01-01 " * 1_600 + "\n") * 30)),
    "references of rst": lambda: list(rst.read("[a]_ " * 100_000)),
    "paths in a question": lambda: linked("../../x " * 6_000),
    "lines that a text has too": lambda: line_places(ORG, ORG.replace("* ", "")),
    "words of a line": lambda: line_places(f"<p>{LINE}", LINE),
    "mails": lambda: list(mailbox.read(b"From a\nSubject: x\n" + b"From b\n" * 120_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_time_does_not_grow_with_the_square_of_a_text(name):
    begun = time.process_time()
    with suppress(GraphmemError, ValueError, AttributeError):  # each is told at its border
        SLOW[name]()
    assert time.process_time() - begun < SECONDS


def test_text_without_a_word_is_not_parsed():
    begun = time.process_time()
    assert read("[" * 900_000 + "\n*").text == "[" * 900_000 + "\n*"
    assert time.process_time() - begun < SECONDS


def test_what_a_reader_of_a_format_raises_is_told(tmp_path):
    (tmp_path / "a.tex").write_text("\\title{a}\\title" + "\t" * 60, "utf-8")
    (tmp_path / "a.odt").write_bytes(swollen("a.odt", 900_000))
    report = ReadReport()
    assert list(read_records([tmp_path], report=report, options=ReadOptions())) == []
    odt, tex = [item.reason for item in report.left_out]
    assert "High compression ratio" in odt and "AttributeError" in tex


@pytest.mark.parametrize("unit", ["<div>", "<blockquote>", "<font><p>", "<div></x>", "<div><svg>"])
def test_deep_pages_are_refused_before_they_are_parsed(unit):
    begun = time.process_time()
    with pytest.raises(GraphmemError, match="nested too deeply"):
        list(html.read(unit * (900_000 // len(unit))))
    assert time.process_time() - begun < SECONDS


def test_pages_with_many_elements_are_not_deep():
    drawing = "<svg>" + "<path d='M0 0'/>" * 5000 + "</svg>"
    script = "<script>x = '" + "<div>" * 5000 + "'</script>"
    listed = "<ul>" + "<li>one<p>two<br>" * 5000 + "</ul>"
    page = f"<body><!--{'<b>' * 5000}-->{script}{drawing}{listed}<main><p>Ada wrote.</main>"
    begun = time.process_time()
    assert "Ada wrote." in next(html.read(page)).text
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test_packed_blanks_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b'[{"text": "Ada"},\n' + b" \n" * 2_000_000))
    report = ReadReport()
    list(read_records([tmp_path], report=report, options=ReadOptions()))
    told = [item.reason for item in (*report.left_out, *report.bad_records)]
    assert any("200 times" in reason or "expected" in reason for reason in told)


PARTS = {
    "a.docx": "word/document.xml",
    "a.odt": "content.xml",
    "a.epub": "OEBPS/c0.xhtml",
    "a.pptx": "ppt/slides/slide1.xml",
    "a.xlsx": "xl/worksheets/sheet1.xml",
}


def swollen(name, size):
    """A document with so many blanks in its text."""
    with zipfile.ZipFile(io.BytesIO(CASES[name][0])) as whole:
        parts = {member: whole.read(member) for member in whole.namelist()}
    head, mark, tail = parts[PARTS[name]].rpartition(b"</")
    return zipped({**parts, PARTS[name]: head + b" " * size + mark + tail})


@pytest.mark.parametrize("name", PARTS)
def test_packed_members_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(swollen(name, 30 << 20))
    report = ReadReport()
    assert list(read_records([tmp_path], report=report, options=ReadOptions())) == []
    assert "200 times" in report.left_out[0].reason


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index"
    GraphMemory.open(path, embedder="hashing").add(PASSAGES, workers=1)
    return path


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
VIEW = f"CREATE VIEW failures AS {ENDLESS} SELECT i AS hash, i AS fingerprint, i AS error FROM n"


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE failures", VIEW],
        ["CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM passages; END"],
        ["CREATE VIRTUAL TABLE t USING fts5(x)"],
    ],
    ids=["view", "trigger", "module"],
)
def test_a_store_that_computes_is_not_opened(index, statements):
    with closing(sqlite3.connect(index / "store.sqlite", isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
    for opened in (Store.read, Store.open):
        with pytest.raises(StorageError, match="graphmem never makes"):
            opened(index / "store.sqlite")


def put(index, name, array):
    """An array in place of a column, in a manifest that fits it."""
    live = live_snapshot(index)
    np.save(live / f"{name}.npy", array)
    manifest = json.loads((live / "manifest.json").read_text())
    manifest["files"][f"{name}.npy"]["bytes"] = (live / f"{name}.npy").stat().st_size
    (live / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("records_offsets", lambda a: a[:2]),
        ("records_offsets", lambda a: a.astype(np.float64)),
        ("dictionary_prefixes", lambda a: np.array(7, dtype=np.uint64)),
        ("dictionary_rows", lambda a: a + 1000),
        ("vectors", lambda a: a[:1]),
        ("vectors", lambda a: a.astype(np.int32)),
        ("subjects", lambda a: a + 1000),
        ("copied", lambda a: a - 9),
        ("context_indptr", lambda a: a[::-1].copy()),
        ("lexical/indptr.csc.index", lambda a: a[:2]),
        ("lexical/data.csc.index", lambda a: a.astype(np.int64)),
    ],
)
def test_columns_that_do_not_fit_end_in_an_error_that_says_so(index, name, change):
    put(index, name, change(np.load(live_snapshot(index) / f"{name}.npy")))
    with pytest.raises(StorageError, match="damaged"):
        memory = GraphMemory.open(index)
        for preset in ("default", "bm25", "linearrag"):
            memory.search("Where was the director of Alien born?", preset=preset)
        memory.explain("Where was the director of Alien born?")


def test_files_of_an_index_are_files_in_it(index):
    live = live_snapshot(index)
    manifest = json.loads((live / "manifest.json").read_text())
    manifest["files"]["../../../x.npy"] = {"bytes": 3}
    (index.parent / "x.npy").write_bytes(b"abc")
    (live / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="damaged"):
        GraphMemory.open(index).search("Alien")


@pytest.mark.parametrize(
    "change",
    [{"embedder": None}, {"extractor": 7}, {"failed": "x"}, {"pack": "x"}, {"content": []}, None],
)
def test_a_manifest_that_lacks_a_word_or_has_another_kind_is_told(index, change):
    file = live_snapshot(index) / "manifest.json"
    said = json.loads(file.read_text())
    if change is None:
        del said["embedder"]
    file.write_text(json.dumps({**said, **(change or {})}))
    memory = GraphMemory.open(index, embedder="hashing")
    for use in (memory.stats, memory.failures, lambda: memory.search("Alien")):
        with pytest.raises(StorageError, match="missing or damaged"):
            use()
    assert memory.add(PASSAGES, workers=1).passages == len(PASSAGES)
    assert memory.search("Alien").hits and memory.verify(deep=True).problems == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, -7])
def test_vectors_that_are_none_are_told_and_made_anew(index, value):
    vectors = np.load(live_snapshot(index) / "vectors.npy")
    vectors[1] = value
    put(index, "vectors", vectors)
    memory = GraphMemory.open(index, embedder="hashing")
    for preset in ("default", "dense", "rrf", "linearrag"):
        with pytest.raises(StorageError, match=r"vectors\.npy: missing or damaged"):
            memory.search("Who is Ridley Scott?", preset=preset)
    memory.repair()
    assert memory.verify(deep=True).problems == []
    assert memory.search("Who is Ridley Scott?").hits


@pytest.mark.parametrize("value", [np.nan, -1, 3e38])
def test_scores_of_words_that_are_none_are_told_and_made_anew(index, value):
    scores = np.load(live_snapshot(index) / "lexical/data.csc.index.npy")
    put(index, "lexical/data.csc.index", np.full_like(scores, value))
    memory = GraphMemory.open(index, embedder="hashing")
    for preset in ("default", "bm25", "rrf"):
        with pytest.raises(StorageError, match="lexical: damaged; graphmem verify --repair"):
            memory.search("Who is Ridley Scott?", preset=preset)
    memory.repair()
    assert memory.search("Who is Ridley Scott?").hits


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("sentences/vectors", "linearrag"),
        ("facts/fact_vectors", "default"),
        ("facts/fact_vectors", "hipporag2"),
        ("facts/phrase_vectors", "hipporag"),
    ],
)
def test_vectors_of_sentences_and_facts_that_are_none_are_told(tmp_path, name, preset):
    answer = {"entities": ["Ridley Scott"], "triples": [["Ridley Scott", "made", "Alien"]]}
    chat = ScriptedChat(lambda request: json.dumps(answer))
    options = {"embedder": "hashing", "extractor": "llm", "chat": chat, "sentences": True}
    memory = GraphMemory.open(tmp_path / "i", **options)
    memory.add(PASSAGES, workers=1)
    question = "Where was Ridley Scott born?"
    assert memory.search(question, preset=preset).hits
    vectors = np.load(live_snapshot(tmp_path / "i") / f"{name}.npy")
    put(tmp_path / "i", name, np.full_like(vectors, np.nan))
    with pytest.raises(StorageError, match=f"{name}.npy: missing or damaged"):
        GraphMemory.open(tmp_path / "i", **options).search(question, preset=preset)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed")
def test_a_lock_of_answers_that_is_a_link_makes_nothing_elsewhere(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with KeyedLock(tmp_path / "x.lock").holding("a key"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("name", ["CURRENT", "manifest.json", "df.npy", "lexical/vocab.index.json"])
def test_a_pipe_in_an_index_is_not_waited_for(index, name):
    file = index / name if name == "CURRENT" else live_snapshot(index) / name
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(GraphmemError):
        GraphMemory.open(index).search("Alien")


@pytest.mark.parametrize("name", ["store.sqlite", "CURRENT"])
def test_links_in_a_circle_end_in_an_error_of_ours(tmp_path, name):
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    passages = [Passage("1", "Ada lives in Turin.")]
    memory.add(passages)
    file = tmp_path / "i" / name
    file.unlink()
    file.symlink_to(name)
    tries = (
        lambda: verify_index(tmp_path / "i", deep=True),
        lambda: GraphMemory.open(tmp_path / "i", embedder="hashing").search("Ada"),
        memory.failures,
        lambda: memory.add([Passage("2", "Bo.")]),
        lambda: memory.backup(tmp_path / "b.tar"),
        lambda: memory.backup(file / "b.tar"),
        lambda: GraphMemory.restore(file, tmp_path / "r"),
        lambda: GraphMemory.open(tmp_path / "n", extractor=f"import:{file}").add(
            [Passage("1", "A.")]
        ),
    )
    for attempt in tries:
        with suppress(GraphmemError):
            attempt()
