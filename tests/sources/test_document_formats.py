"""Documents of every kind: what is read of them, where it stands, and what is refused."""

import gzip
import json
import os
import re
import zipfile

import numpy as np
import pytest
from documents import docx, epub, odt, pdf, pptx, word_paragraph, word_table, xlsx, zipped

from graphmem.errors import DataError
from graphmem.sources import markup
from graphmem.sources.files import read_passages, read_records
from graphmem.sources.formats import FORMATS, archive, by_ending, rst
from graphmem.sources.options import ReadOptions, ReadReport
from graphmem.types import Passage

TABLE = "| Town | River |\n| --- | --- |\n| York | Ouse |"
HTML = """<html lang="en"><head><title>Site - Bridges</title><script>var x = "no";</script></head>
<body><header><a href="/">Home</a></header><nav><a>Menu</a></nav>
<div class="sidebar"><p>Aside</p></div><div class="cookie-banner">Cookies!</div>
<main><h1>Bridges</h1><p>Edmund <a href="x"><b>Raven</b>scroft</a> designed&nbsp;it &amp; left.<br>
Then <em>rain</em>.</p><h2>North</h2><table><tr><th>Town<th>River<tr><td>York<td>Ouse</table>
<ul><li>one<ul><li>deep</ul><li>two</ul><pre>x = 1
  y</pre></main><footer>Imprint</footer></body></html>"""
MAIL = (
    b"From: Ada <ada@example.org>\r\nTo: Bob\r\nSubject: =?utf-8?q?The_caf=C3=A9?=\r\n"
    b"Date: Tue, 3 Mar 2020 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Yes, on Monday.\r\n\r\nOn Tue, 3 Mar 2020 at 09:00, Bob wrote:\r\n> When do we meet?\r\n"
)
BOX = (
    b"From ada@x Tue Mar  3 10:00:00 2020\nFrom: Ada\nSubject: One\n\nFirst mail.\n\n"
    b"From bob@x Tue Mar  3 10:00:00 2020\nFrom: Bob\nSubject: Two\n\nSecond.\n>From here on.\n"
)
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Bridges\n", "\n", "By Edmund."]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [{"output_type": "stream", "text": ["1\n"]}, {"data": {"image/png": "iVB"}}],
        },
    ],
    "metadata": {"kernelspec": {"language": "python"}},
    "nbformat": 4,
}
RST = """Bridges
=======

By *Edmund*, see `the page <http://example.org>`_.

North
-----

* one
* two

.. include:: /etc/passwd

.. raw:: html

   <b>no</b>

====  =====
Town  River
====  =====
York  Ouse
====  =====
"""
TEX = r"""\documentclass{article}\title{The \emph{Bridges}}\begin{document}\maketitle
\section{North}Edmund~Ravenscroft\cite{a} built it. % a comment

\begin{itemize}\item one\item two\end{itemize}\input{/etc/passwd}\end{document}"""
ORG = "#+TITLE: Bridges\n* North\n:PROPERTIES:\n:ID: x\n:END:\nBy Edmund.\n** Deep\n"
ORG += "#+begin_src python\nx = 1\n#+end_src\n"
SRT = "1\n00:00:01,000 --> 00:00:02,000\nHello <i>there</i>.\n\n"
SRT += "2\n00:01:05,000 --> 00:01:07,000\nEdmund speaks.\n"
XML = b"<?xml version='1.0' encoding='latin-1'?><doc><title>Bridges</title>"
XML += b"<p lang='en'><b>Edmund</b> met <i>Zo\xeb</i>.</p></doc>"
WORD = (
    word_paragraph("Bridges", "Heading1")
    + word_paragraph("By Edmund.")
    + word_table([["Town", "River"], ["York", "Ouse"]])
)

