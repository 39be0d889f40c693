"""A program that owns a home: the whole life of a server, and talking to it."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest
from conftest import Home, is_alive, wait_until

from orchestrator import InstanceError, Orchestrator


def test_a_server_lives_its_whole_life(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    assert orch.embedded
    [row] = orch.ps()
    assert (row["name"], row["state"], row["pid"]) == ("demo", "stopped", None)

    up = orch.up("demo")
    assert (up["state"], up["health"], up["runtime"]) == ("ready", "healthy", "llama_cpp")
    assert up["pid"] is not None and is_alive(up["pid"])
    assert [row["pid"] for row in orch.ps()] == [up["pid"]]
    assert orch.up("demo")["pid"] == up["pid"], "a second `up` leaves it alone"

    description = orch.describe("demo")
    assert description["state"]["state"] == "ready"
    assert description["spec"]["healthcheck"]["retries"] == 3, "defaults are filled in"
    assert description["model"] is not None and description["model"]["architecture"] == "llama"

    pieces = list(orch.chat("demo", "Say hello.", temperature=0.5))
    assert pieces[1:] == [" word0", " word1", " word2", " word3"]
    asked = json.loads(pieces[0])
    assert asked["messages"] == [{"role": "user", "content": "Say hello."}]
    assert (asked["temperature"], asked["stream"]) == (0.5, True)

    restarted = orch.restart("demo")
    assert restarted["state"] == "ready" and restarted["pid"] != up["pid"]
    assert not is_alive(up["pid"])

    assert orch.down("demo")["state"] == "stopped"
    assert home.servers() == []
    kinds = {event["kind"] for event in orch.events()}
    assert {"daemon", "instance_state"} <= kinds


def test_logs_are_read_by_output_and_length(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    orch.up("demo")
    texts = [line["text"] for line in orch.logs("demo", stream="stderr")]
    assert texts == [f"loading {home.model}", "listening"]
    assert orch.logs("demo", stream="stderr", tail=1) == [{"stream": "stderr", "text": "listening"}]
    assert orch.logs("demo", stream="stdout") == [{"stream": "stdout", "text": "printed on standard output"}]


def test_logs_are_followed(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    orch.up("demo")
    with orch.follow_logs("demo", stream="stderr") as lines:
        assert next(lines)["text"].startswith("loading")
        assert next(lines)["text"] == "listening"
        orch.restart("demo")
        assert next(lines)["text"].startswith("loading"), "new lines come"
    assert list(lines) == []


def test_a_chat_starts_what_is_not_running(home: Home, orch: Orchestrator) -> None:
    home.add("demo", aliases=["gpt-4o"], request={"set": {"top_k": 1}, "strip": ["seed"]})
    answer = orch.complete("gpt-4o", [{"role": "user", "content": "Hi"}], seed=7)
    asked = json.loads(answer["choices"][0]["message"]["content"].partition(" word0")[0])
    assert asked["top_k"] == 1, "the configuration's own fields are set"
    assert "seed" not in asked, "and those it strips are not sent"
    assert orch.ps()[0]["state"] == "ready"


def test_a_stream_tells_its_end(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    stream = orch.chat("demo", "Hi")
    assert stream.finish_reason is None
    first = next(stream)
    assert first + stream.text() == first + " word0 word1 word2 word3"
    assert stream.finish_reason == "stop"
    assert stream.reasoning == "hm"
    assert stream.usage == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    assert stream.text() == ""


def test_closing_a_stream_ends_the_engines_work(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_WORDS": "100000", "FAKE_PACE": "0.01"})
    with orch.chat("demo", "Hi") as stream:
        next(stream)
        assert orch.describe("demo")["requests_in_flight"] == 1
    wait_until(lambda: any(line["text"] == "the client went away" for line in orch.logs("demo")))
    assert orch.describe("demo")["requests_in_flight"] == 0
    assert list(stream) == []


def test_a_stream_that_is_let_go_ends_too(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_WORDS": "100000", "FAKE_PACE": "0.01"})
    stream = orch.chat("demo", "Hi")
    next(stream)
    del stream
    wait_until(lambda: any(line["text"] == "the client went away" for line in orch.logs("demo")))


def test_a_stream_is_closed_from_another_thread(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_PACE": "60"})
    stream = orch.chat("demo", "Hi")
    next(stream)
    rest: list[str] = []
    reader = threading.Thread(target=lambda: rest.extend(stream))
    reader.start()
    stream.close()
    reader.join(timeout=10)
    assert not reader.is_alive() and rest == []


def test_an_engine_that_dies_ends_the_stream_with_an_error(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_PACE": "60"})
    stream = orch.chat("demo", "Hi")
    next(stream)
    os.kill(orch.ps()[0]["pid"] or 0, signal.SIGKILL)
    with pytest.raises(InstanceError) as caught:
        list(stream)
    assert caught.value.code == "instance.upstream_failed"
    assert "`demo` broke off" in caught.value.message
    assert caught.value.hint is not None and 'logs("demo")' in caught.value.hint


def test_an_engine_that_refuses_is_quoted(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    for ask in (orch.chat, orch.complete):
        with pytest.raises(InstanceError, match="max_tokens must be above 0"):
            ask("demo", "Hi", max_tokens=0)


def test_servers_go_on_when_their_owner_ends_in_order(home: Home) -> None:
    home.add("demo")
    with Orchestrator(home.path) as first:
        pid = first.up("demo")["pid"]
    assert home.servers() == [pid]
    second = Orchestrator(home.path)
    assert second.ps()[0]["pid"] == pid, "the next owner takes it over"
    second.close(stop_instances=True)
    second.close()
    assert home.servers() == []


def test_an_owner_that_is_let_go_lets_the_home_go(home: Home) -> None:
    def owns() -> bool:
        try:
            Orchestrator(home.path).close()
        except Exception:
            return False
        return True

    first = Orchestrator(home.path)
    assert not owns()
    del first
    wait_until(owns)


def test_what_is_installed_is_listed(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    [model] = orch.models()
    assert model["path"] == str(home.model)
    keys = {status["key"]: status["installed"] for status in orch.envs()}
    assert keys["llama-cpp-cpu"] is None


def test_the_interpreter_is_free_while_a_call_waits(home: Home, orch: Orchestrator) -> None:
    home.add("demo", env={"FAKE_LOADING": "1"})
    counted = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal counted
        while not is_over.wait(0.01):
            counted += 1

    counter = threading.Thread(target=count)
    counter.start()
    orch.up("demo")
    is_over.set()
    counter.join()
    assert counted > 20, "another thread got nowhere during a second of waiting"


def test_threads_share_one_orchestrator(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(orch.chat("demo", "Hi").text())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(answer.endswith("word3") for answer in answers)
    assert len(home.servers()) == 1, "they waited for one start"
