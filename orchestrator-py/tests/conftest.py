"""A home for each test, with a fake engine in it, and no server left behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import Orchestrator

HERE = Path(__file__).parent


def wait_until(condition: Callable[[], Any], deadline: float = 15.0) -> Any:
    """Waits until something holds, and returns it."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
    return value


def is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


class Home:
    """One home on disk."""

    def __init__(self, path: Path, engine: Path, model: Path) -> None:
        self.path = path
        self.engine = engine
        self.model = model

    def add(self, name: str, **more: Any) -> None:
        """Writes the configuration of an instance that runs the fake engine."""
        config: dict[str, Any] = {
            "name": name,
            "model": {"path": str(self.model)},
            "engine": {"binary": str(self.engine)},
            "restart_policy": {"enabled": False},
            "stop": {"grace": 2},
        }
        config.update(more)
        folder = self.path / "instances" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))

    def servers(self) -> list[int]:
        """The fake engines of this home that run."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if os.fsencode(self.engine) in line.split(b"\0") and is_alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def run(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Starts a Python program that works on this home."""
        environment = dict(os.environ, ORCH_HOME=str(self.path), PYTHONUNBUFFERED="1")
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "demo.gguf"
    assert orchestrator.write_demo_model(path) == path.stat().st_size
    return path


@pytest.fixture
def home(tmp_path: Path, model: Path) -> Iterator[Home]:
    # A copy for each home: its path tells whose servers they are.
    engine = tmp_path / "fake-llama-server"
    engine.write_text(f"#!{sys.executable}\n" + (HERE / "fake_engine.py").read_text())
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    home = Home(tmp_path / "home", engine, model)
    home.path.mkdir()
    yield home
    left = home.servers()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"the test left {len(left)} servers behind"


@pytest.fixture
def orch(home: Home) -> Iterator[Orchestrator]:
    """The owner of the home; its servers end with the test."""
    owner = Orchestrator(home.path)
    yield owner
    owner.close(stop_instances=True)
