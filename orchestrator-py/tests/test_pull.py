"""Pulling from a hub that is a real server: progress, cancelling, and the same through a daemon and for ``asyncio``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BINARY, Home, wait_until

from orchestrator import ModelError, Orchestrator
from orchestrator.aio import AsyncOrchestrator

MODEL = "hf:owner/Big-GGUF:Q8_0"
LENGTH = 16 << 20


class Hub:
    """A hub in a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def slow_down(self, bytes_per_second: int) -> None:
        body = json.dumps({"total": bytes_per_second}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/fake/limits", data=body)).close()


@pytest.fixture
def hub(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    program = Path(BINARY).with_name("fake-hub")
    if not BINARY or not program.exists():
        pytest.skip("needs `fake-hub` beside the program `orch`: `cargo build -p orchestrator-tests --bins`")
    weights = tmp_path / "Big-Q8_0.gguf"
    content = model.read_bytes()
    # What follows the tensors is nobody's.
    weights.write_bytes(content + b"\7" * (LENGTH - len(content)))
    files = [{"path": weights.name, "content": {"path": str(weights)}}]
    revisions = [{"names": ["main"], "commit": "c" * 40, "files": files}]
    world = tmp_path / "world.json"
    world.write_text(json.dumps({"repositories": [{"id": "owner/Big-GGUF", "revisions": revisions, "gguf": {}}]}))
    process = subprocess.Popen([program, world], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["huggingface"]
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    yield Hub(url)
    process.kill()
    process.stdout.close()
    process.wait()


def a_pull_is_shown(orch: Orchestrator) -> None:
    assert orch.plan(MODEL)["files"][0]["size_bytes"] == LENGTH
    assert MODEL.startswith(orch.search("Big", provider="hf")["models"][0]["reference"])
    updates: list[Any] = []
    operation = orch.pull(MODEL, progress=updates.append)
    assert operation["status"]["status"] == "succeeded"
    assert any(update.get("unit") == "bytes" and update["total"] == LENGTH for update in updates)
    assert [model["reference"] for model in orch.models()] == [MODEL]
    assert orch.model_info(MODEL)["size_bytes"] == LENGTH
    assert orch.remove(MODEL)["status"]["status"] == "succeeded"


def test_a_pull_is_shown_and_ends_with_the_model(hub: Hub, home: Home) -> None:
    # Slow enough to be seen.
    hub.slow_down(LENGTH)
    with Orchestrator(home.path) as orch:
        assert orch.embedded
        a_pull_is_shown(orch)


def test_a_daemon_pulls_the_same_way(hub: Hub, daemon: subprocess.Popen[bytes], home: Home) -> None:
    hub.slow_down(LENGTH)
    orch = Orchestrator(home.path)
    assert not orch.embedded
    a_pull_is_shown(orch)


def test_what_a_progress_function_raises_cancels_the_pull(hub: Hub, home: Home) -> None:
    hub.slow_down(2 << 20)

    def refuse(update: Any) -> None:
        if update.get("done"):
            raise RuntimeError("enough")

    with Orchestrator(home.path) as orch:
        with pytest.raises(RuntimeError, match="enough"):
            orch.pull(MODEL, progress=refuse)
        wait_until(lambda: orch.operations()[0]["status"]["status"] == "cancelled")
        assert orch.models() == []


def test_a_task_that_is_cancelled_cancels_its_pull(hub: Hub, home: Home) -> None:
    hub.slow_down(2 << 20)

    async def work() -> None:
        async with AsyncOrchestrator(home.path) as orch:
            began = asyncio.Event()
            task = asyncio.create_task(orch.pull(MODEL, progress=lambda update: began.set()))
            await asyncio.wait_for(began.wait(), 15)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            async def is_over() -> None:
                while (await orch.operations())[0]["status"]["status"] != "cancelled":
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(is_over(), 15)

    asyncio.run(work())


def test_a_large_model_is_agreed_to_first(hub: Hub, home: Home) -> None:
    (home.path / "config.yaml").write_text("models:\n  confirm_above_gb: 0\n")
    with Orchestrator(home.path) as orch:
        with pytest.raises(ModelError) as caught:
            orch.pull(MODEL)
        assert caught.value.code == "model.confirmation_needed"
        assert orch.pull(MODEL, confirm=True)["status"]["status"] == "succeeded"
