"""Sentences kept in the index: the same ranking as without, embedded once, whatever happens."""

import json
import random
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from worlds import QUESTIONS, SAMPLE, Neighbours, ScriptedExtractor, live_snapshot, snapshot_bytes

from graphmem import GraphMemory, Passage
from graphmem.cli.commands import main
from graphmem.config import PRESETS
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.errors import StorageError
from graphmem.graph.entity_dictionary import TokenHasher
from graphmem.storage.current import open_current
from graphmem.storage.sentence_columns import cut_sentences, find_entities, join_entities

PASSAGES = [
    Passage("a", "Ada Lovelace wrote Notes. It rained.", "Ada Lovelace"),
    Passage("b", "The Notes describe the Engine. It rained. They praise Charles Babbage."),
    Passage("c", "Charles Babbage drew the Engine; it was never built. It rained."),
    Passage("d", "bread is made of rye"),
]
SENTENCES = [
    *("Ada Lovelace\nAda Lovelace wrote Notes.", "It rained.", "The Notes describe the Engine."),
    *("They praise Charles Babbage.", "Charles Babbage drew the Engine; it was never built."),
    "bread is made of rye",
]
NAMES = ("Ada Lovelace", "Notes", "Engine", "Charles Babbage")
QUESTION = "Who drew what the Notes of Ada Lovelace describe?"


class CountingEmbedder(HashingEmbedder):
    """Remembers what it was asked for; fails where that would be more than `most` texts."""

    def __init__(self, most=10_000):
        super().__init__()
        self.texts = []
        self.most = most

    def embed(self, texts, kind="passage"):
        if len(self.texts) + len(texts) > self.most:
            raise RuntimeError("killed")
        self.texts += texts
        return super().embed(texts, kind)


def memory_at(path, embedder=None, *, sentences=True, extractor=None):
    extractor = extractor or ScriptedExtractor(NAMES)
    embedder = embedder or HashingEmbedder()
    return GraphMemory.open(path, embedder=embedder, extractor=extractor, sentences=sentences)


@pytest.fixture(scope="module")
def with_and_without(tmp_path_factory):
    """The sample corpus with the real model; without sentences it has them in its searches only."""
    folder = tmp_path_factory.mktemp("sentences")
    made = []
    for name in ("with", "without"):
        path, kept = folder / name, name == "with"
        models = {"embedder": OnnxEmbedder.default(), "extractor": Neighbours()}
        memory = memory_at(path, **models, sentences=kept)
        memory.add(SAMPLE / "corpus.jsonl", workers=2 if kept else 1)
        made.append(memory)
    return made


@pytest.mark.parametrize("preset", PRESETS)
def test_rankings_and_scores_are_the_same_with_and_without(with_and_without, preset):
    kept, embedded = (memory.search(QUESTIONS, 120, preset) for memory in with_and_without)
    assert kept == embedded
    if preset == "linearrag":
        assert {ranking.route for ranking in kept} == {"graph", "dense"}


def test_vectors_and_entities_are_those_of_a_search(with_and_without):
    memory = with_and_without[0]
    snapshot = memory.retriever.snapshot
    embedder = OnnxEmbedder.default()
    for row in (0, 7, snapshot.passages - 1):
        cut = cut_sentences(snapshot.passage(row))
        found = snapshot.sentences.of(row)
        assert np.array_equal(found.vectors, embedder.embed(cut, "passage"))
        labels = [[snapshot.labels[e] for e in found.entities_of(i)] for i in range(len(cut))]
        assert any(labels)
        for sentence, names in zip(cut, labels, strict=True):
            assert all(name.split()[-1].casefold() in sentence.casefold() for name in names)
        for entity in {e for i in range(len(cut)) for e in found.entities_of(i)}:
            holding = [i for i in range(len(cut)) if entity in found.entities_of(i)]
            assert found.holding(entity) == holding


def test_a_search_embeds_the_question_alone(tmp_path):
    memory_at(tmp_path / "i").add(PASSAGES)
    embedder = CountingEmbedder()
    memory = memory_at(tmp_path / "i", embedder)
    assert memory.search(QUESTION, 4, "linearrag").route == "graph"
    assert embedder.texts == [QUESTION]


def test_every_sentence_is_embedded_once(tmp_path):
    embedder = CountingEmbedder()
    memory = memory_at(tmp_path / "i", embedder)
    memory.add(PASSAGES[:3])
    memory.add(PASSAGES)
    memory.add(PASSAGES)
    passages = [f"{p.title}\n{p.text}" if p.title else p.text for p in PASSAGES]
    assert sorted(embedder.texts) == sorted([*passages, *SENTENCES])
    sentences = open_current(tmp_path / "i").sentences
    assert len(sentences.vectors) == len(SENTENCES) + 2  # it rained three times
    assert memory.stats()["sentences_kept"] == len(SENTENCES) + 2


def test_any_order_and_any_steps_give_the_same_bytes(tmp_path):
    memory_at(tmp_path / "once").add(PASSAGES)
    shuffled = PASSAGES[:]
    random.Random(3).shuffle(shuffled)
    for passage in shuffled:
        memory_at(tmp_path / "steps").add([passage])
    once = snapshot_bytes(tmp_path / "once")
    assert {"sentences/vectors.npy", "sentences/entities.npy"} <= set(once)
    assert snapshot_bytes(tmp_path / "steps") == once


