"""The OpenAI embedder against a real HTTP server that misbehaves."""

import builtins
import time

import numpy as np
import pytest
from embedding_helpers import answer_with, good_answer, hang, vector_of

from graphmem.embedding.openai import OpenAIEmbedder
from graphmem.errors import ConfigError, MissingExtraError, ModelError


def make(**options):
    return OpenAIEmbedder("fake-model", **{"timeout": 5, "max_retries": 2, **options})


def test_normalises_and_restores_order(server):
    vectors = make().embed(["one", "two", "three"])
    expected = np.array([vector_of(text) for text in ("one", "two", "three")])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert server.calls[0]["model"] == "fake-model"
    assert server.keys == ["Bearer sk-very-secret"]


def test_calls_hold_at_most_128_texts(server):
    texts = [f"text {i}" for i in range(300)]
    vectors = make().embed(texts)
    assert [len(call["input"]) for call in server.calls] == [128, 128, 44]
    assert vectors[299].tobytes() == make().embed(["text 299"])[0].tobytes()


def test_calls_hold_at_most_200000_tokens_and_long_texts_are_cut(server):
    embedder = make()
    embedder.embed(["word " * 20_000] * 30)
    assert len(server.calls) == 2
    for call in server.calls:
        assert sum(embedder.count_tokens(call["input"])) <= 200_000
        assert max(embedder.count_tokens(call["input"])) <= embedder.max_tokens


def test_waits_as_long_as_the_server_says(server):
    server.script = [(429, {"Retry-After": "1"}, {"error": {"message": "slow down"}})]
    start = time.monotonic()
    assert make().embed(["one"]).shape == (1, 16)
    assert time.monotonic() - start >= 0.9
    assert len(server.calls) == 2


def test_gives_up_after_its_retries(server):
    quick = {"Retry-After-Ms": "10"}
    server.script = [(500, quick, {"error": {"message": "broken sk-very-secret"}})] * 3
    with pytest.raises(ModelError, match=r"fake-model: .*500.*broken") as caught:
        make().embed(["one"])
    assert len(server.calls) == 3
    assert "secret" not in str(caught.value)


def test_a_refused_key_is_not_tried_again(server):
    server.script = [(401, {}, {"error": {"message": "wrong key sk-very-secret"}})]
    with pytest.raises(ModelError, match=r"401") as caught:
        make().embed(["one"])
    assert len(server.calls) == 1
    assert "secret" not in str(caught.value)


def test_a_hanging_server_meets_the_deadline(server):
    server.script = [hang]
    with pytest.raises(ModelError, match=r"fake-model: APITimeoutError"):
        make(timeout=0.3, max_retries=0).embed(["one"])


def test_nobody_there(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=r"fake-model: .*[Cc]onnect"):
        make(max_retries=0).embed(["one"])


def row(index=0, embedding=(1.0, 2.0)):
    return {"object": "embedding", "index": index, "embedding": embedding}


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>proxy</html>"),
        (200, {"Content-Type": "text/html"}, b"<html>proxy</html>"),
        (200, {}, {"data": None}),
        (200, {}, {"no": "data"}),
        (200, {}, []),
        answer_with([]),
        answer_with([row()]),
        answer_with([row(0), row(1), row(2)]),
        answer_with([row(0), row(0)]),
        answer_with([row(0), row(1, [1.0, 2.0, 3.0])]),
        answer_with([row(0), row(1, ["a", "b"])]),
        answer_with([row(0), row(1, None)]),
        answer_with([row(0, []), row(1, [])]),
        answer_with([row(0), row(1, [0.0, 0.0])]),
        (200, {}, b'{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1]}]}'),
    ],
)
def test_answers_in_the_wrong_shape(server, answer):
    server.script = [answer]
    with pytest.raises(ModelError, match="fake-model: "):
        make(max_retries=0).embed(["one", "two"])


def test_vectors_that_change_length_between_calls(server):
    server.script = [good_answer, answer_with([row()])]
    with pytest.raises(ModelError, match="different lengths"):
        make(max_retries=0).embed([f"text {i}" for i in range(129)])


def test_without_key_or_server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        make().embed(["one"])


def test_without_the_library(server, monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest):
        if name == "openai":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphmem\[openai\]'"):
        make().embed(["one"])


def test_needs_a_name():
    with pytest.raises(ConfigError):
        OpenAIEmbedder("")
