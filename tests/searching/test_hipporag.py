import numpy as np
import pytest

from graphmem import Extraction, GraphMemory, Passage, Triple
from graphmem.config import (
    PRESETS,
    FusionConfig,
    HippoRag2Config,
    HippoRagConfig,
    LinearRagConfig,
    RetrievalConfig,
)
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import ConfigError
from graphmem.searching.linearrag import LinearSearcher
from graphmem.searching.retriever import Retriever
from graphmem.searching.scores import reciprocal_rank_fusion
from graphmem.storage.current import open_current

# The passages of a chain: film, director, birthplace, county; and a loaf of bread.
PASSAGES = [
    Passage("film", "Alien was directed by Ridley Scott. It has a cat.", "Alien"),
    Passage("man", "Ridley Scott was born in South Shields. He drew storyboards.", "Ridley Scott"),
    Passage("town", "South Shields lies in Tyne and Wear.", "South Shields"),
    Passage("county", "Tyne and Wear was made in 1974.", "Tyne and Wear"),
    Passage("bread", "bread is made of rye and water"),
]
TRIPLES = {
    "film": [("Alien", "directed by", "Ridley Scott"), ("Alien", "has", "a cat")],
    "man": [("Ridley Scott", "born in", "South Shields")],
    "town": [("South Shields", "lies in", "Tyne and Wear")],
    "county": [("Tyne and Wear", "was made in", "1974")],
}
QUESTION = "Where was the person who directed Alien born?"


class Extractor:
    fingerprint = "chain:1"

    def extract(self, passages):
        return [
            Extraction(
                tuple(sorted({t[0] for t in TRIPLES.get(p.id, ())})),
                tuple(Triple(*t) for t in TRIPLES.get(p.id, ())),
            )
            for p in passages
        ]


class Choosing:
    """A fact filter that keeps the facts with one of some predicates."""

    def __init__(self, *predicates):
        self.predicates = predicates
        self.asked = []

    def keep(self, questions, facts):
        self.asked.append((list(questions), [list(f) for f in facts]))
        return [[i for i, f in enumerate(fs) if f.predicate in self.predicates] for fs in facts]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("facts") / "chain.index"
    GraphMemory.open(path, embedder=HashingEmbedder(), extractor=Extractor()).add(PASSAGES)
    return path


@pytest.fixture(scope="module")
def memory(path):
    return GraphMemory.open(path, embedder=HashingEmbedder(), extractor=Extractor())


