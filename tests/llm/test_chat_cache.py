"""The response cache, the ledger in its file, and budgets."""

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from chat_helpers import KEY, SCHEMA, ask, say, stream_of

from graphmem.base.keyed_lock import KeyedLock
from graphmem.errors import BudgetExceeded, ConfigError, ModelError, StorageError
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.response_cache import CachedChat, ResponseCache, request_key
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.usage import Budget, Meter, UsageLine, cost, most_tokens, parse_budget, total
from graphmem.types import Completion, Message, Price


@pytest.fixture
def cache(tmp_path):
    with ResponseCache(tmp_path / "responses.sqlite") as found:
        yield found


def echo(request):
    return f"echo {request.messages[-1].content}"


def test_pays_once_over_runs(tmp_path):
    path = tmp_path / "responses.sqlite"
    first, second = ScriptedChat(echo), ScriptedChat(echo)
    with ResponseCache(path) as cache:
        answer = CachedChat(first, cache).complete(ask("a"))
    with ResponseCache(path) as cache:
        again = CachedChat(second, cache).complete(ask("a"))
    assert (answer.text, answer.cached) == ("echo a", False)
    assert (again.text, again.cached) == ("echo a", True)
    assert (again.prompt_tokens, again.finish) == (answer.prompt_tokens, answer.finish)
    assert len(first.requests) == 1
    assert not second.requests


def test_whatever_decides_an_answer_is_in_its_key():
    plain = ask("a")
    keys = {
        request_key("m", plain),
        request_key("other", plain),
        request_key("m", ask("b")),
        request_key("m", ask("a", SCHEMA)),
        request_key("m", ask("a", {**SCHEMA, "title": "x"})),
        request_key("m", ask("a", max_tokens=51)),
        request_key("m", type(plain)((*plain.messages, Message("assistant", "b")), None, 50)),
        request_key("m", type(plain)((Message("system", "a"),), None, 50)),
    }
    assert len(keys) == 8
    assert request_key("m", ask("a", stage="x")) == request_key("m", plain)


def test_a_failure_is_not_kept(cache):
    chat = ScriptedChat([ModelError("down"), "up"])
    with pytest.raises(ModelError):
        CachedChat(chat, cache).complete(ask())
    assert len(cache) == 0
    assert CachedChat(chat, cache).complete(ask()).text == "up"


def test_forgets(cache):
    chat = ScriptedChat(["bad", "good"])
    cached = CachedChat(chat, cache)
    assert cached.complete(ask()).text == "bad"
    cached.forget(ask())
    assert cached.complete(ask()).text == "good"
    assert total(cache.usage()).calls == 2


def test_the_same_question_from_many_threads_is_paid_once(cache):
    def slow(request):
        time.sleep(0.05)
        return echo(request)

    chat = ScriptedChat(slow)
    cached = CachedChat(chat, cache)
    found = []
    threads = [
        threading.Thread(target=lambda i=i: found.append(cached.complete(ask(str(i % 3))).text))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"echo {i % 3}" for i in range(12))
    assert len(chat.requests) == 3
    assert total(cache.usage()).cached == 9


