"""The last stage: a reranker orders the first passages, in Python and on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from cli_helpers import QUESTION, make_index, run
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_models import make_tiny_model
from worlds import TINY_NAMES, ScriptedExtractor

from graphmem.answering.iterative import merge_mean
from graphmem.config import PRESETS, preset
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import ConfigError, ModelError
from graphmem.memory import GraphMemory
from graphmem.reranking.words import WordReranker
from graphmem.searching import retriever
from graphmem.searching.rerank_step import RereadingRetriever
from graphmem.searching.scores import put_first
from graphmem.searching.seeds import top_rows

HOPS = "In which county was the director of Alien born?"
NAMES = [name for name in PRESETS if not name.startswith("hipporag")]  # these need facts


class Scripted:
    """Scores by the length of a text, or fails; remembers what it was asked."""

    fingerprint = "scripted:1"

    def __init__(self, error=None):
        self.asked = []
        self.error = error

    def score(self, question, texts):
        self.asked.append((question, list(texts)))
        if self.error:
            raise self.error
        return np.array([-len(text) for text in texts], dtype=np.float32)


def opened(tiny_index, reranker, **options):
    extractor = ScriptedExtractor(TINY_NAMES)
    return GraphMemory.open(
        tiny_index,
        embedder=HashingEmbedder(),
        extractor=extractor,
        reranker=reranker,
        **options,
    )


def ids(ranking):
    return [hit.passage.id for hit in ranking.hits]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", [1, 3, 99])
def test_the_first_are_ordered_and_the_rest_stays(tiny_index, tiny, name, depth):
    reranker = Scripted()
    (plain,) = tiny.search([HOPS], 8, preset(name))
    found = opened(tiny_index, reranker, rerank_depth=depth).search(HOPS, 8, name)
    first = plain.hits[:depth]
    texts = [f"{h.passage.title}\n{h.passage.text}".removeprefix("\n") for h in first]
    assert reranker.asked == [(HOPS, texts)]
    order = sorted(range(len(first)), key=lambda i: len(texts[i]))
    assert ids(found) == [first[i].passage.id for i in order] + ids(plain)[depth:]
    scores = [hit.score for hit in found.hits]
    assert all(a > b for a, b in zip(scores[:depth], scores[1:depth], strict=False))
    assert scores == sorted(scores, reverse=True)
    assert (found.route, found.entities) == (plain.route, plain.entities)
    assert (found.reranker, found.reranked) == ("scripted:1", len(first))
    assert len(plain.hits) == {"rrf": 6, "bm25": 3}.get(name, 8)  # passages alike in anything
    assert (plain.reranker, plain.reranked) == ("", 0)


def test_fewer_hits_than_it_reads(tiny_index):
    memory = opened(tiny_index, Scripted(), rerank_depth=5)
    assert ids(memory.search(HOPS, 2)) == ids(memory.search(HOPS, 8))[:2]
    together = memory.search([HOPS, "bread"], 3)
    assert [ids(r) for r in together] == [ids(memory.search(q, 3)) for q in (HOPS, "bread")]


@pytest.mark.parametrize("reranker", ["words", "cross-encoder", "maxsim"])
@pytest.mark.parametrize("name", NAMES)
def test_many_questions_get_what_each_gets_alone(
    tiny_index, folder, embedder, monkeypatch, name, reranker
):
    spec = {"words": "words", "cross-encoder": str(folder), "maxsim": f"maxsim:{embedder}"}
    memory = opened(tiny_index, spec[reranker], rerank_depth=4)
    asked = [HOPS, "bread", "Who made Alien?", HOPS.lower(), "Ridley Scott", "東京", HOPS]
    alone = [memory.search(question, 8, name) for question in asked]
    assert memory.search(asked, 8, name) == alone
    monkeypatch.setattr(retriever, "_EMBEDDED", 3)  # several blocks, some embedded ahead
    monkeypatch.setattr(retriever, "_BLOCK", 2)
    assert memory.search(asked, 8, name) == alone
    several = [min(4, len(ranking.hits)) for ranking in alone]  # there may be none alike
    assert [ranking.reranked for ranking in alone] == several and max(several) > 1
    assert memory.search([], 8, name) == []


def test_explanations_say_what_it_did(tiny_index, tiny):
    (plain,) = tiny.search([HOPS], 8, preset("default"))
    places = {id_: place for place, id_ in enumerate(ids(plain), start=1)}
    memory = opened(tiny_index, Scripted(), rerank_depth=3)
    for name in ("default", "dense", "bm25"):
        found = memory.explain(HOPS, 5, name)
        assert ids(found.ranking) == ids(memory.search(HOPS, 5, name))
        assert [hit.reread is None for hit in found.hits[:3]] == [False] * 3
        assert all(hit.reread is None for hit in found.hits[3:])
        assert len(found.hits) == (3 if name == "bm25" else 5)
    found = memory.explain(HOPS, 5)
    for hit in found.hits[:3]:
        assert hit.reread.place == places[hit.hit.passage.id]
        assert hit.reread.score == -len(f"{hit.hit.passage.title}\n{hit.hit.passage.text}")
    plainly = opened(tiny_index, None).explain(HOPS, 5)
    by_id = {hit.hit.passage.id: hit for hit in plainly.hits}
    for hit in found.hits:  # the walk that led there stays the same
        if hit.hit.passage.id in by_id:
            assert hit.path == by_id[hit.hit.passage.id].path
            assert hit.evidence == by_id[hit.hit.passage.id].evidence


def test_merged_rankings_say_so_too(tiny_index):
    memory = opened(tiny_index, Scripted(), rerank_depth=3)
    merged = merge_mean(memory.search([HOPS, "bread"], 3))
    assert (merged.reranker, merged.reranked) == ("scripted:1", 3)


def test_errors(tiny_index, tiny_snapshot):
    with pytest.raises(ConfigError, match="rerank depth must be 1 or more, not 0"):
        opened(tiny_index, "words", rerank_depth=0)
    with pytest.raises(ConfigError, match="unknown reranker"):
        opened(tiny_index, "none")
    with pytest.raises(ModelError, match="broke"):
        opened(tiny_index, Scripted(ModelError("broke"))).search(HOPS)
    with pytest.raises(ConfigError, match="the question is empty"):
        searching = RereadingRetriever(tiny_snapshot, HashingEmbedder(), None, WordReranker())
        searching.search([" "], 1, preset("default"))


@given(
    arrays(np.float32, st.integers(1, 30), elements=st.floats(-1, 1, width=32)),
    st.integers(1, 10),
    st.data(),
)
def test_put_first_orders_the_first_and_keeps_the_rest(scores, count, data):
    rows = top_rows(scores, count)
    element = st.floats(-1e4, 1e4, width=32) | st.sampled_from([20.0, 20.001, -1e30, 1e30])
    values = data.draw(arrays(np.float32, rows.size, elements=element))
    final = put_first(scores, rows, values)
    assert np.isfinite(final).all()
    best = np.argsort(-values, kind="stable")
    order = top_rows(final, scores.size)
    assert order[: rows.size].tolist() == rows[best].tolist()
    assert (np.diff(final[order[: rows.size]]) < 0).all()
    rest = [row for row in top_rows(scores, scores.size).tolist() if row not in rows]
    tied = np.abs(scores[rest]) < 1e-12  # what is as good as 0 may become 0
    if not tied.any():
        assert order[rows.size :].tolist() == rest


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("rereading"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-cross", head="bert")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-embedder")


def test_search_and_explain_with_a_folder(index, folder):
    options = ("--reranker", folder, "--rerank-depth", 2)
    plain = json.loads(run("search", index, QUESTION, "--json").stdout)
    assert "reranker" not in plain
    found = json.loads(run("search", index, QUESTION, *options, "--json").stdout)
    assert found["reranker"].startswith("cross-encoder:tiny-cross:30:")
    assert found["reranked"] == 2
    assert found["route"] == plain["route"] == "graph"
    assert {h["id"] for h in found["hits"][:2]} == {h["id"] for h in plain["hits"][:2]}
    assert [h["id"] for h in found["hits"][2:]] == [h["id"] for h in plain["hits"][2:]]
    heading = run("search", index, QUESTION, *options).stdout.splitlines()[0]
    assert heading == (
        "route: graph, then the first 2 by cross-encoder:tiny-cross:30;"
        " found in the question: Alien"
    )
    why = json.loads(run("explain", index, QUESTION, *options, "--json").stdout)
    assert [h["id"] for h in why["hits"]] == [h["id"] for h in found["hits"]]
    assert [h["reread"] is None for h in why["hits"]] == [False, False, True, True]
    shown = run("explain", index, QUESTION, *options).stdout
    assert shown.count("    reranker: ") == 2
    assert ", place 1 before" in shown


def test_a_run_file(index, folder, tmp_path):
    questions = tmp_path / "q.jsonl"
    asked = [QUESTION, "bread", "Who is Ridley Scott?"]
    records = [{"id": f"q{i}", "question": question} for i, question in enumerate(asked)]
    questions.write_text("".join(json.dumps(record) + "\n" for record in records))
    arguments = ("search", index, "--queries", questions, "--reranker", folder)
    run(*arguments, "--run", tmp_path / "r.trec")
    lines = [line.split() for line in (tmp_path / "r.trec").read_text().splitlines()]
    together = [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]
    for record, ranking in zip(records, together, strict=True):
        alone = run("search", index, record["question"], "--reranker", folder, "--json")
        found = json.loads(alone.stdout)
        assert {"id": record["id"], **found} == ranking
        ids = [line[2] for line in lines if line[0] == record["id"]]
        assert ids == [hit["id"] for hit in found["hits"]]


@pytest.mark.parametrize("command", ["search", "explain", "ask"])
def test_bad_options(index, tmp_path, command):
    asked = (command, index, QUESTION)
    assert "goes with --reranker" in run(*asked, "--rerank-depth", 3, code=2).stderr
    assert "x>=1" in run(*asked, "--reranker", "words", "--rerank-depth", 0, code=2).stderr
    assert "unknown reranker 'nothing'" in run(*asked, "--reranker", "nothing", code=2).stderr
    assert "no config.json" in run(*asked, "--reranker", tmp_path, code=2).stderr


def test_an_experiment_compares_with_and_without(tmp_path, folder):
    from graphmem.evaluation.experiment import load_datasets, run_experiment
    from graphmem.evaluation.runs.context import Run, RunContext
    from graphmem.evaluation.runs.indexes import IndexCache
    from graphmem.evaluation.runs.running import run_key
    from graphmem.evaluation.runs.specification import read_experiment

    corpus = [{"id": f"p{i}", "text": f"Ada Byron wrote query {i}."} for i in range(6)]
    data = tmp_path / "set"
    data.mkdir()
    asked = [{"id": "q", "question": "Who wrote query 3?", "gold": ["p3"]}]
    for name, records in (("corpus", corpus), ("questions", asked)):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    arguments = ("eval", data, "--embedder", "hashing", "--preset", "bm25", "--out", tmp_path / "o")
    scores = json.loads(run(*arguments, "--reranker", "words", "--json").stdout)
    assert "bm25+reranker" in json.dumps(scores)
    written = json.loads((tmp_path / "o" / "experiment.json").read_text())
    plain, reread = written["variants"]
    assert plain["rerank"] is None
    assert reread["rerank"] == {"spec": "words", "depth": 30, "fingerprint": "words:1"}
    record = tmp_path / "o" / "runs" / "set" / "bm25+reranker.seed0" / "questions.jsonl"
    assert json.loads(record.read_text())["route"] == "lexical + reranker"
    spec = tmp_path / "e.toml"
    text = f'datasets = ["set"]\n[[variants]]\nname = "v"\nreranker = "{folder}"\n'
    spec.write_text(text + "rerank_depth = 4\n[index]\nembedder = 'hashing'\n")
    experiment = read_experiment(spec)
    (variant,) = experiment.variants
    assert variant.rerank.depth == 4
    assert variant.rerank.fingerprint.startswith("cross-encoder:tiny-cross")
    assert run_experiment(experiment, tmp_path / "p").datasets
    others = [None, *(replace(variant.rerank, **c) for c in ({"depth": 5}, {"fingerprint": "x"}))]
    (loaded,) = load_datasets(experiment)
    context = RunContext(experiment, tmp_path, IndexCache(tmp_path))
    keys = {
        run_key(context, Run(loaded, replace(variant, rerank=rerank)))
        for rerank in (variant.rerank, *others)
    }
    assert len(keys) == 4
    spec.write_text(text.replace(f'reranker = "{folder}"', "rerank_depth = 3"))
    with pytest.raises(ConfigError, match="goes with 'reranker'"):
        read_experiment(spec)
    spec.write_text(text.replace(str(folder), "./no"))
    with pytest.raises(ConfigError, match="unknown reranker"):
        read_experiment(spec)


@pytest.mark.parametrize(
    "answer", [np.array([1, np.nan]), np.array([1, 2, 3]), np.array([[1], [2]]), np.array([])]
)
def test_scores_that_are_none_are_refused(tiny_index, answer):
    reranker = Scripted()
    reranker.score = lambda question, texts: answer
    memory = opened(tiny_index, reranker, rerank_depth=2)
    with pytest.raises(ModelError, match="reranker scripted:1: gave .*expected one finite"):
        memory.search(HOPS, 2)