CASES = {
    "a.html": (HTML, "Bridges", "Edmund Ravenscroft designed it & left.\nThen rain.\n\n## North\n\n"
               f"{TABLE}\n\n- one\n  - deep\n- two\n\n```\nx = 1\n  y\n```"),
    "a.docx": (docx(WORD), "The Larkmoor report", f"# Bridges\n\nBy Edmund.\n\n{TABLE}"),
    "a.pptx": (pptx([("Bridges", ["One", "Two"])]), "a",
               "## Bridges\n\n- One\n- Two\n\nNotes on Bridges."),
    "a.xlsx": (xlsx({"Towns": [["Town", "Year"], ["York", 71]], "Empty": []}), "a",
               "## Towns\n\n| Town | Year |\n| --- | --- |\n| York | 71 |"),
    "a.odt": (odt("T", ["By Edmund."], ["one"], [["Town", "River"], ["York", "Ouse"]]), "T",
              f"# Bridges\n\nBy Edmund.\n\n- one\n\n{TABLE}"),
    "a.rtf": (rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 By {\b Zo\'eb} M\u252?ller.\par End.}", "a",
              "By Zoë Müller.\nEnd."),
    "a.epub": (epub([("One", "By Edmund."), ("Two", "It fell.")]), "The Larkmoor Bridge",
               "# One\n\nBy Edmund.\n\n# Two\n\nIt fell."),
    "a.eml": (MAIL, "The café", "From: Ada <ada@example.org>\nTo: Bob\n"
              "Date: Tue, 03 Mar 2020 10:00:00 +0000\n\nYes, on Monday."),
    "a.ipynb": (json.dumps(NOTEBOOK), "Bridges",
                "By Edmund.\n\n```python\nprint(1)\n```\n\n```output\n1\n```"),
    "a.rst": (RST, "Bridges", f"By Edmund, see the page.\n\n## North\n\n- one\n- two\n\n{TABLE}"),
    "a.tex": (TEX, "The Bridges",
              "## North\n\nEdmund Ravenscroft built it.\n\n- one\n- two"),
    "a.org": (ORG, "Bridges", "# North\n\nBy Edmund.\n\n## Deep\n\n```python\nx = 1\n```"),
    "a.srt": (SRT, "a", "Hello there.\n\nEdmund speaks."),
    "a.vtt": ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Hello.\n", "a", "Hello."),
    "a.xml": (XML, "Bridges", "title: Bridges\np: lang en\np: Edmund met Zoë."),
    "a.yaml": ("bridge:\n  name: Larkmoor\n", "a", "bridge:\n  name: Larkmoor"),
    "a.log": ("ERROR bridge=Larkmoor\n", "a", "ERROR bridge=Larkmoor"),
    "a.py": ("# no heading\nx = 1\n", "a", "# no heading\nx = 1"),
    "LICENSE": ("Take it.", "LICENSE", "Take it."),
}  # fmt: skip


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, report=None, **options):
    return list(read_records([path], report=report, options=ReadOptions(**options)))


@pytest.mark.parametrize("name", CASES)
def test_documents_of_every_kind_are_read(tmp_path, name):
    content, title, text = CASES[name]
    (passage,) = read(write(tmp_path / name, content), strict=True)
    assert (passage.id, passage.title) == (name, title)
    assert passage.text == text


@pytest.mark.parametrize("name", ["a.html", "a.docx", "a.xlsx", "a.epub", "a.rtf", "a.odt"])
@pytest.mark.parametrize("other", ["a.txt", "a.pdf", "a.docx", "noending"])
def test_a_type_is_told_by_content(tmp_path, name, other):
    content, _, text = CASES[name]
    (passage,) = read(write(tmp_path / other, content), strict=True)
    assert passage.text == text


SPHINX = """Calculator
==========

.. versionadded:: 2.1
   By *Ada Byron*.

.. code-block:: python
   :emphasize-lines: 3

   import calculator

.. py:function:: sum_all(numbers)
   :module: calculator

   Sums **all** of them.

   .. warning:: Not for Zuse.

- C. Kaynak (1995), see [1]_ and [CIT]_
- others

=====  =====
a      b
too    long for its column
x   yyy zz  q
=====  =====

.. sidebar:: History

   Of Jacquard.

.. [1] Note of Lovelace.
.. [CIT] Book of Babbage.
"""


def test_nothing_of_a_text_of_sphinx_is_lost(tmp_path):
    (passage,) = read(write(tmp_path / "a.rst", SPHINX))
    for said in (
        *("2.1", "By Ada Byron.", "import calculator", "sum_all(numbers)", "Sums all of them."),
        *("Not for Zuse.", "- C. Kaynak (1995), see", "long for its column", "Of Jacquard."),
        *("Note of Lovelace.", "Book of Babbage."),
    ):
        assert said in passage.text
    assert not any(mark in passage.text for mark in (":module:", ":emphasize-lines:", ".. "))


