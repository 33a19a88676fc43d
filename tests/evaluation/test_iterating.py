"""Variants that a chat model leads: what is asked, kept, counted, recorded and refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from chat_helpers import running_chat_server, say

from graphmem.answering.chat_session import ChatSettings
from graphmem.errors import BudgetExceeded, ConfigError, EndpointError, ModelError, TooManyFailures
from graphmem.evaluation.experiment import load_datasets, rescore, run_experiment
from graphmem.evaluation.reports.wording import costs
from graphmem.evaluation.runs.answering import answer_runs
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.indexes import IndexCache
from graphmem.evaluation.runs.iterating import IterateOptions
from graphmem.evaluation.runs.recorded import read_json, read_records
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    preset_variant,
    read_experiment,
)
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.usage import Budget
from graphmem.memory import GraphMemory
from graphmem.types import ChatRequest, Price

HASHING = IndexOptions("hashing")
PRICE = Price(1_000_000, 2_000_000)


def _reply(request: ChatRequest) -> str | Exception:
    """Asks for the title of the second passage, thinks it, or drafts it; by what is asked."""
    text = request.messages[-1].content
    if request.stage == "answer":
        return json.dumps({"answer": "Lund", "found": True, "passages": [1]})
    if request.stage == "clues":
        return "It is Dublin."
    if request.stage == "residual":
        return json.dumps({"question": "Where is Zürich?"})
    return "So the answer is: Dublin." if "Zürich lies" in text else "Zürich lies on the Limmat."


def _variant(method: Any, steps: int = 0, name: str = "", preset: str = "bm25") -> Any:
    led = replace(preset_variant(preset, HASHING), iterate=IterateOptions(method, steps))
    return replace(led, name=name or method)


def _experiment(small: Path, chat: Any, *variants: Any, **more: Any) -> Experiment:
    plain = preset_variant("bm25", HASHING)
    chosen = (plain, *(variants or (_variant("residual"),)))
    settings = chat if isinstance(chat, ChatSettings) else ChatSettings(chat)
    options = {"baseline": "bm25", "cutoffs": (2, 5), "explain": 4, "latency": 3, "price": PRICE}
    return Experiment("e", (DatasetSpec(small),), chosen, chat=settings, **(options | more))


@pytest.fixture
def results(small: Path, indexes: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs an experiment in one folder."""

    def run(chat: Any, *variants: Any, **more: Any) -> dict[str, Any]:
        experiment = _experiment(small, chat, *variants, **more)
        return run_experiment(experiment, tmp_path, indexes=indexes)

    return run


def _run(out: Path, variant: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run_folder(out, "small", variant, 0) / "run.json")
    return found


def test_all_methods_are_counted_recorded_and_kept(results: Any, tmp_path: Path):
    chat = ScriptedChat(_reply)
    variants = _variant("residual"), _variant("ircot", 3), _variant("clues")
    scores = results(chat, *variants).datasets["small"].variants
    asked = len(chat.requests)
    assert {request.stage for request in chat.requests} == {"residual", "reasoning", "clues"}
    expected = {"residual": "Where is Zürich?", "ircot": "Zürich lies on the Limmat."}
    for method, calls in (("residual", 6), ("ircot", 12), ("clues", 6)):
        run = _run(tmp_path, method)
        assert run["calls"] == scores[method].calls == calls
        assert run["tokens"] == asdict(scores[method].tokens) == run["chat"]["tokens"]
        assert run["chat"]["paid"] == run["tokens"] | {"calls": calls}
        assert run["tokens"]["prompt"] > run["tokens"]["completion"] > 0
        money = run["tokens"]["prompt"] + 2 * run["tokens"]["completion"]
        assert run["cost"] == scores[method].cost == money
        assert run["chat"]["model"] == "scripted"
        assert not run["latency"]["questions"] and run["latency"]["median_ms"] is None
        assert run["questions_per_second"] is None and "search" not in run["seconds"]
        assert costs(scores[method])[2].startswith(f"{sum(run['tokens'].values()):,}, {calls} c")
        for question, record in read_records(run_folder(tmp_path, "small", method, 0)):
            query = expected.get(method, "It is Dublin.")
            assert record["queries"] == [question.text, query]
            assert record["route"] == f"lexical + {method}"
    assert asked == 24
    plain = _run(tmp_path, "bm25")
    assert (plain["tokens"], plain["calls"]) == ({"prompt": 0, "completion": 0}, 0)
    assert plain["chat"] is None and plain["latency"]["questions"] == 3
    assert read_json(tmp_path / "experiment.json")["chat"]["model"] == "scripted"
    page, text = ((tmp_path / f"report.{end}").read_text("utf-8") for end in ("html", "md"))
    assert "led by scripted and not timed" in page and "led by scripted and not timed" in text
    assert "12 calls, cost" in page and "12 calls, cost" in text
    assert "method = ircot steps = 3" in page and "searched again: Where is Zürich?" in page
    results(chat, *variants)
    rescored = rescore(tmp_path).datasets["small"].variants
    assert rescored == scores
    assert len(chat.requests) == asked, "explained, kept and scored again without the model"


