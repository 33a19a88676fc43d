"""OpenAIChat against a real HTTP server that misbehaves."""

import builtins
import logging
import threading
import time
import traceback

import pytest
from chat_helpers import KEY, SCHEMA, ask, hang, refuse, say, stream_of

from graphmem.errors import ConfigError, EndpointError, MissingExtraError, ModelError
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.rate_limit import Gate

QUICK = {"Retry-After-Ms": "10"}


def make(**options):
    return OpenAIChat("fake-model", **{"timeout": 5, "max_retries": 2, **options})


def drain(generator):
    pieces = []
    while True:
        try:
            pieces.append(next(generator))
        except StopIteration as stop:
            return pieces, stop.value


def test_asks_with_everything_fixed(server):
    answer = make().complete(ask("Who?", SCHEMA, stage="answer"))
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("Ada.", 11, 5)
    call = server.calls[0]
    assert call["temperature"] == 0
    assert call["seed"] == 7
    assert call["max_tokens"] == 50
    assert call["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": SCHEMA,
    }
    assert server.keys == [f"Bearer {KEY}"]


def test_estimates_usage_where_the_server_does_not_say(server):
    server.script = [say("four words of text", usage=None)]
    answer = make().complete(ask())
    assert (answer.prompt_tokens, answer.completion_tokens) == (5, 5)


def test_characters_that_cannot_be_sent_or_stored_are_replaced(server):
    server.script = [say("A\ud800da")]
    assert make().complete(ask("w\udfff\0o")).text == "A?da"
    assert server.calls[0]["messages"][0]["content"] == "w? o"


def test_waits_as_long_as_the_server_says_and_so_do_all_threads(server):
    server.script = [(429, {"Retry-After": "2"}, {"error": {"message": "slow down"}})]
    chat = make()
    start = time.monotonic()
    first = threading.Thread(target=chat.complete, args=(ask("one"),))
    first.start()
    time.sleep(1)
    chat.complete(ask("two"))
    first.join()
    assert len(server.calls) == 3
    assert min(server.times[1:]) - start >= 1.9


def test_does_not_wait_for_hours(server):
    server.script = [(429, {"Retry-After": "3600"}, {"error": {"message": "come back later"}})]
    with pytest.raises(ModelError, match=r"asks to wait 3600 s"):
        make().complete(ask())
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_tries_again_and_gives_up_after_its_retries(server, status):
    server.script = [(status, QUICK, {"error": {"message": "broken"}})] * 2
    assert make().complete(ask()).text == "Ada."
    server.script = [(status, QUICK, {"error": {"message": "broken"}})] * 3
    with pytest.raises(ModelError, match=rf"fake-model: .*{status}.*broken"):
        make().complete(ask())
    assert len(server.calls) == 6


@pytest.mark.parametrize(
    ("status", "code"), [(401, None), (403, None), (404, None), (429, "insufficient_quota")]
)
def test_what_would_always_fail_is_not_tried_again(server, status, code):
    server.script = [(status, {}, {"error": {"message": "no", "code": code}})]
    with pytest.raises(EndpointError, match=rf"{status}"):
        make().complete(ask())
    assert len(server.calls) == 1


def test_a_hang_meets_the_deadline(server):
    server.script = [hang]
    with pytest.raises(ModelError, match=r"fake-model: APITimeoutError"):
        make(timeout=0.3, max_retries=0).complete(ask())


def test_a_drip_meets_the_deadline(server):
    status, headers, _ = say("x")
    server.script = [(status, headers, [b" "] * 30)]
    with pytest.raises(ModelError, match=r"not done within 0.5 s"):
        make(timeout=0.5, max_retries=0).complete(ask())


@pytest.mark.parametrize(
    "step",
    [
        (200, {}, b"<html>proxy</html>"),
        (200, {"Content-Length": "500"}, b'{"choices": [{"message"'),
    ],
)
def test_broken_transport_is_tried_again(server, step):
    server.script = [step]
    assert make().complete(ask()).text == "Ada."
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "body",
    [{}, b"[]", {"choices": []}, {"choices": None}, {"choices": [{"message": {"content": 3}}]}],
)
def test_answers_in_the_wrong_shape(server, body):
    server.script = [(200, {}, body)]
    with pytest.raises(ModelError, match="fake-model: unreadable answer"):
        make().complete(ask())


def test_nobody_there(server, monkeypatch):
    with pytest.raises(ModelError, match=r"fake-model: .*[Cc]onnect"):
        make(base_url="http://127.0.0.1:9/v1", max_retries=0).complete(ask())


def formats(calls):
    return [call.get("response_format", {}).get("type") for call in calls]


def test_goes_without_schema_then_without_json_and_remembers(server):
    server.script = [refuse("json_schema is not supported"), refuse("unknown response_format")]
    chat = make()
    assert chat.complete(ask("one", SCHEMA)).text == "Ada."
    chat.complete(ask("two", SCHEMA))
    assert formats(server.calls) == ["json_schema", "json_object", None, None]


def test_goes_without_parameters_that_are_refused_and_remembers(server):
    server.script = [
        refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        refuse("Unsupported value", param="temperature"),
    ]
    chat = make()
    chat.complete(ask("one"))
    chat.complete(ask("two"))
    last = server.calls[-1]
    assert len(server.calls) == 4
    assert last["max_completion_tokens"] == 50
    assert "max_tokens" not in last
    assert "temperature" not in last
    assert last["seed"] == 7