def test_links_and_code_of_latex_are_read(tmp_path):
    text = r"""\documentclass{article}\begin{document}
See \href{http://example.org}{Ada Byron}.

\begin{verbatim}
x = 50% 3
\end{verbatim}

\includegraphics[width=3cm]{bridge.png} \caption{The Larkmoor Bridge.}
\end{document}"""
    (passage,) = read(write(tmp_path / "a.tex", text))
    assert passage.text == ("See Ada Byron.\n\n```\nx = 50% 3\n```\n\nThe Larkmoor Bridge.")


def test_pages_in_a_form_and_their_notes_and_numbers_are_read(tmp_path):
    page = """<body><form id="aspnetForm"><input name="q"><nav>Menu</nav><h1>Bridges</h1>
    <p>By Edmund.</p><aside class="admonition note"><p>Mind the gap.</p></aside>
    <aside>Buy!</aside><ol start="7"><li>seven<li>eight</ol></form>
    <form class="search"><label>Search</label></form></body>"""
    (passage,) = read(write(tmp_path / "a.html", page))
    assert passage.title == "Bridges"
    assert passage.text == "By Edmund.\n\nMind the gap.\n\n7. seven\n8. eight"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.jsonl", "a.html", "a.rst"])
def test_files_without_text_are_named(tmp_path, name):
    write(tmp_path / name, " \n")
    write(tmp_path / "b.txt", "Larkmoor.")
    report = ReadReport()
    assert len(read(tmp_path, report=report)) == 1
    assert [(item.path, item.reason) for item in report.empty_files] == [
        (str(tmp_path / name), "no text in it")
    ]
    assert report.complete


def test_every_file_of_another_type_is_named(tmp_path):
    for n in range(1200):
        write(tmp_path / f"{n}.png", b"\x89PNG\r\n\x1a\n\0")
    write(tmp_path / "b.txt", "Larkmoor.")
    report = ReadReport()
    read(tmp_path, report=report)
    assert len({item.path for item in report.other_files}) == report.skipped_files == 1200


def test_formats_behind_gz_and_every_ending_belong_to_one_format(tmp_path):
    data = gzip.compress(pdf([["Edmund built it."]]))
    assert read(write(tmp_path / "a.pdf.gz", data))[0].text == "Edmund built it."
    endings = [ending for item in FORMATS for ending in item.endings]
    assert len(endings) == len(set(endings))
    assert all(by_ending(f"x{ending}").name for ending in endings)
    assert not any(item.missing for item in FORMATS)  # the extra test installs all


def test_a_mailbox_is_a_document_for_each_mail(tmp_path):
    one, two = read(write(tmp_path / "a.mbox", BOX))
    assert (one.id, one.title, one.text) == ("a.mbox/1", "One", "From: Ada\n\nFirst mail.")
    assert (two.id, two.title, two.text) == (
        "a.mbox/2",
        "Two",
        "From: Bob\n\nSecond.\nFrom here on.",
    )


def pages(count):
    return [
        [
            "County survey of bridges",
            f"The bridge of {'ABCDEFGH'[n]} was de-",
            "signed by Edmund Ravenscroft, long after the old ford",
            f"had been closed at {'ABCDEFGH'[n]}.",
            "It has arches.",
            f"Page {n + 1} of {count}",
        ]
        for n in range(count)
    ]


def test_pdf_words_are_whole_and_running_heads_gone(tmp_path):
    path = write(tmp_path / "a.pdf", pdf(pages(5), "Bridges"))
    (passage,) = read(path)
    assert (passage.title, passage.metadata["pages"]) == ("Bridges", 5)
    first = passage.text.split("\n\n")[0]
    assert first == (
        "The bridge of A was designed by Edmund Ravenscroft, long after the old ford had been "
        "closed at A.\nIt has arches."
    )
    assert "County" not in passage.text
    assert "Page" not in passage.text


def cut(path, tokens):
    def count_words(texts):
        return [len(text.split()) for text in texts]

    return list(read_passages([path], count_tokens=count_words, passage_tokens=tokens))


def test_pieces_know_their_page(tmp_path):
    pieces = cut(write(tmp_path / "a.pdf", pdf(pages(5))), 25)
    assert [piece.metadata["page"] for piece in pieces] == [1, 2, 3, 4, 5]


SECTIONS = {
    "rst": "\n\n{title}\n==========\n\n.. note:: Read on.\n\n",
    "tex": "\n\n\\section{{{title}}}\n%% a remark\n\n",
    "org": "\n\n* {title}\n:PROPERTIES:\n:ID: x\n:END:\n",
    "html": "\n<h2>{title}</h2>\n<p class='x'\n id='y'>\n",
}


