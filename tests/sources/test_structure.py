"""What survives the cut: headings, table headers, list items, code, and where a piece stands."""

import pytest

from graphmem.sources.chunking import Document, cut_documents, cut_passages
from graphmem.sources.files import read_passages
from graphmem.types import Passage

FILLER = " ".join(f"This is sentence {n} of many." for n in range(12))
HEAD = "| Bridge | Designer |\n| --- | --- |"


def count_words(texts):
    return [len(text.split()) for text in texts]


def cut(text, tokens=40, **options):
    passage = Passage("d", text)
    return list(cut_passages([passage], count_tokens=count_words, passage_tokens=tokens, **options))


@pytest.mark.parametrize("outer", [True, False])
def test_every_piece_of_a_table_has_its_header_and_one_row(outer):
    lines = ["Bridge | Designer", "--- | ---", *(f"B{n} | Person {n}" for n in range(30))]
    lines = [f"| {line} |" for line in lines] if outer else lines
    text = "# Bridges\n\nThese are all.\n\n" + "\n".join(lines) + f"\n\n{FILLER}\n"
    pieces = cut(text)
    rows = [piece for piece in pieces if "Person" in piece.text]
    header = "\n".join(lines[:2])
    assert len(rows) == 30
    assert rows[0].text == f"# Bridges\n\nThese are all.\n\n{header}\n{lines[2]}"
    assert rows[7].text == f"# Bridges\n\n{header}\n{lines[9]}"
    assert rows[7].metadata == {"headings": ["Bridges"]}
    assert "Designer" not in pieces[-1].text


def test_pieces_begin_with_the_headings_they_stand_under():
    text = f"# Guide\n\n{FILLER}\n\n## Install ##\n\n{FILLER}\n\n### On *Linux*\n\nShort.\n\n"
    text += f"## Use\n\n{FILLER}"
    pieces = cut(text, 30)
    for piece in pieces:
        assert piece.text.startswith("# Guide")
        assert len(piece.text.split()) <= 30
    paths = [piece.metadata.get("headings", []) for piece in pieces]
    assert ["Guide", "Install"] in paths
    assert ["Guide", "Use"] in paths
    assert not any(piece.text.rstrip().endswith("Use") for piece in pieces)  # no heading is last
    last = pieces[-1].text
    assert last.startswith("# Guide\n\n## Use\n\nThis is")


def test_code_and_list_items_are_whole_where_they_fit():
    code = "```python\n" + "\n".join(f"x{n} = {n}" for n in range(6)) + "\n\ny = 1\n```"
    items = [f"- Item {n} says this. And then it goes on for a while." for n in range(6)]
    text = f"{FILLER}\n\n{code}\n\n{FILLER}\n\n" + "\n".join(items)
    pieces = [piece.text for piece in cut(text)]
    assert any(code in piece for piece in pieces)
    for item in items:
        assert any(item in piece for piece in pieces)


def test_a_code_block_or_row_above_the_budget_is_cut_and_nothing_is_lost():
    code = "```\n" + "\n".join(f"word{n} = value{n}" for n in range(60)) + "\n```"
    row = "| " + " ".join(f"cell{n}" for n in range(90)) + " | x |"
    text = f"# Top\n\n{code}\n\n| a | b |\n| - | - |\n{row}\n"
    pieces = cut(text)
    assert all(len(piece.text.split()) <= 40 for piece in pieces)
    said = " ".join(piece.text for piece in pieces).split()
    assert {f"value{n}" for n in range(60)} <= set(said)
    assert {f"cell{n}" for n in range(90)} <= set(said)


def test_sentences_are_repeated_within_a_section_only():
    text = f"# A\n\n{FILLER}\n\n# B\n\n{FILLER}"
    pieces = [piece.text for piece in cut(text, 30, overlap=8)]
    a = [piece for piece in pieces if piece.startswith("# A")]
    assert a[0].split(". ")[-1].rstrip(".") in a[1]
    assert all(piece.count("#") == 1 for piece in pieces)


def test_lines_are_units_of_code_and_logs():
    text = "\n".join(f"ERROR bridge=B{n}. It fell" for n in range(20))
    document = Document(Passage("a.log", text), [(0, {"line": 3})], "lines")
    pieces = list(cut_documents([document], count_tokens=count_words, passage_tokens=16))
    assert [piece.metadata["line"] for piece in pieces] == [3, 7, 11, 15, 19]
    assert all(piece.text.startswith("ERROR") for piece in pieces)


def test_pieces_of_files_know_their_line(tmp_path):
    text = f"---\ntitle: T\n---\n\n# Guide\n\n{FILLER}\n\n## Use\n\n{FILLER}\n"
    (tmp_path / "a.md").write_text(text)
    (tmp_path / "b.txt").write_text("\n\n" + "\n".join(f"Sentence {n} is here." for n in range(30)))
    pieces = list(read_passages([tmp_path], count_tokens=count_words, passage_tokens=40))
    notes = [piece for piece in pieces if piece.document == "a.md"]
    assert {piece.title for piece in notes} == {"T"}
    assert [(piece.metadata["line"], piece.metadata.get("headings")) for piece in notes] == [
        (5, ["Guide"]),
        (7, ["Guide"]),
        (9, ["Guide", "Use"]),
        (11, ["Guide", "Use"]),
        (11, ["Guide", "Use"]),
    ]
    plain = [piece for piece in pieces if piece.document == "b.txt"]
    assert len(plain) > 1
    for piece in plain:  # the first sentence of the file stands in its third line
        assert piece.text.startswith(f"Sentence {piece.metadata['line'] - 3} is")
