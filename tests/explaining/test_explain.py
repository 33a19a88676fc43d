"""Why a passage came, against what is known of the tiny world."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import HOPS

from graphmem.base.text import normalise_phrase, tokens
from graphmem.config import PRESETS
from graphmem.errors import ConfigError
from graphmem.explaining.explain import Node, explain
from graphmem.types import Passage

DEFAULT = PRESETS["default"]
QUESTIONS = [HOPS, "Who made Gladiator?", "Is Los Angeles near South Shields?", "1984"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_shares_sum_to_one(tiny, question):
    found = explain(tiny, question, 8, DEFAULT, seeds=17)
    assert found.ranking == tiny.search([question], 8, DEFAULT)[0]
    assert len(found.hits) == 8
    for reason in found.hits:
        total = 1 if reason.shares else 0
        assert total or reason.hit.score < 1e-6
        assert reason.entity_share + reason.passage_share == pytest.approx(total, abs=1e-5)
        assert sum(share.share for share in reason.shares) == pytest.approx(total, abs=1e-4)
        shares = [share.share for share in reason.shares]
        assert shares == sorted(shares, reverse=True)
        kinds = {"entity": reason.entity_share, "passage": reason.passage_share}
        for kind, expected in kinds.items():
            part = sum(share.share for share in reason.shares if share.seed.kind == kind)
            assert part == pytest.approx(expected, abs=1e-4)
    assert sum(share.restart for share in found.seeds) <= 1 + 1e-5


def nodes(snapshot):
    entities = {("entity", snapshot.labels[i]): i for i in range(snapshot.entities)}
    passages = {
        ("passage", snapshot.passage(i).id): snapshot.entities + i for i in range(snapshot.passages)
    }
    return entities | passages


def row(snapshot, node):
    return nodes(snapshot)[node.kind, node.id if node.kind == "passage" else node.name]


@pytest.mark.parametrize("question", QUESTIONS)
def test_paths_lead_over_edges_from_the_best_seed_to_the_hit(tiny, tiny_snapshot, question):
    adjacency = tiny_snapshot.adjacency.toarray()
    for reason in explain(tiny, question, 8, DEFAULT).hits:
        if not reason.shares:
            assert reason.start is None and reason.path == ()
            continue
        assert reason.start == reason.shares[0].seed
        path = [reason.start, *(step.target for step in reason.path)]
        assert [step.source for step in reason.path] == path[:-1]
        assert path[-1].id == reason.hit.passage.id
        rows = [row(tiny_snapshot, node) for node in path]
        assert len(set(rows)) == len(rows)
        assert all(adjacency[a, b] > 0 for a, b in zip(rows, rows[1:], strict=False))


@pytest.mark.parametrize("question", QUESTIONS)
def test_sentences_hold_the_name_in_the_passage_of_the_step(tiny, tiny_snapshot, question):
    told = 0
    for reason in explain(tiny, question, 8, DEFAULT).hits:
        for step in reason.path:
            entity, passage = sorted((step.source, step.target), key=lambda node: node.kind)
            assert (entity.kind, passage.kind) == ("entity", "passage")
            text = tiny_snapshot.passage(row(tiny_snapshot, passage) - 9).text
            assert step.sentence in text
            name = normalise_phrase(entity.name)
            inside = f" {name} " in f" {' '.join(tokens(text))} "
            assert bool(step.sentence) == inside
            assert not inside or f" {name} " in f" {' '.join(tokens(step.sentence))} "
            told += bool(step.sentence)
    assert told


def test_the_hops_of_the_tiny_world(tiny):
    found = {reason.hit.passage.id: reason for reason in explain(tiny, HOPS, 8, DEFAULT).hits}
    path = [found["p3"].start, *(step.target for step in found["p3"].path)]
    assert [node.id or node.name for node in path] == [
        *("Alien", "p1", "Ridley Scott", "p2", "South Shields", "p3")
    ]
    assert [step.sentence for step in found["p3"].path] == [
        "",  # only its title names it
        "It was directed by Ridley Scott.",
        "Ridley Scott comes from South Shields.",
        "Ridley Scott comes from South Shields.",
        "South Shields is a town in Tyne and Wear.",
    ]
    assert found["p1"].entity_share > 0.8
    assert found["p6"].entity_share == 0  # no edge leads there


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_next_name_is_one_that_the_hit_mentions_and_the_question_does_not(
    tiny, tiny_snapshot, question
):
    found = explain(tiny, question, 8, DEFAULT)
    mentions = tiny_snapshot.adjacency.toarray() > 0
    for reason in found.hits:
        if reason.asked_again:
            assert reason.asked_again not in found.ranking.entities
            name = list(tiny_snapshot.labels).index(reason.asked_again)
            passage = row(tiny_snapshot, Node("passage", "", reason.hit.passage.id))
            assert mentions[name, passage]


def test_the_question_is_asked_again_with_the_county(tiny):
    found = {reason.hit.passage.id: reason for reason in explain(tiny, HOPS, 8, DEFAULT).hits}
    assert found["p5"].asked_again == "Tyne and Wear"
    assert explain(tiny, HOPS, 8, PRESETS["walk"]).hits[0].asked_again == ""


def test_shares_are_what_is_lost_without_the_seed(tiny, tiny_snapshot):
    (trace,) = tiny.trace([HOPS], DEFAULT)
    restart = trace.walk.seeds.restart_vector(9, 8).astype(np.float64)
    preference = np.concatenate([np.ones(9), trace.walk.preference])
    steps = tiny_snapshot.adjacency.toarray() * preference
    out = steps.sum(axis=1, keepdims=True)
    steps = np.divide(steps, out, out=np.zeros_like(steps), where=out > 0)
    mass = np.linalg.inv(np.eye(17) - DEFAULT.damping * steps.T) * restart
    for reason in explain(tiny, HOPS, 8, DEFAULT, seeds=17).hits:
        target = row(tiny_snapshot, replace_id(reason))
        for share in reason.shares:
            expected = mass[target, row(tiny_snapshot, share.seed)] / mass[target].sum()
            assert share.share == pytest.approx(expected, abs=1e-4)


def replace_id(reason):
    from graphmem.explaining.explain import Node

    return Node("passage", "", reason.hit.passage.id)


@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_without_a_walk_there_are_no_seeds(tiny, name):
    found = explain(tiny, HOPS, 3, PRESETS[name])
    assert found.seeds == () and len(found.hits) == {"dense": 3, "bm25": 2}[name]
    assert all((r.entity_share, r.passage_share, r.path) == (0, 1, ()) for r in found.hits)
    assert explain(tiny, "bread?", 1, DEFAULT).ranking.route == "dense"


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one(tiny, k):
    with pytest.raises(ConfigError, match="k must be 1 or more"):
        explain(tiny, HOPS, k, DEFAULT)


def test_a_blank_question(tiny):
    with pytest.raises(ConfigError, match="empty"):
        explain(tiny, " ", 3, DEFAULT)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("damping", [0.0, 0.5, 0.99])
def test_what_no_seed_reaches_has_no_share_and_no_path(tiny, damping):
    config = replace(DEFAULT, passage_seeds=1, damping=damping)
    found = {reason.hit.passage.id: reason for reason in explain(tiny, HOPS, 8, config).hits}
    for name in ("p6", "p7"):
        reason = found[name]
        if reason.hit.score == 0:
            assert (reason.entity_share, reason.passage_share) == (0, 0)
            assert (reason.shares, reason.start, reason.path) == ((), None, ())
    assert any(found[name].hit.score == 0 for name in ("p6", "p7"))


@pytest.mark.parametrize(
    ("names", "text", "question", "sentence"),
    [
        (["東京"], "大きい。彼は東京で生まれた。終わり。", "東京？", "彼は東京で生まれた。"),
        (["ガラス"], "大きい。これはｶﾞﾗｽです。", "ガラス？", "これはｶﾞﾗｽです。"),
        (
            ["Straße Eins"],
            "Ein ½ Satz… Die STRASSE EINS ist da.",
            "Straße Eins?",
            "Die STRASSE EINS ist da.",
        ),
        (
            ["Ann"],
            "Annapolis is a city. It was named by Ann herself.",
            "So Ann?",
            "It was named by Ann herself.",
        ),
        (
            ["York", "New York City"],
            "Big. He left New York City.",
            "So York?",
            "He left New York City.",
        ),
    ],
)
def test_sentences_are_quoted_as_written(tmp_path, make, names, text, question, sentence):
    memory = make(tmp_path / "i", names)
    memory.add([Passage("1", text, "Nothing"), Passage("2", "bread", names[0])])
    config = replace(DEFAULT, entity_share=1.0, specificity_half=1e-6)  # from names alone
    found = memory.explain(question, 2, config).hits
    reason = next(reason for reason in found if reason.hit.passage.id == "1")
    assert [step.sentence for step in reason.path] == [sentence]