@pytest.mark.parametrize("ending", SECTIONS)
def test_pieces_know_their_line_where_markup_was_taken_off(tmp_path, ending):
    text = ""
    for number, title in enumerate(["Sources", "Mouth", "Bridges", "Locks"]):
        text += SECTIONS[ending].format(title=title)
        for line in range(4):
            text += (
                f"The river has {number}{line} miles\nfrom town {line}x{number} to the next.\n\n"
            )
    pieces = cut(write(tmp_path / f"a.{ending}", text), 20)
    lines = text.split("\n")
    assert len(pieces) > 6
    for piece in pieces:
        (first,) = re.findall(r"The river has (\d\d)", piece.text)[:1]
        near = lines[piece.metadata["line"] - 1 :]
        assert next(line for line in near if "river" in line).startswith(f"The river has {first}")
        assert sum("river" in line for line in near[:8]) <= 3


def test_a_scan_is_reported(tmp_path):
    with pytest.raises(DataError, match=r"scan.pdf: has no text on its 2 pages.*ocrmypdf"):
        read(write(tmp_path / "scan.pdf", pdf([[], []])), strict=True)


def bomb(member, size):
    return zipped({member: b"<w:p>" + b" " * size})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", pdf(pages(2))[:300], "a damaged PDF file"),
        ("a.docx", docx(WORD)[:-200], "a damaged zip file"),
        ("a.docx", zipped({"word/document.xml": "<w:document"}), "a damaged Word file"),
        ("a.epub", zipped({"mimetype": "application/epub+zip"}), "container.xml"),
        ("a.docx", bomb("word/document.xml", archive.LARGEST + 1), "unpacks to more than 256 MB"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<x/>"}), "a damaged workbook"),
        ("a.xml", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "declares entities"),
        ("a.xml", "<a>" * 100_000, "nested too deeply"),
        ("a.html", "<html>" + "<div>" * 100_000 + "x", "nested too deeply"),
        ("a.ipynb", "[" * 100_000, "no notebook"),
        ("a.eml", "Subject: a\nContent-Type: message/rfc822\n\n" * 3000, "nested too deeply"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Office file; save it"),
        ("a.pdf", bytes(range(256)) * 9, "no pdf file, whatever its name says, and no text"),
        ("a.eml", b"no mail at all\n", "no mail: it has no sender"),
        ("a.txt", "x" * 2_000_001, "a document of more than 2,000,000 bytes; raise --max-bytes"),
        ("a.jsonl", '{"text": "' + "x" * 2_000_001 + '"}', "a line of more than 2,000,000 bytes"),
        ("a.txt.gz", gzip.compress(bytes(30_000_000)), "a document of more than"),
    ],
)  # fmt: skip
def test_hostile_documents_are_refused_by_name(tmp_path, name, content, message):
    report = ReadReport()
    assert read(write(tmp_path / name, content), report=report, max_bytes=2_000_000) == []
    (left,) = report.left_out
    assert left.path == str(tmp_path / name)
    assert message in f"{left.reason}; {left.hint}"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_columns_of_bytes_that_are_no_utf_8_cost_no_other_file(tmp_path, ending):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    latin = pyarrow.array([b"Ada wrote.", "Zürich".encode("latin-1")], pyarrow.binary())
    table = pyarrow.table({"text": latin.view(pyarrow.string())})
    (tmp_path / "in").mkdir()
    path = tmp_path / f"in/a.{ending}"
    if ending == "parquet":
        parquet.write_table(table, path)
    else:
        with ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    write(tmp_path / "in/b.txt", "Bo wrote.")
    report = ReadReport()
    (passage,) = read(tmp_path / "in", report=report)
    assert passage.text == "Bo wrote."
    (left,) = report.left_out
    assert left.path == str(path)
    assert f"a damaged {ending} file" in left.reason and "Invalid UTF8" in left.reason


@pytest.mark.parametrize("ending", ["md", "html"])
def test_a_title_that_is_a_text_stands_in_the_text_once(tmp_path, ending):
    """It stood before every piece, and was looked through for marks with each of them."""
    words = " ".join(f"word{i}" for i in range(200))
    lines = "".join(f"\n\nAda wrote note {i}." for i in range(40))
    page = f"# {words}{lines}\n"
    if ending == "html":
        page = f"<title>{words}</title>" + lines.replace("Ada", "<p>Ada")
    write(tmp_path / f"a_note.{ending}", page)
    pieces = list(
        read_passages(
            [tmp_path / f"a_note.{ending}"],
            count_tokens=lambda texts: [len(text) for text in texts],
            passage_tokens=300,
        )
    )
    assert len(pieces) > 5 and {piece.title for piece in pieces} == {"a note"}
    assert " ".join(piece.text for piece in pieces).count("word199") == 1
    note = re.search(r"note (\d+)", pieces[-1].text)
    assert pieces[-1].metadata["line"] == 3 + 2 * int(note[1])


