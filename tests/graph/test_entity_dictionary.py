"""Finding names in texts: the rules, and a slow reference that must agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.base.text import compatible, normalise_phrase, sentence_spans, token_spans
from graphmem.graph.entity_dictionary import TokenHasher, build_dictionary, find_names


def find(names, texts, known=(), *, initial_counts=False):
    """Names found in each text, as (first token, name)."""
    columns = TokenHasher().columns(texts)
    keys = np.array(sorted(t * len(names) + names.index(n) for t, n in known), dtype=np.int64)
    matches = find_names(build_dictionary(names), columns, keys, initial_counts=initial_counts)
    found = [[] for _ in texts]
    for start, length, entity in zip(
        matches.starts, matches.lengths, matches.entities, strict=True
    ):
        text = int(np.searchsorted(columns.offsets, start, side="right")) - 1
        assert length == len(names[entity].split(" "))
        found[text].append((int(start - columns.offsets[text]), names[entity]))
    return found


def reference(names, text, known=(), *, initial_counts=False):
    """The same by the words of the rule, one place after the other."""
    text = compatible(text)
    spans = token_spans(text)
    words = [text[start:end] for start, end in spans]
    firsts = set()
    for start, end in sentence_spans(text):
        inside = [i for i, (a, _) in enumerate(spans) if start <= a < end]
        firsts |= {inside[0]} if inside else set()
    found, place = [], 0
    while place < len(words):
        for length in range(len(words) - place, 0, -1):
            run = words[place : place + length]
            name = " ".join(word.casefold() for word in run)
            marked = any(not word.islower() for word in run)
            inner = length > 1 or initial_counts or place not in firsts
            if name in names and (name in known or (marked and inner)):
                found.append((place, name))
                place += length
                break
        else:
            place += 1
    return found


NAMES = ["ada", "ada byron", "byron", "byron king of", "king", "king of", "lovelace"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Then Ada Byron came", [(1, "ada byron")]),  # the longest
        ("Then Ada. Byron came", [(1, "ada byron")]),  # punctuation does not part a name
        ("Then Ada Byron King of it", [(1, "ada byron"), (3, "king of")]),  # leftmost, no overlap
        ("Then Ada Ada came", [(1, "ada"), (2, "ada")]),
        ("Ada came", []),  # one capitalised token at the beginning says nothing
        ("It rained. Ada came", []),
        ("“Ada” came", []),
        ("Ada Byron came", [(0, "ada byron")]),  # two tokens do
        ("then ada byron came", []),  # small letters are no name
        ("then Ada byron came", [(1, "ada byron")]),  # one capital is enough
        ("then king of it", []),
        ("then king Of it", [(1, "king of")]),
        ("Then ADA came", [(1, "ada")]),
        ("Then Ada's came", [(1, "ada")]),
        ("Then Adam came", []),
        ("", []),
    ],
)
def test_the_rules(text, expected):
    assert find(NAMES, [text]) == [expected]


def test_what_the_extractor_found_counts_everywhere():
    texts = ["ada came", "Ada came", "ada came"]
    assert find(NAMES, texts, known=[(0, "ada"), (1, "ada")]) == [[(0, "ada")], [(0, "ada")], []]


def test_in_a_question_the_first_word_may_be_a_name():
    assert find(NAMES, ["Lovelace was born where?"], initial_counts=True) == [[(0, "lovelace")]]
    assert find(NAMES, ["lovelace was born where?"], initial_counts=True) == [[]]


def test_a_name_does_not_run_on_into_the_next_text():
    assert find(NAMES, ["So Ada", "", "Byron"]) == [[(1, "ada")], [], []]


def test_a_name_may_be_longer_than_the_text():
    assert find(["king of the isles"], ["So King of"]) == [[]]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("القاهرة", "ولد في القاهرة عام"),
        ("नई दिल्ली", "वह नई दिल्ली में"),
        ("东京", "他在东京出生。"),
        ("แม่น้ำ", "ริมแม่น้ำใหญ่"),
        ("ガラス", "これはｶﾞﾗｽです"),
        ("Москва", "Он живёт в МОСКВА сейчас"),
        ("Straße", "in der STRASSE dort"),
        ("iPhone™", "an iPhone™ here"),
        ("Zoë", "Here is Zoë now"),
        ("1843", "it was in 1843"),
    ],
)
def test_names_of_every_script_are_found_where_they_are_written(written, text):
    name = normalise_phrase(written)
    assert [found for _, found in find([name], [text])[0]] == [name]


WORDS = ["Ada", "ada", "Byron", "byron", "of", "Of", "7", "東", "京", "दिल्ली", "مصر", "ǅ", "ß"]
texts = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from([" ", ". ", ", ", "! ", "\n\n", "。", " “"])),
    max_size=12,
).map(lambda pairs: "".join(word + gap for word, gap in pairs))
names = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(
        lambda words: " ".join(word.casefold() for word in words)
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(names, st.lists(texts, max_size=3), st.booleans(), st.data())
def test_agrees_with_the_reference(names, texts, initial_counts, data):
    known = data.draw(
        st.sets(st.tuples(st.integers(0, max(len(texts) - 1, 0)), st.sampled_from(names)))
        if texts
        else st.just(set())
    )
    assert find(names, texts, known, initial_counts=initial_counts) == [
        reference(names, text, {n for t, n in known if t == i}, initial_counts=initial_counts)
        for i, text in enumerate(texts)
    ]


@given(names, st.randoms())
def test_the_dictionary_does_not_depend_on_the_order_of_names(names, random):
    shuffled = random.sample(names, len(names))
    left, right = build_dictionary(names), build_dictionary(shuffled)
    assert np.array_equal(left.prefixes, right.prefixes)
    assert np.array_equal(left.names, right.names)
    assert [names[i] for i in left.rows] == [shuffled[i] for i in right.rows]


def test_an_empty_dictionary_finds_nothing():
    assert find([], ["Ada Byron"]) == [[]]


def test_token_hashes_are_stored_on_disk_and_may_never_change():
    assert TokenHasher().columns(["Ada"]).hashes.tolist() == [2811677874490880021]


def test_tokens_are_forgotten_before_they_fill_the_memory():
    hasher = TokenHasher(most=3)
    text = "Ada met Charles in London in June, and Ada left."
    assert hasher.columns([text]).hashes.tolist() == TokenHasher().columns([text]).hashes.tolist()
    assert len(hasher._seen) <= 3
