"""Searching the tiny world."""

import random
from dataclasses import replace

import numpy as np
import pytest
from worlds import HOPS, TINY, island_world

from graphmem.config import PRESETS, RetrievalConfig
from graphmem.errors import ConfigError, IndexMismatchError, IndexNotFoundError
from graphmem.graph.pagerank import personalized_pagerank
from graphmem.memory import GraphMemory
from graphmem.types import Passage

NAMES = ["default", "dense", "bm25"]  # the presets that need no facts
DEFAULT = PRESETS["default"]


def ids(ranking):
    return [hit.passage.id for hit in ranking.hits]


def search(retriever, question, k=8, config=DEFAULT):
    return retriever.search([question], k, config)[0]


def test_hops(tiny):
    """The question names alien only; p3 and p5 share no name and no rare word with it."""
    ranking = search(tiny, HOPS)
    assert ranking.route == "graph" and ranking.entities == ("Alien",)
    assert ids(ranking)[0] == "p1"
    place = {name: rank for rank, name in enumerate(ids(ranking))}
    assert place["p1"] < place["p2"] < place["p3"] < place["p7"]
    words = search(tiny, HOPS, config=PRESETS["bm25"])
    assert words.route == "lexical"
    assert not {"p2", "p3"} & set(ids(words))


def test_the_score_is_the_mass_of_the_walk(tiny, tiny_snapshot):
    (trace,) = tiny.trace([HOPS], replace(DEFAULT, tolerance=1e-6, candidates=0))
    restart = trace.walk.seeds.restart_vector(9, 8)
    preference = np.concatenate([np.ones(9, dtype=np.float32), trace.walk.preference])
    mass = personalized_pagerank(
        *(tiny_snapshot.adjacency, restart, preference), damping=DEFAULT.damping, tolerance=1e-6
    )
    assert trace.scores == pytest.approx(mass[9:], abs=1e-5)
    assert restart.sum() == pytest.approx(1, abs=1e-5)


def test_of_a_question_twenty_thousand_characters_are_read(tiny):
    before, after = ("word " * count + HOPS for count in (3_900, 4_000))
    found = [search(tiny, question).entities for question in (before, after)]
    assert found == [("Alien",), ()]


def test_what_is_asked_about_a_name_pulls_the_walk(tmp_path, make):
    memory = make(tmp_path / "words", ("Oda",))
    memory.add(
        [
            Passage("born", "Oda saw the light of the world in a mill."),
            Passage("rest", "Oda painted many pictures, some of which are lost."),
        ]
    )
    config = RetrievalConfig(preference=0, dense_power=0, lexical_share=0, candidates=0)
    plain = memory.search("Which mill of Oda is it?", 2, replace(config, word_preference=0))
    pulled = memory.search("Which mill of Oda is it?", 2, config)
    assert plain.hits[0].score == pytest.approx(plain.hits[1].score)
    assert [hit.passage.id for hit in pulled.hits] == ["born", "rest"]
    assert pulled.hits[0].score > plain.hits[0].score > pulled.hits[1].score
    # A question that asks for nothing beside the name preferences nowhere.
    alone = memory.search("Oda", 2, config)
    assert alone.hits[0].score == pytest.approx(alone.hits[1].score)


def test_hits_carry_the_whole_passage_and_falling_scores(tiny):
    ranking = search(tiny, HOPS)
    by_id = {p.id: p for p in TINY}
    assert [hit.rank for hit in ranking.hits] == list(range(1, 9))
    assert all(hit.passage == by_id[hit.passage.id] for hit in ranking.hits)
    assert next(h for h in ranking.hits if h.passage.id == "p1").passage.metadata == {"year": 1979}
    scores = [hit.score for hit in ranking.hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("question", ["who bakes bread from rye?", "wo ist der fluss?", "😀", "\0"])
def test_without_a_known_entity_the_route_is_dense(tiny, question):
    ranking = search(tiny, question)
    assert ranking.route == "dense" and ranking.entities == ()
    plain = search(tiny, question, config=RetrievalConfig(nameless_words=0))
    assert plain == search(tiny, question, config=PRESETS["dense"])


def test_without_a_known_entity_words_count_beside_vectors(tiny):
    question = "of the rye"
    gain = {hit.passage.id: hit.score for hit in search(tiny, question).hits}
    for hit in search(tiny, question, config=PRESETS["dense"]).hits:
        gain[hit.passage.id] -= hit.score
    # Only the best by BM25 holds the word "rye": it gets all of the words' part, 0.3.
    (best,) = search(tiny, question, k=1, config=PRESETS["bm25"]).hits
    assert "rye" in best.passage.text
    assert gain[best.passage.id] == pytest.approx(0.3, abs=1e-6)
    assert max(gain, key=gain.get) == best.passage.id
    assert min(gain.values()) >= -1e-6


def test_few_shared_words_of_many_count_little(tiny):
    """As where the question is in other words, or in another language."""

    def gained(question):
        with_words, without = (
            search(tiny, question, config=RetrievalConfig(nameless_words=weight))
            for weight in (0.3, 0)
        )
        before = {hit.passage.id: hit.score for hit in without.hits}
        return max(hit.score - before[hit.passage.id] for hit in with_words.hits)

    assert gained("rye") == pytest.approx(0.3, abs=1e-6)
    words = "rye hinter der dritten muehle am rand des waldes stand gestern etwas verlassen"
    assert 0.03 < gained(words) < 0.15


def test_the_dense_route_is_cosine(tiny, tiny_snapshot):
    ranking = search(tiny, "bread from rye", config=PRESETS["dense"])
    assert ids(ranking)[0] == "p6"
    vector = tiny.embedder.embed(["bread from rye"])[0]
    assert ranking.hits[0].score == pytest.approx(
        float((tiny_snapshot.vectors.blocks[0] @ vector).max())
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 3, 8, 9, 10_000])
def test_k_from_one_to_all(tiny, name, k):
    whole = search(tiny, HOPS, 8, PRESETS[name])
    found = search(tiny, HOPS, k, PRESETS[name])
    assert len(whole.hits) == {"rrf": 6, "bm25": 2}.get(name, 8)  # those alike in anything
    assert found.hits == whole.hits[:k]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(tiny, k):
    with pytest.raises(ConfigError, match=f"k must be 1 or more, not {k}"):
        search(tiny, HOPS, k)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("question", ["", "  ", "\n\t"])