def test_a_list_that_ends_outside_its_file_is_damage(tmp_path):
    """pyarrow trusts the offsets of an Arrow file: reading on ended the process."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc

    table = pyarrow.table({"text": ["Ada wrote."], "n": [list(range(77))]})
    with ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    data = (tmp_path / "a.arrow").read_bytes()
    honest, wrong = (np.array([0, end], "<i4").tobytes() for end in (77, 786_440))
    before, _, after = data.rpartition(honest)
    (tmp_path / "a.arrow").write_bytes(before + wrong + after)
    with pytest.raises(DataError, match="a damaged arrow file: .* out of bounds"):
        read(tmp_path / "a.arrow", strict=True)


def test_a_mail_nested_too_deeply_does_not_cost_the_others_of_its_box(tmp_path):
    deep = "From a@b.c\nSubject: deep\n" + "Content-Type: message/rfc822\n\n" * 3000
    plain = "From a@b.c\nSubject: plain\n\nAda was born in London.\n"
    (passage,) = read(write(tmp_path / "a.mbox", f"{plain}\n{deep}\n{plain}"[: -len(plain)]))
    assert passage.title == "plain" and "Ada was born in London." in passage.text


def test_random_and_broken_files_never_end_in_a_traceback(tmp_path):
    whole = [content for content, _, _ in CASES.values()] + [BOX, pdf(pages(3))]
    names = [*CASES, "a.mbox", "a.pdf"]
    data = [item if isinstance(item, bytes) else item.encode() for item in whole]
    for n, (name, content) in enumerate(zip(names, data, strict=True)):
        write(tmp_path / f"cut{n}{name}", content[: len(content) // 2])
        middle = len(content) // 3
        write(tmp_path / f"hurt{n}{name}", content[:middle] + os.urandom(40) + content[middle:])
        write(tmp_path / f"random{n}{name}", os.urandom(500))
    report = ReadReport()
    passages = read(tmp_path, report=report)
    assert all(isinstance(passage, Passage) and passage.text for passage in passages)
    told = len(report.left_out) + len(report.other_files)
    assert told + len({p.id.split("/")[0] for p in passages}) + report.skipped_empty >= 3 * len(
        data
    )


def test_encrypted_archives_are_told(tmp_path):
    path = tmp_path / "a.docx"
    write(path, docx(WORD))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as whole:
        for info in whole.infolist():
            data[info.header_offset + 6] |= 1
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    with pytest.raises(DataError, match="is encrypted; save it without a password"):
        read(write(path, bytes(data)), strict=True)


def test_how_a_text_is_read_does_not_depend_on_what_was_read_before():
    """Directives that a document brings are known to docutils while it is parsed, no longer."""
    text = ".. onlyhere:: 2.1\n   *By* Ada Byron.\n\nSee :py:func:`Bo`.\n"
    before = markup.read(text).text
    (content,) = rst.read(text)
    assert "By Ada Byron" in content.text
    assert markup.read(text).text == before
    (again,) = rst.read(text)
    assert again == content


@pytest.mark.parametrize(
    ("head", "title", "metadata"),
    [
        (
            "---\ntitle: Quartz 8: what is new\nby: @ada\ntags:\n- a\n---\n",
            "Quartz 8: what is new",
            2,
        ),
        ("---\nid: x1\ntitle: {{ page.title }}\n---\n", "{{ page.title }}", 1),
        ("\n\n---\ntitle: Late\n---\n", "Late", 0),
        ("---\nShe said: come: now\nand: left: \nall this\n---\n", "", 0),
    ],
)
def test_a_head_that_is_no_yaml_is_read_by_its_lines(tmp_path, head, title, metadata):
    (tmp_path / "a.md").write_text(f"{head}She wrote.\n")
    (found,) = read_records([tmp_path / "a.md"])
    if title:
        assert found.text == "She wrote." and found.title == title
        assert len({*found.metadata} - {"line"}) == metadata
    else:
        assert "She said: come: now" in f"{found.title} {found.text}"
