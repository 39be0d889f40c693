"""The examples do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import Home

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
