"""Several processes: Ctrl-C, two owners, fork, and a daemon that owns the home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest
from conftest import BINARY, Home, wait_until

import orchestrator
from orchestrator import DaemonError, InstanceError, Orchestrator


def begins(process: subprocess.Popen[str]) -> None:
    """Waits for the first line of a program that prints one."""
    assert process.stdout is not None
    if (line := process.stdout.readline()) != "begins\n":
        raise AssertionError((line, *process.communicate(timeout=20)))


def test_ctrl_c_ends_a_call_that_waits(home: Home) -> None:
    home.add("demo", env={"FAKE_LOADING": "inf"})
    script = """
from orchestrator import Orchestrator
orch = Orchestrator()
try:
    orch.up("demo")
except KeyboardInterrupt:
    print(orch.ps()[0]["state"])
    orch.close(stop_instances=True)
"""
    with home.run(script) as process:
        wait_until(home.servers)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert (output, errors) == ("loading\n", ""), "the call ended, and the object is as good as before"
        assert time.monotonic() - begun < 10
    assert home.servers() == []


def test_a_signal_whose_handler_returns_does_not_disturb(home: Home) -> None:
    home.add("demo", env={"FAKE_LOADING": "0.8"})
    script = """
import signal
from orchestrator import Orchestrator
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
with Orchestrator() as orch:
    print("begins")
    print(orch.up("demo")["state"], len(seen))
    orch.close(stop_instances=True)
"""
    with home.run(script) as process:
        begins(process)
        process.send_signal(signal.SIGUSR1)
        output, errors = process.communicate(timeout=20)
        assert (output, errors) == ("ready 1\n", "")


def test_a_home_that_a_program_owns_is_refused_with_a_way_out(home: Home, orch: Orchestrator) -> None:
    script = """
import orchestrator
try:
    orchestrator.Orchestrator()
except orchestrator.DaemonError as error:
    print(error.code, error.exit_code)
    print(error)
"""
    with home.run(script) as process:
        output, errors = process.communicate(timeout=20)
    assert errors == ""
    assert output.startswith("daemon.home_owned 61\n")
    assert f"process {os.getpid()}" in output
    assert "hint: close the `Orchestrator` of the other program" in output


def test_a_home_is_free_when_its_owner_was_killed(home: Home) -> None:
    home.add("demo")
    script = """
import os, signal
from orchestrator import Orchestrator
print(Orchestrator().up("demo")["pid"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    with home.run(script) as process:
        output, _ = process.communicate(timeout=20)
    with Orchestrator(home.path) as orch:
        assert orch.ps()[0]["pid"] == int(output), "its server was taken over"
        orch.close(stop_instances=True)


def test_a_forked_process_is_told(home: Home) -> None:
    script = """
import os
from orchestrator import Orchestrator, UsageError
orch = Orchestrator()
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    print(len(orch.ps()))
    orch.close()
else:
    status = 1
    try:
        orch.ps()
    except UsageError as error:
        status = 0 if "spawn" in str(error) else 2
    os._exit(status)
"""
    with home.run(script) as process:
        output, errors = process.communicate(timeout=20)
    assert output == "0\n", errors


def test_the_daemon_that_owns_the_home_is_used(home: Home, daemon: subprocess.Popen[bytes]) -> None:
    home.add("demo")
    home.add("failing", env={"FAKE_EXIT": "3"})
    with Orchestrator(home.path) as orch:
        assert not orch.embedded
        up = orch.up("demo")
        assert up["state"] == "ready" and orch.ps()[0]["pid"] == up["pid"]
        assert orch.describe("demo")["spec"]["name"] == "demo"
        pieces = list(orch.chat("demo", "Hi", temperature=0.5))
        assert json.loads(pieces[0])["temperature"] == 0.5 and pieces[-1] == " word3"
        assert orch.complete("demo", "Hi")["choices"][0]["finish_reason"] == "stop"
        assert orch.logs("demo", stream="stderr", tail=1) == [{"stream": "stderr", "text": "listening"}]
        with orch.follow_logs("demo") as lines:
            assert next(lines)["text"] == "printed on standard output"
        with pytest.raises(InstanceError) as caught:
            orch.up("failing")
        assert caught.value.code == "instance.start_failed"
        assert caught.value.stderr_tail[-1] == "the fake engine was told to fail"
        assert orch.events() and orch.models() and orch.envs()
        assert orch.restart("demo")["pid"] != up["pid"]
        assert orch.down("demo")["state"] == "stopped"
        orch.up("demo", wait=False)
    assert daemon.poll() is None, "closing leaves the daemon alone"


def test_a_daemon_is_reached_by_its_address(home: Home, daemon: subprocess.Popen[bytes]) -> None:
    home.add("demo")
    status = subprocess.run(
        [BINARY, "--home", home.path, "--json", "daemon", "status"], check=True, capture_output=True, timeout=60
    )
    endpoint = json.loads(status.stdout)["endpoint"]
    with orchestrator.connect(endpoint) as orch:
        assert orch.chat("demo", "Hi").text().endswith("word3")
        orch.close(stop_instances=True)
    wait_until(lambda: not home.servers())


def test_ctrl_c_ends_a_stream_through_the_daemon(home: Home, daemon: subprocess.Popen[bytes]) -> None:
    home.add("demo", env={"FAKE_PACE": "60"})
    script = """
from orchestrator import Orchestrator
stream = Orchestrator().chat("demo", "Hi")
next(stream)
try:
    print("begins")
    next(stream)
except KeyboardInterrupt:
    print("interrupted")
"""
    with home.run(script) as process:
        begins(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert (output, errors) == ("interrupted\n", "")


def test_a_daemon_that_is_gone_is_told(home: Home, daemon: subprocess.Popen[bytes]) -> None:
    orch = Orchestrator(home.path)
    subprocess.run([BINARY, "--home", home.path, "daemon", "stop", "--all"], check=True, capture_output=True, timeout=60)
    daemon.wait(timeout=30)
    with pytest.raises(DaemonError) as caught:
        orch.ps()
    assert caught.value.code == "daemon.unreachable"