def test_a_blank_question(tiny, question, name):
    with pytest.raises(ConfigError, match="question is empty"):
        tiny.search(["fine?", question], 5, PRESETS[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_the_same_as_one_by_one(tiny, name):
    questions = [HOPS, "bread?", "Who made Gladiator?", HOPS, "Ridley Scott?", "1984"]
    batch = tiny.search(questions, 8, PRESETS[name])
    assert batch == [search(tiny, question, config=PRESETS[name]) for question in questions]
    assert tiny.search([], 8, PRESETS[name]) == []


def test_questions_name_what_the_index_knows(tiny):
    assert search(tiny, "ALIEN and the town of South Shields’").entities == (
        "South Shields",
        "Alien",
    )
    assert search(tiny, "Gladiator").entities == ("Gladiator",)
    assert search(tiny, "gladiator").entities == ("Gladiator",)
    assert search(tiny, "Was the gladiator in Alien?").entities == ("Alien",)  # a word, not a name
    assert search(tiny, "Where is Ridley Scott Glenn?").entities == ("Ridley Scott",)


@pytest.mark.parametrize(
    ("name", "text", "question"),
    [
        ("القاهرة", "ولد نجيب محفوظ في القاهرة عام 1911.", "من ولد في القاهرة؟"),
        ("दिल्ली", "उनका जन्म दिल्ली में हुआ।", "किसका जन्म दिल्ली में हुआ?"),
        ("東京", "彼は東京で生まれた。", "誰が東京で生まれましたか"),
        ("Москва", "Он родился в городе Москва.", "Кто родился в МОСКВА?"),
    ],
)
def test_questions_in_other_scripts(tmp_path, make, name, text, question):
    from graphmem.types import Passage

    memory = make(tmp_path / "i", [name])
    memory.add([*TINY, Passage("there", text)])
    ranking = memory.search(question, 3)
    assert ranking.route == "graph" and ranking.entities == (name,)
    assert ids(ranking)[0] == "there"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_ties_fall_the_same_way_in_any_order_of_input(tmp_path, make, seed, name):
    passages, names = island_world(30)
    copies = [
        replace(p, id=f"{p.id}-{i}", text=p.text + " ." * i) for p in passages for i in range(4)
    ]
    rankings = []
    for number, order in enumerate((copies, random.Random(seed).sample(copies, len(copies)))):
        memory = make(tmp_path / str(number), names)
        memory.add(order)
        rankings.append(memory.search(["Which isle is near Isle Ac?", "ferry?"], 120, name))
    assert rankings[0] == rankings[1]
    scores = [hit.score for hit in rankings[0][0].hits]
    assert len(set(scores)) < len(scores)  # there were ties


def test_ties_are_not_broken_by_id(tmp_path, make):
    from graphmem.types import Passage

    memory = make(tmp_path / "i")
    memory.add(Passage(f"{i:03}", "the same text" + " ." * i) for i in range(50))
    found = ids(memory.search("text", 50))
    assert sorted(found) != found and sorted(found, reverse=True) != found


def test_unknown_presets_are_refused(tmp_path, make):
    memory = make(tmp_path / "i")
    memory.add(TINY)
    with pytest.raises(ConfigError, match="no preset 'fast': choose from default"):
        memory.search("x", preset="fast")
    assert memory.search("bread", 1, RetrievalConfig(route="dense")).hits[0].passage.id == "p6"


def test_an_index_must_be_there_and_of_this_embedder(tmp_path, make):
    with pytest.raises(IndexNotFoundError):
        make(tmp_path / "nowhere").search("x")
    make(tmp_path / "i").add(TINY)
    from graphmem.embedding.hashing import HashingEmbedder

    other = GraphMemory.open(tmp_path / "i", embedder=HashingEmbedder(64))
    with pytest.raises(IndexMismatchError, match=r"embedder hashing:256, not hashing:64: use"):
        other.search("x")


def test_every_passage_is_alike_where_all_vectors_are(tmp_path, make):
    """One passage: no range to scale scores by."""
    memory = make(tmp_path / "i")
    memory.add(TINY[:1])
    ranking = memory.search(HOPS, 5)
    assert ids(ranking) == ["p1"] and ranking.route == "graph"
    assert 0 < ranking.hits[0].score <= 1
