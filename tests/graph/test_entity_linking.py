"""Linking a question: capitals decide where it has them, the corpus's own spelling where not."""

import pytest

from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.graph.entity_graph import assemble_graph
from graphmem.graph.entity_linking import link_questions
from graphmem.types import Extraction, Passage

PASSAGES = [
    Passage("a", "Brand is a film by Ada Byron.", "Brand"),
    Passage("b", "Ada Byron was born in Kyoto. Every film of hers is a long film.", "Ada Byron"),
    Passage("c", "In 1843 a film about Kyoto came: Film. It was heard.", "Kyoto"),
    Passage("d", "The Who are a band.", "The Who"),
    Passage(
        "e",
        "He who sings is young, he who plays not; who knows his brand, a good brand, this brand?",
    ),
]
NAMES = [("Ada Byron",), ("Kyoto",), ("1843", "Film"), ("The Who",), ()]


def link(question, passages=PASSAGES, names=NAMES):
    graph = assemble_graph(passages, [Extraction(found) for found in names])
    (linked,) = link_questions(graph.dictionary, TokenHasher(), [question])
    return {graph.names[row] for row in linked.entities}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which film did Ada Byron make in Kyoto?", {"ada byron", "kyoto"}),
        ("which film did ada byron make in kyoto?", {"ada byron", "kyoto"}),
        ("Which film did ada byron make in kyoto?", {"ada byron", "kyoto"}),
        ("WHICH FILM DID ADA BYRON MAKE IN KYOTO?", {"ada byron", "kyoto"}),
        ("Which film did ada byron make in Kyoto?", {"kyoto"}),  # capitals mean something here
        ("What did the CEO of ada byron do?", {"ada byron"}),  # "CEO" is no name that is known
        ("What did the CEO of brand do?", set()),
        ("who made brand?", set()),  # "brand", "who" and "film" are words like others
        ("WHO MADE THE FILM?", set()),
        ("Who made Brand?", {"brand"}),
        ("Who made the Film?", {"film"}),
        ("Brand was made by whom?", {"brand"}),  # the first letter may be that of a name
        ("what was in 1843?", {"1843"}),
        ("WHAT WAS IN 1843?", {"1843"}),
        ("FILM", {"film"}),  # one or two words in capitals may be an abbreviation
        ("kyoto", {"kyoto"}),
        ("?", set()),
    ],
)
def test_names_in_questions(question, expected):
    assert link(question) == expected


WORKS = [
    Passage("w1", "“Where” is a song. Leopold Vaughan wrote Where.", "Where"),
    Passage("w2", "“Who” is a song. Griselda Carmody wrote it.", "Who"),
    Passage("w3", "Do is a film. Percival Ashdown directed Do.", "Do"),
    Passage("w4", "Film is a short film of 1965.", "Film"),
    Passage("w5", "Who Killed the Miller is a play.", "Who Killed the Miller"),
    Passage("w6", "The Stonebeck Bridge opened in 1900.", "Stonebeck Bridge"),
    Passage("w7", "Alien is a film.", "Alien"),
    Passage("w8", "Don is a river.", "Don"),
]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where did the person who designed the Stonebeck Bridge grow up?", {"stonebeck bridge"}),
        ("Who designed the Stonebeck Bridge?", {"stonebeck bridge"}),
        ("who designed the stonebeck bridge?", {"stonebeck bridge"}),
        ("Do people know the Stonebeck Bridge?", {"stonebeck bridge"}),
        ("Film about the Stonebeck Bridge: who made it?", {"stonebeck bridge"}),
        ("Who wrote the song Where?", {"where"}),
        ("Who directed the film Do?", {"do"}),
        ("Who wrote the song “Who”?", {"who"}),
        ("“Who” was written by whom?", {"who"}),
        ('"Where" was sung by whom?', {"where"}),
        ("Who directed the film Film?", {"film"}),
        ("Who wrote Who Killed the Miller?", {"who killed the miller"}),
        ("Alien was filmed near the Stonebeck Bridge?", {"alien", "stonebeck bridge"}),
        ("Film of whom?", {"film"}),  # nothing else is named
        ("Don flows under the Stonebeck Bridge?", {"don", "stonebeck bridge"}),
        ("Where?", set()),
    ],
)
def test_words_that_questions_are_made_of_are_no_names(question, expected):
    assert link(question, WORKS, [(p.title,) for p in WORKS]) == expected


def test_what_a_question_names_does_not_depend_on_the_next_one():
    graph = assemble_graph(WORKS, [Extraction((p.title,)) for p in WORKS])
    asked = ["Alien", "of whom is the Stonebeck Bridge?", "Film", "about the Stonebeck Bridge"]
    together = link_questions(graph.dictionary, TokenHasher(), asked)
    for question, linked in zip(asked, together, strict=True):
        (alone,) = link_questions(graph.dictionary, TokenHasher(), [question])
        assert alone.entities.tolist() == linked.entities.tolist() and alone.rest == linked.rest


def test_a_script_without_capitals_is_read_as_ever():
    assert link("他在东京出生吗？", [Passage("a", "他在东京出生。")], [("东京",)]) == {"东 京"}


def test_a_corpus_in_small_letters_links_what_its_extractor_found():
    passages = [Passage("a", "i met ada byron"), Passage("b", "ada byron left")]
    assert link("where is ada byron?", passages, [("ada byron",)] * 2) == {"ada byron"}


@pytest.mark.parametrize(
    ("question", "rest"),
    [
        ("Which film did Ada Byron make in Kyoto?", "which film did make in"),
        ("ADA BYRON MADE WHAT?", "made what"),
        ("Ada Byron", ""),
        ("what's new?", "what s new"),
    ],
)
def test_the_rest_of_a_question_belongs_to_no_name(question, rest):
    graph = assemble_graph(PASSAGES, [Extraction(found) for found in NAMES])
    (linked,) = link_questions(graph.dictionary, TokenHasher(), [question])
    assert linked.rest == rest


ROWLING = ("J. K. Rowling", "J.K. Rowling", "J K Rowling", "J.K.Rowling", "JK Rowling")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Beyoncé", "Where was Beyonce born?"),
        ("Beyonce", "Where was Beyoncé born?"),
        ("Beyoncé", "where was beyonce born?"),
        *(
            (written, f"What did {asked} write?")
            for written in ROWLING
            for asked in (*ROWLING, ROWLING[0].lower())
        ),
        ("George H. W. Bush", "Who led under George H W Bush?"),
        ("U.S. Army", "Who led the U S Army then?"),
        ("J.K. Rowling", "what did j. k. rowling write?"),
        ("The Beatles", "Who heard the Beatles' songs?"),
        ("U.S.", "Who led the US then?"),
        ("Washington, D.C.", "Who led Washington DC then?"),
    ],
)
def test_other_spellings_of_a_name(written, asked):
    passages = [Passage("a", f"She sang of {written} once.")]
    assert len(link(asked, passages, [(written,)])) == 1


@pytest.mark.parametrize("written", ["Vitamin K", "Plan A", "Malcolm X", "A. I.", "Serie A"])
def test_single_letters_that_are_no_initials(written):
    passages = [Passage("a", f"She spoke of {written} once.")]
    for asked in (f"Did {written} help?", f"Was it {written}? I think so.", f"{written} I know"):
        assert len(link(asked, passages, [(written,)])) == 1
