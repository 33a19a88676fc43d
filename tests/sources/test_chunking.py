"""Cutting long texts: the budget is kept, nothing is lost, and it takes linear time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmem.errors import ConfigError
from graphmem.sources.chunking import cut_passages
from graphmem.types import Passage


def count_words(texts):
    return [len(text.split()) for text in texts]


def count_characters(texts):
    """Every character that is not blank, and two special tokens."""
    return [2 + sum(not char.isspace() for char in text) for text in texts]


def count_bytes(texts):
    return [2 + len(text.encode()) for text in texts]


def count_roughly(texts):
    """Rounds down, so that a text costs more than the sum of its parts."""
    return [int(len(text.split()) * 1.4) for text in texts]


COUNTERS = [count_words, count_characters, count_bytes, count_roughly]


def cut(text, budget, count=count_words, title="", overlap=0):
    passage = Passage("p", text, title, metadata={"k": 1}, source="f:1")
    return list(cut_passages([passage], count_tokens=count, passage_tokens=budget, overlap=overlap))


def solid(text):
    return "".join(text.split())


ALPHABET = "ab .!?\n\t。，好東กำ์नमस्ते।ابج؟é\u0301👨\u200d👩é\ufffd\u202e#"
TEXTS = st.text(ALPHABET, max_size=400) | st.text(max_size=200)


@settings(deadline=None)
@given(
    TEXTS.filter(str.strip),
    st.text(ALPHABET, max_size=8),
    st.integers(8, 60),
    st.sampled_from(COUNTERS),
)
def test_the_budget_is_kept_and_nothing_is_lost(text, title, budget, count):
    pieces = cut(text, budget, count, title)
    assert solid("".join(p.text for p in pieces)) == solid(text)
    assert all(p.text.strip() and p.title == title for p in pieces)
    prefix = f"{title}\n" if title else ""
    fits = count([prefix])[0] <= budget // 2
    for piece in pieces:
        (tokens,) = count([prefix + piece.text])
        assert tokens <= budget or not fits or len(piece.text) == 1
    if len(pieces) == 1:
        assert pieces[0].text in (text, text.strip())
        assert (pieces[0].id, pieces[0].document, pieces[0].position) == ("p", "", 0)
    else:
        assert [p.id for p in pieces] == [f"p#{n}" for n in range(len(pieces))]
        assert [p.position for p in pieces] == list(range(len(pieces)))
        assert {p.document for p in pieces} == {"p"}
        assert all(p.metadata == {"k": 1} and p.source == "f:1" for p in pieces)


@settings(deadline=None)
@given(TEXTS.filter(str.strip), st.integers(8, 40), st.integers(0, 39), st.sampled_from(COUNTERS))
def test_with_overlap_pieces_are_in_order_and_still_fit(text, budget, overlap, count):
    pieces = cut(text, budget, count, overlap=min(overlap, budget - 1))
    places = {(-1, 0)}  # where the last piece may begin and end, as texts may repeat themselves
    for piece in pieces:
        assert count([piece.text])[0] <= budget or len(piece.text) == 1
        places = {
            (start, start + len(piece.text))
            for last, end in places
            for start in range(last + 1, len(text))
            if text.startswith(piece.text, start) and not text[end:start].strip()
        }
    assert any(not text[end:].strip() for _, end in places)


def test_sentences_stay_whole():
    text = "One two three. Four five six. Seven eight nine ten. Eleven. Twelve."
    assert [p.text for p in cut(text, 8)] == [
        "One two three. Four five six.",
        "Seven eight nine ten. Eleven. Twelve.",
    ]


def test_long_sentences_are_cut_at_lines_then_words_then_characters():
    lines = "one two three four five\nsix seven eight nine ten\neleven twelve"
    assert [p.text for p in cut(lines, 8)] == [
        "one two three four five",
        "six seven eight nine ten\neleven twelve",
    ]
    words = " ".join(str(n) for n in range(20))
    assert [len(p.text.split()) for p in cut(words, 8)] == [8, 8, 4]
    assert [len(p.text) for p in cut("x" * 60, 22, count_characters)] == [20, 20, 20]


def test_characters_keep_their_marks():
    text = "e\u0301" * 50
    assert all(p.text.startswith("e") for p in cut(text, 15, count_characters))
    family = "👨\u200d👩\u200d👧"
    assert {p.text.replace(family, "") for p in cut(family * 40, 20, count_characters)} == {""}


@pytest.mark.parametrize("words", range(17, 60))
def test_no_tiny_last_piece(words):
    text = ("One two. " * 30).split()[:words]
    pieces = cut(" ".join(text), 16)
    assert min(len(p.text.split()) for p in pieces) >= 4


def test_an_edit_at_the_end_changes_the_last_pieces_only():
    text = "One two three. " * 50
    before, after = cut(text, 16), cut(text + "A new end.", 16)
    assert before[:-2] == after[: len(before) - 2]


def test_overlap_repeats_whole_sentences():
    text = "A b c. D e f. G h. I j k. L m n. O p q."
    assert [p.text for p in cut(text, 8, overlap=3)] == [
        "A b c. D e f. G h.",
        "G h. I j k. L m n.",
        "L m n. O p q.",
    ]


def test_the_title_counts_but_half_of_the_budget_at_most():
    text = "One two three four. " * 10
    pieces = cut(text, 12, title="Four words of title")
    assert {len(p.text.split()) for p in pieces} == {8}
    pieces = cut(text, 12, title="word " * 40)
    assert {len(p.text.split()) for p in pieces} == {4}


def test_short_texts_are_not_counted():
    def count(texts):
        assert texts == [""]
        return [2]

    passages = [Passage(str(n), "Short text.", "T") for n in range(2000)]
    assert list(cut_passages(passages, count_tokens=count, passage_tokens=100)) == passages


def test_texts_are_counted_in_batches():
    calls = []

    def count(texts):
        calls.append(len(texts))
        return count_words(texts)

    passages = [Passage(str(n), "Längere Wörter " * 4) for n in range(2000)]
    assert list(cut_passages(passages, count_tokens=count, passage_tokens=20)) == passages
    assert len(calls) < 8


@pytest.mark.parametrize(("budget", "overlap"), [(0, 0), (7, 0), (16, 16), (16, -1)])
def test_wrong_options_are_errors_before_anything_is_read(budget, overlap):
    with pytest.raises(ConfigError):
        cut_passages([], count_tokens=count_words, passage_tokens=budget, overlap=overlap)


MEGABYTE = 1_000_000


@pytest.mark.parametrize("count", [count_words, count_characters])
@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "好",
        "好的。",
        "hello ",
        "Hello there. ",
        ".",
        "\u0301",
        "สวัสดี",
        "مرحبا؟ ",
        "नमस्ते। ",
        '."',
        "a\n",
    ],
)
def test_a_megabyte_is_counted_a_few_times_at_most(unit, count):
    text = (unit * (MEGABYTE // len(unit))).strip()
    counted = []

    def recorded(texts):
        counted.extend(map(len, texts))
        return count(texts)

    pieces = cut(text, 256, recorded, title="Title")
    assert sum(counted) < 4 * MEGABYTE
    assert solid("".join(p.text for p in pieces)) == solid(text)
    assert all(len(p.text) <= 256 * 32 for p in pieces)  # also where a word is one token