def test_an_answer_to_nothing_it_takes_is_the_first_refusal_and_teaches_nothing(server):
    server.script = [refuse("context too long")] + [refuse("something else")] * 2
    chat = make()
    with pytest.raises(ModelError, match="context too long"):
        chat.complete(ask("one", SCHEMA))
    chat.complete(ask("two", SCHEMA))
    assert formats(server.calls)[-1] == "json_schema"


def test_streams(server):
    server.script = [stream_of("Ad", "a ", "Byron")]
    pieces, whole = drain(make().stream(ask()))
    assert pieces == ["Ad", "a ", "Byron"]
    assert (whole.text, whole.prompt_tokens, whole.completion_tokens) == ("Ada Byron", 11, 5)
    assert server.calls[0]["stream_options"] == {"include_usage": True}


def test_streams_without_usage_from_a_server_that_refuses_it(server):
    server.script = [refuse("unknown field stream_options"), stream_of("Ada", usage=None)]
    pieces, whole = drain(make().stream(ask()))
    assert pieces == ["Ada"]
    assert whole.prompt_tokens > 0


def test_a_stream_is_retried_before_its_first_piece_only(server):
    server.script = [(500, QUICK, {}), stream_of("Ada")]
    assert drain(make().stream(ask()))[0] == ["Ada"]
    status, headers, parts = stream_of("Ada", "Byron", end=False)
    server.script = [(status, {**headers, "Content-Length": "9999"}, parts)]
    stream = make().stream(ask())
    assert next(stream) == "Ada"
    with pytest.raises(ModelError, match="fake-model"):
        list(stream)
    assert len(server.calls) == 3


def test_a_stream_holds_its_place_until_it_ends(server):
    server.script = [stream_of("Ada", "Byron"), stream_of("Ada", "Byron")]
    chat = make(concurrency=1)
    first = chat.stream(ask())
    assert next(first) == "Ada"
    answered = threading.Event()

    def another():
        chat.complete(ask("another"))
        answered.set()

    thread = threading.Thread(target=another)
    thread.start()
    assert not answered.wait(0.3) and len(server.calls) == 1
    second = chat.stream(ask("the same thread does not wait for itself"))
    assert next(second) == "Ada"
    second.close()
    assert not answered.wait(0.1)
    first.close()
    assert answered.wait(10)
    thread.join()


def test_a_hanging_stream_meets_the_deadline(server):
    server.script = [stream_of(*["x"] * 30)]
    with pytest.raises(ModelError, match="not done within"):
        list(make(timeout=0.5, max_retries=0).stream(ask()))


def test_at_most_so_many_at_once(server):
    def slow(_request):
        time.sleep(0.1)
        return say("Ada.")

    server.default = slow
    chat = make(concurrency=2)
    threads = [threading.Thread(target=chat.complete, args=(ask(str(i)),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.calls) == 6
    assert server.most <= 2


def test_requests_a_minute_are_spread():
    now = [0.0]
    gate = Gate(4, 60, clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    starts = []
    for _ in range(4):
        with gate.passing():
            starts.append(now[0])
    assert starts == [0, 1, 2, 3]
    gate.hold(10)
    with gate.passing():
        assert now[0] == 13


def everything_in(error):
    """All that a log of this error could show, with its causes and contexts."""
    seen, shown = set(), []
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        shown += [repr(error), str(error), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


@pytest.mark.parametrize(
    "step",
    [
        (401, {}, {"error": {"message": f"wrong key {KEY}"}}),
        (500, {}, {"error": {"message": f"broken {KEY}"}}),
        (400, {}, {"error": {"message": f"bad {KEY}"}}),
        (200, {}, f"<html>{KEY}</html>".encode()),
        (200, {}, {"choices": [], "note": KEY}),
    ],
)
def test_the_key_is_nowhere(server, caplog, step):
    caplog.set_level(logging.DEBUG)
    server.script = [step, step]
    with pytest.raises(ModelError) as caught:
        make(max_retries=0).complete(ask())
    assert caught.value.__context__ is None
    with pytest.raises(ModelError) as streamed:
        list(make(max_retries=0).stream(ask()))
    shown = everything_in(caught.value) + everything_in(streamed.value) + caplog.text
    shown += "\n".join(repr(vars(record)) for record in caplog.records)
    assert KEY not in shown


def test_a_key_that_no_header_can_hold_is_not_shown(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-broken\nkey")
    with pytest.raises(EndpointError) as caught:
        make().complete(ask())
    assert "broken" not in everything_in(caught.value).replace("test_", "")


def test_without_key_or_server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        make().complete(ask())


def test_without_the_library(server, monkeypatch):
    original = builtins.__import__

    def no_openai(name, *rest):
        if name == "openai":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_openai)
    with pytest.raises(MissingExtraError, match=r"pip install 'graphmem\[openai\]'"):
        make().complete(ask())


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"max_retries": -1}, {"concurrency": 0}, {"requests_per_minute": -1}],
)
def test_settings_out_of_range(options):
    with pytest.raises(ConfigError):
        make(**options)
    with pytest.raises(ConfigError):
        OpenAIChat("")
