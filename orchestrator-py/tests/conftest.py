"""A home for each test, with a fake engine in it, and no server left behind."""

from __future__ import annotations

import fcntl
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
#: The program `orch`, for the tests that need a daemon, and a home in which the real engine is or will be installed.
BINARY = os.environ.get("ORCH_TEST_BINARY", "")
ENGINE_HOME = os.environ.get("ORCH_TEST_ENGINE_HOME", "")
#: The program that is a hub for models.
HUB = os.environ.get("ORCH_TEST_HUB", "")


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


@pytest.fixture
def daemon(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """`orch serve` on the home."""
    if not BINARY:
        pytest.skip("needs the program `orch`: `ORCH_TEST_BINARY=target/debug/orch`")
    process = subprocess.Popen(
        [BINARY, "--home", home.path, "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until((home.path / "state" / "daemon.sock").exists)
    yield process
    subprocess.run([BINARY, "--home", home.path, "daemon", "stop", "--all"], check=True, capture_output=True, timeout=60)
    assert process.wait(timeout=30) == 0


@pytest.fixture
def real_engine(home: Home) -> None:
    """Installs llama.cpp in the home. It is built once, in a home that stays; the tests in Rust use that too."""
    if not (BINARY and ENGINE_HOME):
        pytest.skip("needs `ORCH_TEST_BINARY`, and a folder for the engine in `ORCH_TEST_ENGINE_HOME`")
    shared = Path(ENGINE_HOME)
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "envs/llama-cpp-cpu/current").exists():
            (shared / "config.yaml").write_text("gateway:\n  port: 0\n")
            orch = [BINARY, "--home", str(shared)]
            subprocess.run([*orch, "env", "create", "llama-cpp-cpu"], check=True, timeout=600)
            subprocess.run([*orch, "daemon", "stop", "--all"], check=True, timeout=60)
    (home.path / "envs").symlink_to(shared / "envs")