def test_the_same_hits_as_a_search_of_the_index(results: Any, small: Path, tmp_path: Path):
    chat = ScriptedChat(_reply)
    results(chat, _variant("ircot", 1, preset="default"), fail_on=0)
    options = DatasetSpec(small)
    (dataset,) = load_datasets(_experiment(options.path, chat))
    cache = IndexCache(tmp_path / "own")
    index = cache.get("small", dataset.passages, HASHING, 0)
    memory = GraphMemory.open(index.path, chat=ScriptedChat(_reply))
    for question, record in read_records(run_folder(tmp_path, "small", "ircot", 0)):
        found = memory.search_again(question.text, 5, method="ircot", steps=1)
        assert [hit.passage.id for hit in found.ranking.hits] == [h[0] for h in record["hits"][:5]]
        assert list(found.queries) == record["queries"]


def test_another_method_step_model_or_price_is_another_run(results: Any, tmp_path: Path):
    chat = ScriptedChat(_reply)
    keys = set()
    for method, steps in (("ircot", 1), ("ircot", 2), ("clues", 0)):
        results(chat, _variant(method, steps, "v"))
        keys.add(_run(tmp_path, "v")["key"])
    assert len(keys) == 3
    asked = len(chat.requests)
    results(ScriptedChat(_reply, "another"), _variant("clues", 0, "v"))
    assert _run(tmp_path, "v")["chat"]["model"] == "another"
    results(chat, _variant("clues", 0, "v"))
    again = _run(tmp_path, "v")
    assert len(chat.requests) == asked, "the first model's answers were kept"
    assert (again["calls"], again["chat"]["paid"]["calls"]) == (6, 0)
    assert again["cost"] > 0, "what the method takes, though nothing was paid now"
    results(chat, _variant("clues", 0, "v"), price=None)
    assert _run(tmp_path, "v")["cost"] == 0 and len(chat.requests) == asked


def test_an_interrupted_run_asks_nothing_twice(results: Any, tmp_path: Path):
    asked: list[str] = []
    broken = [True]

    def reply(request: ChatRequest) -> str | Exception:
        asked.append(request.messages[-1].content)
        if broken and len(asked) == 4:
            return EndpointError("wrong key")
        return _reply(request)

    chat = ScriptedChat(reply)
    with pytest.raises(EndpointError, match="wrong key"):
        results(ChatSettings(chat, 1))
    assert not (run_folder(tmp_path, "small", "residual", 0) / "run.json").exists()
    answered = len(asked) - 1
    broken.clear()
    results(chat)
    assert len(asked) == answered + 1 + (6 - answered)
    run = _run(tmp_path, "residual")
    assert (run["calls"], run["chat"]["paid"]["calls"]) == (6, 6 - answered)


def test_a_budget_stops_and_a_larger_one_goes_on(results: Any, tmp_path: Path):
    chat = ScriptedChat(_reply)
    with pytest.raises(BudgetExceeded):
        results(ChatSettings(chat, budget=Budget(tokens=1500)))
    assert 0 < len(chat.requests) < 6
    results(ChatSettings(chat, budget=Budget(tokens=100_000)))
    assert len(chat.requests) == 6


