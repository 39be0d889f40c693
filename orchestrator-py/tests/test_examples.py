"""The examples do what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BINARY, Home

from orchestrator import Orchestrator

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"


def run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, ORCH_HOME=str(home.path))
    command = [sys.executable, str(EXAMPLES / "chat.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, input="and again\n")


def test_the_chat_prints_an_answer(home: Home) -> None:
    home.add("demo")
    told = run(home, "demo", "Say", "hello.")
    assert (told.returncode, told.stderr) == (0, "")
    assert '"content": "Say hello."' in told.stdout and told.stdout.endswith(" word0 word1 word2 word3\n")
    asked = run(home, "demo")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert '"content": "and again"' in asked.stdout
    Orchestrator(home.path).close(stop_instances=True)


def test_the_chat_tells_what_is_wrong(home: Home) -> None:
    home.add("demo")
    told = run(home, "dmo", "Hi")
    assert (told.returncode, told.stdout) == (45, "")
    assert told.stderr.startswith("error: no instance, alias or model is called `dmo`\nhint: is `demo` meant?")


def test_the_judge_of_texts_refuses_what_is_ambiguous() -> None:
    told = subprocess.run([sys.executable, str(EXAMPLES / "toolcall.py")], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    beginnings = [line.partition(":")[0] for line in told.stdout.splitlines()]
    assert beginnings == [
        "exact, may run",
        "repaired, may run",
        "exact, refused",
        "ambiguous, refused",
        "exact, answer",
    ]


@pytest.mark.usefixtures("real_engine", "daemon")
def test_a_strict_call_with_the_official_client_is_valid(home: Home, model: Path) -> None:
    folder = home.path / "instances" / "demo"
    folder.mkdir(parents=True)
    # Random weights: a call is valid only because the model is held to it.
    (folder / "config.json").write_text(json.dumps({"name": "demo", "model": {"path": str(model), "threads": 1}}))

    def orch(*arguments: str) -> str:
        command = [BINARY, "--home", str(home.path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    orch("up", "demo")
    endpoint = json.loads(orch("daemon", "status", "--json"))["endpoint"].rstrip("/")
    environment = dict(os.environ, OPENAI_BASE_URL=f"{endpoint}/v1", OPENAI_API_KEY="none")
    command = [sys.executable, str(EXAMPLES / "strict_call.py"), "demo"]
    for _ in range(3):
        told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (told.returncode, told.stderr) == (0, "")
        assert re.fullmatch(
            r"weather: [1-7] days in (celsius|fahrenheit)\nfinish_reason tool_calls; exact; reasks=0; constraint=tools\n",
            told.stdout,
        ), told.stdout