def ids(ranking):
    return [hit.passage.id for hit in ranking.hits]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_ranks_all_passages_and_again_the_same(memory, preset):
    ranking = memory.search(QUESTION, k=5, preset=preset)
    alike = {"bm25": {"film", "man"}, "rrf": {"film", "man", "county"}}  # share a word or more
    assert set(ids(ranking)) == alike.get(preset, {p.id for p in PASSAGES})
    assert memory.search([QUESTION, QUESTION], k=5, preset=preset) == [ranking, ranking]
    scores = [hit.score for hit in ranking.hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("preset", ["default", HippoRag2Config(facts=1), "hipporag", "linearrag"])
def test_graph_presets_bring_the_second_hop(memory, preset):
    ranking = memory.search(QUESTION, k=2, preset=preset)
    assert ranking.route == "graph"
    assert set(ids(ranking)) == {"film", "man"}


def test_routes_of_the_others(memory):
    routes = {name: memory.search(QUESTION, preset=name).route for name in ("rrf", "dense", "bm25")}
    assert routes == {"rrf": "fusion", "dense": "dense", "bm25": "lexical"}


def test_hipporag2_names_its_facts(memory):
    ranking = memory.search(QUESTION, preset="hipporag2")
    assert len(ranking.facts) == 5
    assert Triple("alien", "directed by", "ridley scott") in ranking.facts
    one = memory.search(QUESTION, preset=HippoRag2Config(facts=1))
    assert one.facts == ranking.facts[:1]


def test_a_filter_is_asked_once_for_all_questions(path):
    chosen = Choosing("directed by")
    retriever = Retriever(open_current(path), HashingEmbedder(), chosen)
    rankings = retriever.search([QUESTION, "Who is Ridley Scott?"], 2, HippoRag2Config())
    ((questions, facts),) = chosen.asked
    assert questions == [QUESTION, "Who is Ridley Scott?"]
    assert [len(f) for f in facts] == [5, 5]
    assert all(r.facts == (Triple("alien", "directed by", "ridley scott"),) for r in rankings)


def test_where_no_fact_is_kept_the_ranking_is_dense_and_says_so(path, memory):
    retriever = Retriever(open_current(path), HashingEmbedder(), Choosing())
    (ranking,) = retriever.search([QUESTION], 5, HippoRag2Config())
    assert ranking.route == "dense"
    assert ranking.facts == ()
    assert ranking.hits == memory.search(QUESTION, k=5, preset="dense").hits
    strict = memory.search(QUESTION, preset=HippoRag2Config(least_cosine=1.0))
    assert strict.route == "dense"


def test_the_margin_leaves_the_best_fact(memory):
    ranking = memory.search(QUESTION, preset=HippoRag2Config(margin=0.0))
    assert ranking.route == "graph"
    assert len(ranking.facts) == 1


def test_without_a_known_name_the_presets_that_need_one_are_dense(memory):
    for preset in ("hipporag", "linearrag"):
        assert memory.search("what is bread made of?", preset=preset).route == "dense"


@pytest.mark.parametrize("preset", ["default", "hipporag2", "linearrag"])
def test_walks_are_explained(memory, preset):
    explanation = memory.explain(QUESTION, k=3, preset=preset)
    assert explanation.seeds
    for reason in explanation.hits:
        assert reason.entity_share + reason.passage_share == pytest.approx(1, abs=1e-3)
        assert reason.start is not None
        ends = [reason.start, *(step.target for step in reason.path)]
        assert ends[-1].id == reason.hit.passage.id


def test_the_way_along_a_fact_names_it(memory):
    config = HippoRag2Config(facts=1, passage_weight=1e-9)
    explanation = memory.explain(QUESTION, k=5, preset=config)
    (town,) = [r for r in explanation.hits if r.hit.passage.id == "town"]
    said = [step.sentence for step in town.path]
    assert "ridley scott born in south shields" in said or any("South Shields" in s for s in said)


def test_version_1_is_explained_by_phrases(memory):
    explanation = memory.explain(QUESTION, k=3, preset="hipporag")
    assert [(s.seed.name, s.linked, s.restart) for s in explanation.seeds] == [
        ("alien", "Alien", 1.0)
    ]
    assert explanation.ranking == memory.search(QUESTION, k=3, preset="hipporag")
    for reason in explanation.hits:
        assert (reason.entity_share, reason.passage_share) == pytest.approx((1, 0), abs=1e-6)
        assert reason.start.name == "alien"
        assert reason.path[-1].target.id == reason.hit.passage.id
    (man,) = [reason for reason in explanation.hits if reason.hit.passage.id == "man"]
    assert [(step.source.name, step.target.name) for step in man.path] == [
        ("alien", "ridley scott"),
        ("ridley scott", "Ridley Scott"),
    ]
    assert [step.sentence for step in man.path] == [
        "alien directed by ridley scott",
        "Ridley Scott was born in South Shields.",
    ]


def test_seeds_of_version_1_share_the_score(memory):
    explanation = memory.explain("Did Alien or Tyne and Wear come first?", k=5, preset="hipporag")
    restarts = {share.seed.name: share.restart for share in explanation.seeds}
    assert set(restarts) == {"alien", "tyne and wear"}
    shares = {
        reason.hit.passage.id: {share.seed.name: share.share for share in reason.shares}
        for reason in explanation.hits
    }
    assert shares["film"]["alien"] > 0.5 > shares["county"].get("alien", 0)
    assert sum(shares["man"].values()) == pytest.approx(1, abs=1e-5)
    # Nothing leads to the bread.
    (bread,) = [reason for reason in explanation.hits if reason.hit.passage.id == "bread"]
    assert (bread.start, bread.path, bread.shares) == (None, (), ())


@pytest.mark.parametrize("preset", ["hipporag", "hipporag2"])
def test_a_reranker_reads_what_facts_ranked(path, memory, preset):
    models = {"embedder": HashingEmbedder(), "extractor": Extractor()}
    reading = GraphMemory.open(path, **models, reranker="words", rerank_depth=2)
    asked = [QUESTION, "bread", "Who drew storyboards?"]
    alone = [reading.search(question, 5, preset) for question in asked]
    assert reading.search(asked, 5, preset) == alone
    plain, found = memory.explain(QUESTION, 5, preset), reading.explain(QUESTION, 5, preset)
    assert found.ranking == alone[0]
    places = {hit.passage.id: hit.rank for hit in plain.ranking.hits[:2]}
    moved = {why.hit.passage.id: why.reread.place for why in found.hits if why.reread}
    assert moved == places
    by_id = {why.hit.passage.id: why for why in plain.hits}
    for why in found.hits:  # what led there stays the same
        assert why.path == by_id[why.hit.passage.id].path
        assert why.shares == by_id[why.hit.passage.id].shares


# -- LinearRAG ----------------------------------------------------------------------------------


@pytest.fixture
def linear(path):
    snapshot = open_current(path)
    return snapshot, LinearSearcher(snapshot, HashingEmbedder())


def activated(linear, names, config):
    snapshot, searcher = linear
    rows = {snapshot.labels[i]: i for i in range(snapshot.entities)}
    vector = HashingEmbedder().embed([QUESTION], "question")[0]
    cosine = snapshot.vectors.blocks[0] @ vector
    found = searcher.activate(vector, np.array(sorted(rows[n] for n in names)), cosine, config)
    columns = found.entities, found.weights, found.scores, found.tiers
    return {snapshot.labels[int(e)]: (w, s, t) for e, w, s, t in zip(*columns, strict=True)}


def test_activation_goes_over_sentences(linear):
    vector = HashingEmbedder().embed(
        ["Alien\nAlien was directed by Ridley Scott.", QUESTION], "passage"
    )
    similarity = float(vector[0] @ vector[1])
    found = activated(linear, ["Alien"], LinearRagConfig(rounds=1, threshold=0.05))
    assert found["Ridley Scott"] == (pytest.approx(similarity, abs=1e-6),) * 2 + (2,)
    # Its own sentence leads back to it, which adds up, and replaces what it hands on.
    assert found["Alien"] == (pytest.approx(1 + similarity), pytest.approx(similarity), 2)


def test_activation_below_the_threshold_is_dropped(linear):
    found = activated(linear, ["Alien"], LinearRagConfig(threshold=1.0))
    assert found == {"Alien": (1.0, 1.0, 1)}
    assert activated(linear, ["Alien"], LinearRagConfig(rounds=0)) == found


def test_sentences_are_embedded_once(path):
    class Counting(HashingEmbedder):
        texts: list[str] = []

        def embed(self, texts, kind="passage"):
            self.texts.extend(texts)
            return super().embed(texts, kind)

    retriever = Retriever(open_current(path), Counting())
    retriever.search([QUESTION], 3, LinearRagConfig())
    before = len(Counting.texts)
    retriever.search([QUESTION], 3, LinearRagConfig())
    assert Counting.texts[before:] == [QUESTION]


def test_edges_are_shares_of_a_passage_s_mentions(linear):
    snapshot, searcher = linear
    columns = searcher.adjacency[:, snapshot.entities :].sum(axis=0)[: snapshot.passages]
    named = snapshot.graph.degrees > 0
    np.testing.assert_allclose(columns, named.astype(float), atol=1e-6)


# -- fusion and options -------------------------------------------------------------------------


def test_reciprocal_rank_fusion_by_hand():
    dense, lexical = np.float32([0.9, 0.8, 0.1]), np.float32([0.0, 5.0, 7.0])
    fused = reciprocal_rank_fusion([dense, lexical])
    np.testing.assert_allclose(fused, [1 / 61, 1 / 62 + 1 / 62, 1 / 63 + 1 / 61], rtol=1e-6)


def test_equal_scores_fuse_to_equal_scores():
    assert np.unique(reciprocal_rank_fusion([np.ones(4, dtype=np.float32)])).size == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: HippoRag2Config(facts=0),
        lambda: HippoRag2Config(damping=1.0),
        lambda: HippoRag2Config(margin=-0.1),
        lambda: HippoRag2Config(passage_weight=0),
        lambda: HippoRagConfig(tolerance=0),
        lambda: LinearRagConfig(rounds=-1),
        lambda: LinearRagConfig(threshold=2),
        lambda: LinearRagConfig(sentences=0),
        lambda: FusionConfig(constant=-1),
        lambda: RetrievalConfig(fact_weight=-1),
        lambda: RetrievalConfig(fact_weight=21),
        lambda: RetrievalConfig(preference=-1.0),
        lambda: RetrievalConfig(word_preference=50.0),
        lambda: RetrievalConfig(word_preference=float("nan")),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ConfigError, match="must be"):
        make()