def test_an_index_goes_on_keeping_them_and_can_begin_later(tmp_path):
    memory_at(tmp_path / "fresh").add(PASSAGES)
    embedder = CountingEmbedder()
    memory_at(tmp_path / "later", sentences=False).add(PASSAGES[:2])
    assert open_current(tmp_path / "later").sentences is None
    assert memory_at(tmp_path / "later", embedder).add([]).changed
    assert sorted(embedder.texts) == sorted(SENTENCES[:4])
    memory_at(tmp_path / "later", sentences=False).add(PASSAGES)
    assert snapshot_bytes(tmp_path / "later") == snapshot_bytes(tmp_path / "fresh")
    shutil.rmtree(live_snapshot(tmp_path / "later"))  # the store remembers it too
    memory_at(tmp_path / "later", sentences=False).add(PASSAGES)
    assert open_current(tmp_path / "later").sentences is not None


def test_what_was_embedded_is_kept_when_a_run_breaks_off(tmp_path):
    passages = [Passage(str(i), f"Isle {i} is near. Its ferry {i} left.") for i in range(300)]
    broken = CountingEmbedder(300 + 512)
    told = []
    with pytest.raises(RuntimeError):
        memory_at(tmp_path / "i", broken).add(
            passages, workers=1, progress=lambda *what: told.append(what)
        )
    assert ("sentences", 512, 600) in told
    again = CountingEmbedder()
    memory_at(tmp_path / "i", again, sentences=False).add(passages, workers=1)
    assert len(again.texts) == 600 - 512
    assert not set(again.texts) & set(broken.texts)
    memory_at(tmp_path / "fresh").add(passages)
    assert snapshot_bytes(tmp_path / "i") == snapshot_bytes(tmp_path / "fresh")


def test_sentences_cut_by_another_rule_are_not_read(tmp_path):
    memory = memory_at(tmp_path / "i")
    memory.add(PASSAGES)
    expected = memory.search(QUESTION, 4, "linearrag")
    file = live_snapshot(tmp_path / "i") / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**manifest, "sentences": "sentences:0"}), "utf-8")
    assert open_current(tmp_path / "i").sentences is None
    embedder = CountingEmbedder()
    assert memory_at(tmp_path / "i", embedder).search(QUESTION, 4, "linearrag") == expected
    assert len(embedder.texts) > 1


@pytest.mark.parametrize("name", ["sentences", "starts", "entities"])
def test_columns_that_do_not_fit_together_are_damage(tmp_path, name):
    memory_at(tmp_path / "i").add(PASSAGES)
    file = live_snapshot(tmp_path / "i") / "sentences" / f"{name}.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(StorageError, match="sentences.*run graphmem index"):
        memory_at(tmp_path / "i").search(QUESTION, 4, "linearrag")
    assert memory_at(tmp_path / "i").search(QUESTION, 4).route == "graph"
    file.unlink()
    with pytest.raises(StorageError, match=rf"{name}\.npy.*run graphmem index"):
        open_current(tmp_path / "i")
    assert memory_at(tmp_path / "i").add(PASSAGES).changed
    assert file.parents[1].name != live_snapshot(tmp_path / "i").name
    assert open_current(tmp_path / "i").sentences is not None


def test_passages_without_any_name(tmp_path):
    memory = memory_at(tmp_path / "i")
    memory.add([Passage("a", "bread is made of rye"), Passage("b", "!")])
    sentences = open_current(tmp_path / "i").sentences
    assert sentences.named.entities.size == 0 and len(sentences.vectors) == 2
    assert memory.search("What is bread?", 2, "linearrag").route == "dense"


def test_blocks_of_passages_find_what_all_at_once_find(tmp_path):
    memory_at(tmp_path / "i").add(PASSAGES)
    snapshot = open_current(tmp_path / "i")
    cuts = [cut_sentences(snapshot.passage(row)) for row in range(4)]
    mentioned = [
        np.flatnonzero(snapshot.adjacency[[snapshot.entities + row]].toarray()[0])
        for row in range(4)
    ]
    parts = [
        find_entities(snapshot.dictionary, TokenHasher(), cuts[b], mentioned[b])
        for b in (slice(0, 1), slice(1, 4))
    ]
    whole = find_entities(snapshot.dictionary, TokenHasher(), cuts, mentioned)
    for found in (join_entities(parts), whole):
        for column in ("sentences", "entities", "starts"):
            kept = getattr(snapshot.sentences.named, column)
            assert np.array_equal(getattr(found, column), kept)


def test_on_the_command_line(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"id": p.id, "text": p.text}) + "\n" for p in PASSAGES))
    index = str(tmp_path / "i")
    run = CliRunner().invoke
    made = run(main, ["index", str(corpus), "--index", index, "--embedder", "hashing"])
    assert made.exit_code == 0, made.output
    stats = json.loads(run(main, ["stats", index, "--json"]).stdout)
    assert stats["sentences_kept"] == 0
    kept = run(main, ["add", str(corpus), "--index", index, "--sentences"])
    assert kept.exit_code == 0, kept.output
    assert "nothing new" not in kept.output
    stats = json.loads(run(main, ["stats", index, "--json"]).stdout)
    assert stats["sentences_kept"] == 8
    found = run(main, ["search", index, QUESTION, "--preset", "linearrag", "--json"])
    assert json.loads(found.stdout)["route"] == "graph"
    graph = tmp_path / "g.graphml"
    assert run(main, ["export", index, "--graphml", str(graph)]).exit_code == 0