def test_one_failing_question_is_a_record_and_counts_0(results: Any, small: Path, tmp_path: Path):
    (dataset,) = load_datasets(_experiment(small, ScriptedChat(_reply)))
    bad = dataset.questions[2]

    def reply(request: ChatRequest) -> str | Exception:
        last = request.messages[-1].content
        return ModelError("gone") if bad.text in last else _reply(request)

    scores = results(ScriptedChat(reply), fail_on=1).datasets["small"].variants["residual"]
    assert scores.failed == {bad.id: "ModelError: gone"} and scores.missing == (bad.id,)
    rows = run_folder(tmp_path, "small", "residual", 0) / "scores.jsonl"
    (row,) = [r for r in map(json.loads, rows.open(encoding="utf-8")) if r["id"] == bad.id]
    assert row["recall@5"] == 0
    assert "1 question failed" in (tmp_path / "report.md").read_text("utf-8")
    with pytest.raises(TooManyFailures, match="small, residual: 1 question failed, 0 may"):
        results(ScriptedChat(reply, "other"), fail_on=0)


def test_answers_join_what_the_searches_took(results: Any, small: Path, tmp_path: Path):
    chat = ScriptedChat(_reply)
    results(chat)
    searched = _run(tmp_path, "residual")
    datasets = load_datasets(_experiment(small, chat))
    for _ in range(2):  # the second time counts the same
        answer_runs(tmp_path, datasets, chat, price=PRICE)
        run = _run(tmp_path, "residual")
        assert run["calls"] == 12 and _run(tmp_path, "bm25")["calls"] == 6
        assert run["tokens"]["prompt"] > searched["tokens"]["prompt"]
        read, written = run["tokens"]["prompt"], run["tokens"]["completion"]
        assert run["cost"] == read + 2 * written > searched["cost"]
        assert run["chat"] == searched["chat"]


@pytest.mark.parametrize(("method", "steps", "calls"), [("residual", 0, 1), ("ircot", 2, 2)])
def test_pieces_of_one_record_count_once(tmp_path: Path, method: str, steps: int, calls: int):
    """Nine records, one of them in many pieces: the ranking is as deep as asked for."""
    data = tmp_path / "set"
    data.mkdir()
    long = " ".join(f"Zürich has street {i} near the Limmat in Zürich." for i in range(60))
    texts = [long, *(f"Town {i} is not Zürich." for i in range(8))]
    corpus = [{"id": f"p{i}", "text": text} for i, text in enumerate(texts)]
    asked = [{"id": "q", "question": "Which street is in Zürich?", "gold": ["p3"]}]
    for name, records in (("corpus", corpus), ("questions", asked)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (data / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    chat = ScriptedChat(_reply)
    variant = replace(_variant(method, steps), index=IndexOptions("hashing", passage_tokens=24))
    experiment = Experiment(
        "e", (DatasetSpec(data),), (variant,), (5,), 8, chat=ChatSettings(chat), fail_on=0
    )
    run_experiment(experiment, tmp_path / "o")
    lines = (run_folder(tmp_path / "o", "set", method, 0) / "run.trec").read_text().split("\n")
    assert len({line.split()[2] for line in lines if line}) == 8
    run = read_json(run_folder(tmp_path / "o", "set", method, 0) / "run.json")
    assert run["calls"] == run["chat"]["paid"]["calls"] == len(chat.requests) == calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("method = 'guess'", "'variants.method' cannot be 'guess': choose from ircot, residual"),
        ("method = 3", "'variants.method' cannot be 3"),
        ("method = 'ircot'\nsteps = 0", "'variants.steps' must be 1 or more, not 0"),
        ("method = 'ircot'\nsteps = 'a'", "'variants.steps' cannot be 'a'"),
        ("method = 'residual'\nsteps = 2", "'variants.steps' goes with method = \"ircot\""),
        ("steps = 2", "'variants.steps' goes with method"),
    ],
)
def test_wrong_methods_are_refused(small: Path, tmp_path: Path, text: str, expected: str):
    file = tmp_path / "e.toml"
    file.write_text(f"datasets = ['{small}']\n[[variants]]\nname = 'v'\n{text}\n")
    with pytest.raises(ConfigError) as error:
        read_experiment(file)
    assert expected in str(error.value) and str(error.value).startswith(str(file))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("threads = 0", "'threads' must be 1 or more, not 0"),
        ("budget = 'much'", "'budget': budget 'much': expected tokens"),
        ("budget = '$1'", "'budget': a budget in money needs the price"),
        ("price = [1]", "'price' must be [IN, OUT]"),
        ("price = [1, -1]", "'price' must be [IN, OUT]"),
        ("price = [true, 'a']", "'price' must be [IN, OUT]"),
        ("model = 3", "'model' cannot be 3"),
    ],
)
def test_wrong_words_about_the_model_are_refused(
    small: Path, tmp_path: Path, text: str, expected: str
):
    file = tmp_path / "e.toml"
    variant = "[[variants]]\nname = 'v'\nmethod = 'clues'\n"
    file.write_text(f"datasets = ['{small}']\n{text}\n{variant}")
    with pytest.raises(ConfigError) as error:
        read_experiment(file)
    assert expected in str(error.value)
    file.write_text(f"datasets = ['{small}']\nmodel = 'm'\npresets = ['bm25']\n")
    with pytest.raises(ConfigError, match="'model' goes with a variant that has a method"):
        read_experiment(file)


