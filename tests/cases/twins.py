"""Pairs of passages that a name joins, in a corpus of many such pairs, and how many are found.

The first of a pair says who designed a bridge, the second where that person grew up. A question
asks for the second by the bridge; nothing but the name leads there. Each spelling of the name has
a twin with the plain one.
"""

from functools import cache

from graphmem.config import RetrievalConfig
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.extraction.spacy import SpacyExtractor
from graphmem.indexing.indexer import index_passages
from graphmem.searching.retriever import Retriever
from graphmem.storage.current import open_current
from graphmem.types import Passage

PEOPLE = [
    ("Matilda Thornbury", "Kestrel", "Aldwick"),
    ("Rupert Hollingworth", "Foxglove", "Burnsall"),
    ("Cordelia Ashdown", "Brackwater", "Cawthorne"),
    ("Leopold Wetherby", "Nettlefield", "Dunmore"),
    ("Harriet Pemberton", "Stonehaugh", "Eversley"),
    ("Augustin Farrington", "Willowmere", "Fenwick"),
    ("Beatrix Longstaff", "Copperhill", "Garsdale"),
    ("Theodore Braithwaite", "Swanmoor", "Haverthwaite"),
    ("Eleanor Cavendish", "Ironbeck", "Ilkeston"),
    ("Gilbert Ormerod", "Thistledown", "Kirkdale"),
    ("Winifred Satterlee", "Ravelstone", "Langthwaite"),
    ("Bartholomew Quayle", "Hazelgrove", "Muncaster"),
]
FIRST = "The {bridge} Bridge was designed by {name}. It opened after three years of work."
SECOND = "{name} grew up in {town} and went to school there."
QUESTION = "In which town did the person who designed the {bridge} Bridge grow up?"


@cache
def extractor():
    """The default one, loaded once."""
    return SpacyExtractor()


def index(folder, passages):
    """A retriever over an index of the passages, in a new folder."""
    index_passages(folder / "i", passages, extractor(), HashingEmbedder(), {}, workers=1)
    return Retriever(open_current(folder / "i"), HashingEmbedder())


def found(folder, in_first=str, in_second=str, *, first=FIRST, second=SECOND, whole=str, k=5):
    """How many of the twelve second passages come among the first k.

    Args:
        folder: An empty folder.
        in_first: Writes the name in the first passages.
        in_second: Writes it in the second ones.
        first: Form of the first passages.
        second: Form of the second ones.
        whole: Writes a whole passage.
        k: How many hits are looked at.
    """
    passages = []
    for i, (name, bridge, town) in enumerate(PEOPLE):
        passages += [
            Passage(f"a{i}", whole(first.format(bridge=bridge, name=in_first(name)))),
            Passage(f"b{i}", whole(second.format(town=town, name=in_second(name)))),
        ]
    questions = [QUESTION.format(bridge=bridge) for _, bridge, _ in PEOPLE]
    rankings = index(folder, passages).search(questions, k, RetrievalConfig())
    return sum(
        f"b{i}" in {hit.passage.id for hit in ranking.hits} for i, ranking in enumerate(rankings)
    )
