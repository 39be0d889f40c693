"""Models: registering, listing, removing, clearing away; what cannot be fetched; the same for ``asyncio``."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Home

import orchestrator
from orchestrator import ModelError, Orchestrator, UsageError
from orchestrator.aio import AsyncOrchestrator


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model that belongs to one test alone."""
    path = tmp_path / "own.gguf"
    orchestrator.write_demo_model(path)
    return path


def registered(orch: Orchestrator) -> list[str]:
    return [model["reference"] for model in orch.models()]


def a_model_lives(orch: Orchestrator, own: Path) -> None:
    reference = f"file:{own}"
    operation = orch.import_model(own)
    assert (operation["kind"]["kind"], operation["status"]["status"]) == ("import_model", "succeeded")
    assert registered(orch) == [reference]
    assert orch.model_info(reference)["architecture"] == "llama"
    report = orch.fit(reference, context=512, parallel=2)
    assert (report["context"], report["parallel"], report["verdict"]["is"]) == (512, 2, "fits")
    assert orch.operations()[0]["id"] == operation["id"]
    assert orch.finish(operation["id"]) == operation, "one that is over is not waited for"
    assert orch.prune(dry_run=True)["removed"] == [], "what lies elsewhere is nobody's to remove"
    assert orch.remove(reference)["status"]["status"] == "succeeded"
    assert own.exists(), "only the entry goes"


def test_a_model_is_registered_listed_and_forgotten(orch: Orchestrator, own: Path) -> None:
    assert orch.embedded
    a_model_lives(orch, own)
    assert registered(orch) == []


def test_a_daemon_does_the_same(home: Home, daemon: subprocess.Popen[bytes], own: Path) -> None:
    connected = Orchestrator(home.path)
    assert not connected.embedded
    a_model_lives(connected, own)


def test_a_copy_lies_in_the_store_and_its_progress_is_told(home: Home, orch: Orchestrator, own: Path) -> None:
    updates: list[Any] = []
    orch.import_model(own, copy=True, progress=updates.append)
    [model] = orch.models()
    assert Path(model["path"]).is_relative_to(home.path / "models") and Path(model["path"]) != own
    assert updates and all("phase" in update for update in updates)


def test_what_a_progress_function_raises_ends_the_wait(orch: Orchestrator, own: Path) -> None:
    def refuse(update: Any) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        orch.import_model(own, copy=True, progress=refuse)


def test_a_model_that_an_instance_names_is_kept(home: Home, orch: Orchestrator) -> None:
    home.add("demo")
    with pytest.raises(ModelError) as caught:
        orch.remove(f"file:{home.model}")
    assert caught.value.code == "model.in_use" and "demo" in caught.value.message


def test_what_is_no_model_is_told_apart(orch: Orchestrator, tmp_path: Path) -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: orch.pull("nonsense"), "model.reference_invalid"),
        (lambda: orch.plan("hf:../x"), "model.reference_invalid"),
        (lambda: orch.import_model(tmp_path / "missing.gguf"), "model.not_found"),
        (lambda: orch.remove("file:/no/such.gguf"), "model.not_found"),
    ]
    for call, code in calls:
        with pytest.raises(ModelError) as caught:
            call()
        assert caught.value.code == code
    with pytest.raises(UsageError):
        orch.search("x", provider="modelscope")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        orch.cancel("7")
    with pytest.raises(UsageError):
        orch.fit("hf:a/b", contex=1)


def test_asyncio_has_the_same(home: Home, own: Path) -> None:
    home.add("demo")

    async def work() -> None:
        async with AsyncOrchestrator(home.path) as orch:
            assert await orch.embedded()
            assert (await orch.import_model(own))["status"]["status"] == "succeeded"
            rows, models = await asyncio.gather(orch.ps(), orch.models())
            assert [row["name"] for row in rows] == ["demo"]
            assert f"file:{own}" in [model["reference"] for model in models]
            await orch.up("demo")
            pieces = [piece async for piece in orch.chat("demo", "Say hello.")]
            assert pieces[1:] == [" word0", " word1", " word2", " word3"]
            assert (await orch.activate("demo"))["status"]["status"] == "succeeded"
            with pytest.raises(ModelError):
                await orch.pull("nonsense")
            await orch.close(stop_instances=True)

    asyncio.run(work())


def test_the_asynchronous_class_has_every_method() -> None:
    sync = {name for name in dir(Orchestrator) if not name.startswith("_")}
    # Lines that come without end are for threads; an operation is finished by whoever began it.
    assert sync - set(dir(AsyncOrchestrator)) == {"follow_logs", "finish"}
