"""JSON in what models write."""

import json

import pytest
from chat_helpers import ask as request
from hypothesis import given
from hypothesis import strategies as st

from graphmem.llm.response_cache import CachedChat, ResponseCache
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.structured_output import ask, parse_object

GOOD = {"a": ["x, ]", 1]}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ["x, ]", 1]}',
        '```json\n{"a": ["x, ]", 1]}\n```',
        'Sure! Here {you} are:\n{"a": ["x, ]", 1]}\nAnything else?',
        '{"a": ["x, ]", 1,],}',
        '<think>{"a": 0}? No.</think>{"a": ["x, ]", 1]}',
        '[{"b": 1}] and {"a": ["x, ]", 1]}',
        '["x, ]", 1]',
        '```\n["x, ]", 1]\n```',
        '\ufeff\n {"a": ["x, ]", 1]}',
    ],
)
def test_found(text):
    assert parse_object(text, "a") == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot do that.",
        '{"a": ["x", ',
        "import os\nprint({'a': ['x']})",
        "{'a': ['x']}",
        '{"b": []}',
        "null",
        "[" * 100_000,
        '{"a":' * 50_000,
        "x" * 200_001,
        "__import__('os').system('true')",
    ],
)
def test_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_object(text, "a")


def read(said):
    return parse_object(said.text, "a")["a"]


def test_a_bad_answer_is_shown_and_asked_for_again(tmp_path):
    chat = ScriptedChat(["prose", '{"a": 1}'])
    with ResponseCache(tmp_path / "r.sqlite") as cache:
        cached = CachedChat(chat, cache)
        assert ask(cached, request(), read) == (1, True)
        assert [m.role for m in chat.requests[1].messages] == ["user", "assistant", "user"]
        assert chat.requests[1].messages[1].content == "prose"
        assert "no JSON" in chat.requests[1].messages[2].content
        assert ask(cached, request(), read) == (1, True)  # both from the cache
    assert len(chat.requests) == 2


def test_two_bad_answers_are_forgotten(tmp_path):
    chat = ScriptedChat(["prose", "more prose", '{"a": 1}'])
    with ResponseCache(tmp_path / "r.sqlite") as cache:
        cached = CachedChat(chat, cache)
        with pytest.raises(
            ValueError, match="asked twice: no JSON in it; it answered 'more prose'"
        ):
            ask(cached, request(), read)
        assert ask(cached, request(), read) == (1, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text() | st.text(alphabet='{}[]",:a\\ `<think>'))
def test_any_text_gives_an_object_or_a_value_error(text):
    try:
        assert "a" in parse_object(text, "a")
    except ValueError as error:
        assert str(error)


@given(JSON, st.sampled_from(["%s", "```json\n%s\n```", "Here:\n%s\nDone.", "%s,"]))
def test_an_object_survives_what_is_put_around_it(value, around):
    text = around % json.dumps({"a": value}, ensure_ascii=False)
    if "<think" not in text:
        assert parse_object(text, "a") == {"a": value}