def test_the_same_question_from_two_processes_is_paid_once(server, cache, tmp_path):
    script = """
import sys
from pathlib import Path
from chat_helpers import ask
from graphmem.llm.openai import OpenAIChat
from graphmem.llm.response_cache import CachedChat, ResponseCache
with ResponseCache(Path(sys.argv[1])) as cache:
    chat = CachedChat(OpenAIChat("fake"), cache)
    print([chat.complete(ask(f"question {i}")).text for i in range(4)])
"""

    def slow(_request):
        time.sleep(0.5)  # the other one comes to the same question meanwhile
        return say("Ada.")

    server.default = slow
    call = [sys.executable, "-c", script, str(tmp_path / "responses.sqlite")]
    folder = Path(__file__).parents[1]
    started = [
        subprocess.Popen(call, cwd=folder, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    printed = [process.communicate(timeout=60)[0] for process in started]
    assert printed == ["['Ada.', 'Ada.', 'Ada.', 'Ada.']\n"] * 2
    assert len(server.calls) == 4
    line = total(cache.usage())
    assert (line.calls, line.cached) == (4, 4)


def test_a_killed_process_holds_nobody(cache, tmp_path):
    script = """
import sys
from pathlib import Path
from graphmem.base.keyed_lock import KeyedLock
with KeyedLock(Path(sys.argv[1])).holding("key"):
    print("held", flush=True)
    sys.stdin.read()
"""
    file = tmp_path / "some.lock"
    call = [sys.executable, "-c", script, str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    entered = threading.Event()

    def enter():
        with KeyedLock(file).holding("key"):
            entered.set()

    with subprocess.Popen(call, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        with KeyedLock(file).holding("another key"):
            pass
        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not entered.wait(0.3)
        other.kill()
        assert entered.wait(30)
        waiting.join()


def test_a_thread_that_comes_while_another_waits_does_not_pass_it(tmp_path):
    lock, inside, most = KeyedLock(tmp_path / "some.lock"), [], []

    def enter():
        for _ in range(50):
            with lock.holding("key"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0002)
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and len(most) == 300


def test_where_no_file_can_be_made_threads_are_still_told_apart(tmp_path):
    with KeyedLock(tmp_path / "missing" / "some.lock").holding("key"):
        assert not (tmp_path / "missing").exists()


def test_streams_are_kept_when_whole(cache):
    chat = ScriptedChat(["one\ntwo\n"])
    cached = CachedChat(chat, cache)
    assert list(cached.stream(ask())) == ["one\n", "two\n"]
    assert list(cached.stream(ask())) == ["one\ntwo\n"]
    assert cached.complete(ask()).cached


def test_a_stream_left_early_is_counted_but_not_kept(cache):
    meter = Meter(Budget(tokens=1000))
    cached = CachedChat(ScriptedChat(["one\ntwo\n"]), cache, meter)
    stream = cached.stream(ask())
    assert next(stream) == "one\n"
    stream.close()
    assert len(cache) == 0
    assert total(cache.usage()).calls == 1
    assert meter.spent[0] > 0


def test_a_stream_over_http_is_kept_with_what_the_server_counted(server, cache):
    server.script = [stream_of("Ada", " Byron")]
    cached = CachedChat(OpenAIChat("fake"), cache)
    assert "".join(cached.stream(ask())) == "Ada Byron"
    assert cache.usage() == [
        UsageLine("fake", "", 1, 0, 11, 5, pytest.approx(cache.usage()[0].seconds))
    ]


def test_the_ledger_is_kept_by_model_and_stage(tmp_path):
    path = tmp_path / "responses.sqlite"
    for model in ("m1", "m2"):
        with ResponseCache(path) as cache:
            cached = CachedChat(ScriptedChat(echo, model), cache)
            for text, stage in (("a", "x"), ("b", "x"), ("a", "x"), ("c", "y")):
                cached.complete(ask(text, stage=stage))
    with ResponseCache(path) as cache:
        lines = cache.usage()
    assert [(line.model, line.stage, line.calls, line.cached) for line in lines] == [
        ("m1", "x", 2, 1),
        ("m1", "y", 1, 0),
        ("m2", "x", 2, 1),
        ("m2", "y", 1, 0),
    ]


def test_the_file_holds_no_key_and_no_prompt(server, tmp_path):
    path = tmp_path / "responses.sqlite"
    with ResponseCache(path) as cache:
        chat = CachedChat(OpenAIChat("fake", max_retries=0), cache)
        chat.complete(ask("a private question"))
        server.script = [(500, {}, {"error": {"message": KEY}})]
        with pytest.raises(ModelError):
            chat.complete(ask("another"))
        data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    data += path.read_bytes()
    assert KEY.encode() not in data
    assert b"private" not in data


def test_a_file_that_is_something_else(tmp_path):
    path = tmp_path / "responses.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(StorageError, match=r"responses\.sqlite"):
        ResponseCache(path).get("k")
    missing = ResponseCache(tmp_path / "missing" / "responses.sqlite")
    assert missing.get("k") is None
    with pytest.raises(StorageError):
        missing.put("k", Completion("a", 1, 1), "m", "s")


def test_two_processes_can_share_the_file(cache, tmp_path):
    other = ResponseCache(tmp_path / "responses.sqlite")
    cache.put("k", Completion("a", 1, 1), "m", "s")
    other.put("k2", Completion("b", 1, 1), "m", "s")
    assert other.get("k").text == "a"
    assert total(cache.usage()).calls == 2
    other.close()
    db = sqlite3.connect(tmp_path / "responses.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


# -- budgets ---------------------------------------------------------------------------------


def test_stops_before_the_call_that_could_pass_the_budget(server, cache):
    meter = Meter(Budget(tokens=200))
    chat = CachedChat(OpenAIChat("fake"), cache, meter)
    with pytest.raises(BudgetExceeded, match=r"of 200 tokens spent.*--budget"):
        for number in range(100):
            chat.complete(ask(f"question {number}"))
    assert 16 * len(server.calls) == sum(meter.spent) <= 200
    assert len(server.calls) == len(cache) > 5
    chat.complete(ask("question 0"))  # what was paid for stays free


def test_money(cache):
    price = Price(prompt=100.0, completion=1000.0)
    meter = Meter(Budget(money=1.0, price=price))
    chat = CachedChat(ScriptedChat(echo), cache, meter)
    with pytest.raises(BudgetExceeded, match=r"of 1 spent"):
        for number in range(1000):
            chat.complete(ask(f"question {number}", max_tokens=500))
    assert 0 < cost(price, *meter.spent) <= 1.0


def test_threads_wait_for_reservations_and_never_pass_the_budget(server, cache):
    def slow(_request):
        time.sleep(0.02)
        return say("Ada.")

    server.default = slow
    meter = Meter(Budget(tokens=300))
    chat = CachedChat(OpenAIChat("fake"), cache, meter)
    stopped = []

    def work(worker):
        try:
            for number in range(20):
                chat.complete(ask(f"{worker} {number}"))
        except BudgetExceeded:
            stopped.append(worker)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(stopped) == 4
    assert 300 - 16 - 70 <= sum(meter.spent) <= 300


def test_whoever_reads_a_stream_can_ask_or_is_told_that_the_budget_is_out(cache):
    chat = ScriptedChat(["one\ntwo\n", "up", "three\n"])
    most = 8 + len("hello") // 3 + 1
    request = ask("hello", max_tokens=50)
    cached = CachedChat(chat, cache, Meter(Budget(tokens=2 * 50 + 2 * most + 20)))
    stream = cached.stream(request)
    next(stream)
    assert cached.complete(ask("another", max_tokens=50)).text == "up"
    stream.close()
    cached = CachedChat(chat, cache, Meter(Budget(tokens=90)))
    stream = cached.stream(request)
    next(stream)
    with pytest.raises(BudgetExceeded, match="reserved for open streams"):
        cached.complete(ask("a third", max_tokens=50))
    stream.close()


def test_a_failed_call_gives_its_reservation_back(cache):
    meter = Meter(Budget(tokens=100))
    chat = CachedChat(ScriptedChat([ModelError("down"), "up"]), cache, meter)
    with pytest.raises(ModelError):
        chat.complete(ask())
    assert chat.complete(ask()).text == "up"


def test_budgets_are_read():
    price = Price(1.0, 2.0)
    assert parse_budget("1.5M").tokens == 1_500_000
    assert parse_budget("2 eur", price).money == 2.0
    assert parse_budget("3.5$", price).money == 3.5
    for bad in ("", "much", "-5", "5 euros"):
        with pytest.raises(ConfigError):
            parse_budget(bad, price)
    with pytest.raises(ConfigError, match="price"):
        parse_budget("$5")


def test_the_estimate_before_a_call_is_high():
    request = ask("How far is it from Turku to Oulu by train, and who built the line? " * 5)
    assert most_tokens(request) > 85  # what OpenAI's tokenizers count
    assert most_tokens(ask("東京" * 50)) >= 100