def test_what_the_file_says_about_the_model(small: Path, tmp_path: Path):
    file = tmp_path / "e.toml"
    chat = "model = 'openai:m'\nthreads = 2\nbudget = '$3'\nprice = [1, 2.5]\n"
    variant = "[[variants]]\nname = 'v'\npreset = 'walk'\nmethod = "
    file.write_text(f"datasets = ['{small}']\n{chat}{variant}'ircot'\n")
    experiment = read_experiment(file)
    assert experiment.variants[0].iterate == IterateOptions("ircot", 3)
    price = Price(1.0, 2.5)
    assert experiment.price == price
    assert experiment.chat == ChatSettings("openai:m", 2, budget=Budget(money=3.0, price=price))


def test_no_model_is_known_before_any_work(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GRAPHMEM_MODEL", raising=False)
    out = tmp_path / "o"
    with pytest.raises(ConfigError, match=r"'variants\.method' needs .*GRAPHMEM_MODEL"):
        run_experiment(_experiment(small, ""), out)
    assert not out.exists()


def test_from_the_command_line_by_a_server_killed_in_between(
    small: Path, tmp_path: Path, indexes: Path
):
    file, out = tmp_path / "e.toml", tmp_path / "o"
    text = f"datasets = ['{small}']\nk = [2, 5]\nbaseline = 'bm25'\npresets = ['bm25']\n"
    text += "threads = 1\nprice = [1, 1]\n[index]\nembedder = 'hashing'\n"
    text += "[[variants]]\nname = 'led'\npreset = 'bm25'\nmethod = 'residual'\n"
    file.write_text(text)
    command = [sys.executable, "-m", "graphmem", "eval", str(file), "--out", str(out)]
    command += ["--indexes", str(indexes)]
    with running_chat_server(say('{"question": "Where is Zürich?"}')) as server:
        keys = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-secret", "GRAPHMEM_MODEL": "m"}

        def run(code: int) -> Any:
            done = subprocess.run(
                command, env=os.environ | keys, capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            assert "sk-secret" not in done.stdout + done.stderr
            return done

        good = server.default
        server.script = [good, good, (401, {}, {"error": {"message": "wrong key"}})]
        assert "wrong key" in run(1).stderr
        assert not (run_folder(out, "small", "led", 0) / "run.json").exists()
        shown = run(0).stdout
        assert "96, 6 calls, cost 9.6e-05" in shown  # 11 tokens read and 5 written in each
        assert len(server.calls) == 7, "one call failed, six answers were kept"
        assert run(0).stdout == shown
        assert len(server.calls) == 7, "the finished run was kept"
        server.default = (401, {}, {"error": {"message": "wrong key"}})
        for found in out.rglob("run.json"):
            found.unlink()
        # All is searched again, but nothing is asked. What the baseline was timed at can differ.
        led = [line for line in run(0).stdout.splitlines() if line.startswith("| led")]
        assert led == [line for line in shown.splitlines() if line.startswith("| led")]
        assert len(server.calls) == 7


def test_the_configuration_that_compares_all_methods():
    configs = Path(__file__).resolve().parents[2] / "pipelines" / "configs"
    experiment = read_experiment(configs / "iterative.toml")
    led = [variant.iterate for variant in experiment.variants if variant.iterate]
    assert {options.method for options in led} == {"residual", "ircot", "clues"}
    assert experiment.chat.budget == Budget(tokens=5_000_000)
