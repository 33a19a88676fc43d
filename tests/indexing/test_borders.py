"""What models answer is checked before it is stored: a refused batch leaves the index as it was."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import TINY, TINY_NAMES, ScriptedExtractor

from graphmem.embedding.checked import checked_vectors
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import ModelError
from graphmem.extraction.checked import checked_extractions
from graphmem.memory import GraphMemory
from graphmem.storage.store import Store
from graphmem.types import Extraction, Passage, Triple

LONG = "Ridley Scott " + "x" * 1000


class Answering(HashingEmbedder):
    """Hashing, but for what `change` makes of the vectors."""

    def __init__(self, change):
        super().__init__(8)
        self.change = change

    def embed(self, texts, kind="passage"):
        return self.change(super().embed(texts, kind), texts)


def with_value(value):
    def change(vectors, texts):
        vectors[[i for i, text in enumerate(texts) if "bread" in text]] = value
        return vectors

    return change


REFUSED = {
    "nan": (with_value(np.nan), "not finite, for the text 'Bread"),
    "infinite": (with_value(np.inf), "not finite, for the text 'Bread"),
    "too large": (lambda v, _: v.astype(np.float64) * 1e300, "not finite"),
    "zeros": (with_value(0), "a vector of zeros.*for the text 'Bread"),
    "too few": (lambda v, _: v[:-1], r"shape \(7, 8\) for 8 texts"),
    "too many": (lambda v, _: np.concatenate([v, v[:1]]), r"shape \(9, 8\) for 8 texts"),
    "flat": (lambda v, _: v.ravel(), r"shape \(64,\) for 8 texts"),
    "no width": (lambda v, _: v[:, :0], r"shape \(8, 0\)"),
    "strings": (lambda v, _: v.astype(str), "an array of <U"),
    "objects": (lambda v, _: v.astype(object), "an array of object"),
    "ragged": (lambda v, _: [row[: i + 1] for i, row in enumerate(v)], "no array of vectors"),
    "nothing": (lambda v, _: None, r"shape \(\) for 8 texts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_vectors_that_cannot_be_searched_are_refused_before_anything_is_written(tmp_path, name):
    change, message = REFUSED[name]
    embedder, extractor = Answering(change), ScriptedExtractor(TINY_NAMES)
    passages = [replace(p, text=p.text.replace("bread", "bread, bread")) for p in TINY]
    passages[5] = Passage("p6", f"Bread: {passages[5].text}")
    with pytest.raises(ModelError, match=f"embedder hashing:8: gave .*{message}"):
        GraphMemory.open(tmp_path / "i", embedder=embedder, extractor=extractor).add(passages)
    with Store.read(tmp_path / "i" / "store.sqlite") as store:
        assert store.width("hashing:8") is None
    good = GraphMemory.open(tmp_path / "i", embedder=HashingEmbedder(8), extractor=extractor)
    assert good.add(passages).computed == 8
    assert good.search("Who made bread?", 8).hits


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_for_questions(tiny_index, name):
    change = REFUSED[name][0]
    embedder = Answering(change)
    embedder.dimensions = 256
    with pytest.raises(ModelError, match="embedder hashing:256: gave"):
        GraphMemory.open(tiny_index, embedder=embedder).search("bread", preset="dense")


def test_vectors_of_another_width_are_refused(tmp_path, tiny_index):
    def narrow(vectors, texts):
        return vectors[:, :4]

    extractor = ScriptedExtractor(TINY_NAMES)
    memory = GraphMemory.open(tmp_path / "i", embedder=HashingEmbedder(8), extractor=extractor)
    memory.add(TINY[:3])
    other = GraphMemory.open(tmp_path / "i", embedder=Answering(narrow), extractor=extractor)
    with pytest.raises(ModelError, match="a vector of 4 numbers, the others of this index have 8"):
        other.add(TINY)
    with pytest.raises(ModelError, match="a vector of 4 numbers.*for the text 'Where"):
        other.search("Where?")
    assert memory.add(TINY).computed == 5


def test_only_the_direction_of_a_vector_counts(tmp_path):
    texts = ["Ada met Bo", "rye bread", "Bo"]
    units = HashingEmbedder(8).embed(texts)
    assert checked_vectors(HashingEmbedder(8), texts).tobytes() == units.tobytes()
    long = checked_vectors(Answering(lambda v, _: v * np.array([[3], [1e-9], [1]])), texts)
    assert long == pytest.approx(units, abs=1e-6) and long.dtype == np.float32
    halves = checked_vectors(Answering(lambda v, _: v.astype(np.float16)), texts)
    assert halves.dtype == np.float32 and halves == pytest.approx(units, abs=1e-3)
    whole = checked_vectors(Answering(lambda v, _: np.sign(v).astype(np.int8).tolist()), texts)
    assert np.vecdot(whole, whole) == pytest.approx(np.ones(3), abs=1e-6)


def test_what_an_embedder_keeps_is_not_changed():
    kept = np.full((1, 4), 2, dtype=np.float32)
    assert checked_vectors(Answering(lambda v, _: kept), ["a"]).tolist() == [[0.5] * 4]
    assert kept.tolist() == [[2] * 4]


def test_a_long_text_is_shortened_in_the_message():
    with pytest.raises(ModelError) as caught:
        checked_vectors(Answering(lambda v, _: v * np.nan), [LONG])
    assert "Ridley Scott xxx" in str(caught.value) and len(str(caught.value)) < 200


class Extracting(ScriptedExtractor):
    def __init__(self, change):
        super().__init__(TINY_NAMES)
        self.change = change

    def extract(self, passages):
        return self.change(super().extract(passages))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[:-1], "7 extractions for 8 passages"),
        (lambda found: [*found, found[0]], "9 extractions for 8 passages"),
        (lambda found: None, "NoneType"),
        (lambda found: [None, *found[1:]], "NoneType, no Extraction"),
        (lambda found: [Extraction(("a", 3)), *found[1:]], "3 where a string is expected"),
        (lambda found: [Extraction("Ada"), *found[1:]], "entities that are no list"),
        (lambda found: [Extraction((), (("a", "b", "c"),)), *found[1:]], "among the triples"),
        (lambda found: [Extraction((), (Triple("a", None, "c"),)), *found[1:]], "None where"),
        (lambda found: [Extraction(("\ud800",)), *found[1:]], "lone surrogate"),
    ],
)
def test_extractions_that_cannot_be_stored_are_refused(tmp_path, change, message):
    embedder = HashingEmbedder(8)
    memory = GraphMemory.open(tmp_path / "i", embedder=embedder, extractor=Extracting(change))
    with pytest.raises(ModelError, match=f"extractor scripted:1: gave.*{message}"):
        memory.add(TINY)
    good = ScriptedExtractor(TINY_NAMES)
    assert GraphMemory.open(tmp_path / "i", embedder=embedder, extractor=good).add(TINY).computed
    assert len(good.calls) == 8


def test_what_is_right_passes():
    found = checked_extractions(ScriptedExtractor(TINY_NAMES), TINY)
    assert found == ScriptedExtractor(TINY_NAMES).extract(TINY)
